import { resolverAddress, timesToLive, timeToLive } from './dns-values.ts'
import { DOCKER_SETTINGS, type DockerSettingValues } from './docker-settings.ts'
import { TRAEFIK_SETTINGS, type TraefikSettingValues } from './traefik-settings.ts'
import type { Config, HostPort } from './types.ts'
import {
  dialAddress,
  domain,
  duration,
  flag,
  integer,
  labels,
  list,
  listenAddress,
  name,
  oneOf,
  oneOfNumbers,
  path,
  type ValueKind,
} from './values.ts'

/** What each setting holds once it was read. The keys are the dotted paths of the YAML file. */
export interface SettingValues extends DockerSettingValues, TraefikSettingValues {
  'node.name': string
  'node.priority': number
  'node.meta': Readonly<Record<string, string>>
  'cluster.name': string
  'cluster.key_file': string
  'cluster.join': readonly HostPort[]
  'cluster.bootstrap_expect': number
  'cluster.voters': Config['cluster']['voters']
  'cluster.lease_reads': boolean
  'cluster.learners': number
  'cluster.dead_voter_grace': number
  'cluster.dead_learner_grace': number
  data_dir: string
  'mesh.listen': HostPort
  'mesh.advertise': HostPort
  'mesh.connections_max': number
  'mesh.on_demand_max': number
  'http.listen': HostPort
  'dns.listen': HostPort
  'dns.domain': string
  'dns.only_passing': boolean
  'dns.node_ttl': number
  'dns.service_ttl': Readonly<Record<string, number>>
  'dns.soa_min_ttl': number
  'dns.a_record_limit': number
  'dns.udp_answer_limit': number
  'dns.recursors': readonly HostPort[]
  'dns.recursor_timeout': number
  'kv.value_bytes_max': number
  'sessions.ttl_min': number
  'sessions.ttl_factor': Config['sessions']['ttlFactor']
  'checks.scripts': Config['checks']['scripts']
  'checks.docker_socket': string
  'checks.deregister_min': number
  'log.level': Config['log']['level']
  'log.format': Config['log']['format']
  'snapshots.every': number
  'snapshots.keep': number
  'snapshots.directory': string
  'providers.files.directory': string
}

/** Dotted path of a setting, as written in the YAML file. */
export type SettingPath = keyof SettingValues

/** Everything there is to say about one setting. */
export interface Setting<T> {
  readonly kind: ValueKind<T>
  /** The default as the documentation shows it. */
  readonly default: string
  /** Flag of `constellation agent`; null if there is none. */
  readonly flag: string | null
  /** One sentence for the documentation. */
  readonly doc: string
  /** True if SIGHUP applies a change; otherwise it takes a restart. */
  readonly reloadable: boolean
  /** The value in a finished configuration. */
  read(config: Config): unknown
}

const SNAPSHOTS_EVERY_MIN = '1s'
const SNAPSHOTS_EVERY_MAX = '720h'

/** Every setting of the agent, in the order of the documentation. A key that is not here is an error. */
export const SETTINGS: { readonly [Path in SettingPath]: Setting<SettingValues[Path]> } = {
  'node.name': {
    kind: name(),
    default: 'the host name',
    flag: '--node',
    doc: 'Name of this node, unique in the cluster.',
    reloadable: false,
    read: (config) => config.node.name,
  },
  'node.priority': {
    kind: integer(0, 1000),
    default: '100',
    flag: null,
    doc: 'Which node is preferred as the holder of leases: the lower, the sooner.',
    reloadable: true,
    read: (config) => config.node.priority,
  },
  'node.meta': {
    kind: labels(),
    default: '{}',
    flag: null,
    doc: 'Labels of this node, shown in the catalogue. In the environment: "zone=a,rack=2".',
    reloadable: false,
    read: (config) => config.node.meta,
  },
  'cluster.name': {
    kind: name(),
    default: 'constellation',
    flag: null,
    doc: 'Name of the cluster; nodes of another name are refused.',
    reloadable: false,
    read: (config) => config.cluster.name,
  },
  'cluster.key_file': {
    kind: path(),
    default: '$CREDENTIALS_DIRECTORY/cluster-key if that file exists, else none',
    flag: '--cluster-key-file',
    doc: 'File with the cluster key, needed by every cluster of more than one node. A relative path in the YAML file starts at the folder of that file.',
    reloadable: false,
    read: (config) => config.cluster.keyFile,
  },
  'cluster.join': {
    kind: list(dialAddress()),
    default: '[]',
    flag: '--join',
    doc: 'Mesh addresses of members to find the cluster by. A node that joins never makes a cluster of its own.',
    reloadable: false,
    read: (config) => config.cluster.join,
  },
  'cluster.bootstrap_expect': {
    kind: integer(0, 99),
    default: '1 without join, 0 with it',
    flag: '--bootstrap-expect',
    doc: 'How many nodes make the first cluster together; 0 = this node waits for a cluster that exists.',
    reloadable: false,
    read: (config) => config.cluster.bootstrapExpect,
  },
  'cluster.voters': {
    kind: oneOfNumbers([3, 5]),
    default: '5',
    flag: null,
    doc: 'How many nodes vote at most; the others hold a copy, and as learners stand in for a voter that dies. The same on every node.',
    reloadable: false,
    read: (config) => config.cluster.voters,
  },
  'cluster.lease_reads': {
    kind: flag(),
    default: 'false',
    flag: null,
    doc: 'Whether the leader may answer default reads from a promise of the voters to elect nobody else for a second. The same on every node.',
    reloadable: false,
    read: (config) => config.cluster.leaseReads,
  },
  'cluster.learners': {
    kind: integer(0, 256),
    default: '16',
    flag: null,
    doc: 'How many nodes beside the voters keep the log and stand in. A node beyond is a client: it holds a copy that a member feeds. The same on every node.',
    reloadable: false,
    read: (config) => config.cluster.learners,
  },
  'cluster.dead_voter_grace': {
    kind: duration('3s', '24h'),
    default: '1m',
    flag: null,
    doc: 'How long a voter may be silent before a learner takes its place. The same on every node.',
    reloadable: false,
    read: (config) => config.cluster.deadVoterGraceMs,
  },
  'cluster.dead_learner_grace': {
    kind: duration('10s', '8760h'),
    default: '24h',
    flag: null,
    doc: 'How long a learner may be silent before it is taken out of the Raft group. The same on every node.',
    reloadable: false,
    read: (config) => config.cluster.deadLearnerGraceMs,
  },
  data_dir: {
    kind: path(),
    default: '$STATE_DIRECTORY, else /var/lib/constellation as root, else ~/.local/share/constellation',
    flag: '--data-dir',
    doc: 'Folder of the identity, the log and the snapshots of this node. A relative path in the YAML file starts at the folder of that file.',
    reloadable: false,
    read: (config) => config.dataDir,
  },
  'mesh.listen': {
    kind: listenAddress(),
    default: '127.0.0.1:7946',
    flag: '--mesh',
    doc: 'Where other nodes of the cluster connect to.',
    reloadable: false,
    read: (config) => config.mesh.listen,
  },
  'mesh.advertise': {
    kind: dialAddress(),
    default: 'derived from mesh.listen',
    flag: null,
    doc: 'What other nodes are told to dial, where that differs from mesh.listen.',
    reloadable: false,
    read: (config) => config.mesh.advertise,
  },
  'mesh.connections_max': {
    kind: integer(4, 2048),
    default: '128',
    flag: null,
    doc: 'With more other nodes than this, connections are kept to some of them only, and made to the others when a message needs one. The same on every node.',
    reloadable: false,
    read: (config) => config.mesh.connectionsMax,
  },
  'mesh.on_demand_max': {
    kind: integer(16, 8192),
    default: '512',
    flag: null,
    doc: 'Connections beside those that are kept. Both together are the most there ever are; further ones are refused.',
    reloadable: false,
    read: (config) => config.mesh.onDemandMax,
  },
  'http.listen': {
    kind: listenAddress(),
    default: '127.0.0.1:8500',
    flag: '--http',
    doc: 'Where the HTTP API listens.',
    reloadable: false,
    read: (config) => config.http.listen,
  },
  'dns.listen': {
    kind: listenAddress(),
    default: '127.0.0.1:8600',
    flag: '--dns',
    doc: 'Where the DNS interface listens, UDP and TCP. 0.0.0.0 and [::]: on every address of the interfaces of this host.',
    reloadable: false,
    read: (config) => config.dns.listen,
  },
  'dns.domain': {
    kind: domain(),
    default: 'constellation',
    flag: null,
    doc: 'Domain the DNS interface answers for, besides "consul".',
    reloadable: false,
    read: (config) => config.dns.domain,
  },
  'dns.only_passing': {
    kind: flag(),
    default: 'false',
    flag: null,
    doc: 'Whether instances with a warning are left out of answers, as critical ones always are.',
    reloadable: true,
    read: (config) => config.dns.onlyPassing,
  },
  'dns.node_ttl': {
    kind: timeToLive(),
    default: '0s',
    flag: null,
    doc: 'How long resolvers may keep answers about nodes.',
    reloadable: true,
    read: (config) => config.dns.ttls.node,
  },
  'dns.service_ttl': {
    kind: timesToLive(),
    default: '{}, which means 0s',
    flag: null,
    doc: 'How long resolvers may keep answers about services, by name; the longest matching beginning counts. In the environment: "web=5s,*=1s".',
    reloadable: true,
    read: (config) => config.dns.ttls.service,
  },
  'dns.soa_min_ttl': {
    kind: timeToLive(),
    default: '0s',
    flag: null,
    doc: 'How long resolvers may keep that a name does not exist.',
    reloadable: true,
    read: (config) => config.dns.ttls.negative,
  },
  'dns.a_record_limit': {
    kind: integer(0, 1000),
    default: '0',
    flag: null,
    doc: 'Most addresses of a service in one answer, drawn anew for each answer; 0 = all.',
    reloadable: true,
    read: (config) => config.dns.addressesMax,
  },
  'dns.udp_answer_limit': {
    kind: integer(0, 1000),
    default: '0',
    flag: null,
    doc: 'Most records in an answer over UDP to a client without EDNS; if there are more, the answer says that it was cut. 0 = as many as fit.',
    reloadable: true,
    read: (config) => config.dns.udpAnswersMax,
  },
  'dns.recursors': {
    kind: list(resolverAddress()),
    default: '[], which means that other names are refused',
    flag: null,
    doc: 'Resolvers that are asked, in this order, for names outside of the domain. Only clients with a private address are served so.',
    reloadable: true,
    read: (config) => config.dns.recursors,
  },
  'dns.recursor_timeout': {
    kind: duration('100ms', '30s'),
    default: '2s',
    flag: null,
    doc: 'How long each of them may take to answer.',
    reloadable: true,
    read: (config) => config.dns.recursorTimeoutMs,
  },
  'kv.value_bytes_max': {
    kind: integer(1_024, 4 * 1024 * 1024),
    default: '524288',
    flag: null,
    doc: 'Largest value of a key, and largest body of a transaction, that this node takes, in bytes.',
    reloadable: false,
    read: (config) => config.kv.valueBytesMax,
  },
  'sessions.ttl_min': {
    kind: duration('1s', '24h'),
    default: '10s',
    flag: null,
    doc: 'Shortest TTL of a session that this node takes over /v1/session.',
    reloadable: false,
    read: (config) => config.sessions.ttlMinMs,
  },
  'sessions.ttl_factor': {
    kind: oneOfNumbers([1, 2]),
    default: '2',
    flag: null,
    doc: 'A session made over /v1/session on this node ends when it was not renewed for its TTL times this. Consul has 2, and Patroni counts on it.',
    reloadable: false,
    read: (config) => config.sessions.ttlFactor,
  },
  'checks.scripts': {
    kind: oneOf(['off', 'on']),
    default: 'off',
    flag: null,
    doc: 'Whether checks may run programs (`ScriptArgs`, `DockerContainerID`): whoever may register a service then runs programs as the agent. Off, those known from before are critical.',
    reloadable: false,
    read: (config) => config.checks.scripts,
  },
  'checks.docker_socket': {
    kind: path(),
    default: '/var/run/docker.sock',
    flag: null,
    doc: 'Socket of the Docker engine that runs checks in containers.',
    reloadable: false,
    read: (config) => config.checks.dockerSocket,
  },
  'checks.deregister_min': {
    kind: duration('1s', '8760h'),
    default: '1m',
    flag: null,
    doc: 'Least value of `DeregisterCriticalServiceAfter`; shorter ones are raised to it.',
    reloadable: false,
    read: (config) => config.checks.deregisterMinMs,
  },
  'log.level': {
    kind: oneOf(['fatal', 'error', 'warn', 'info', 'debug', 'trace']),
    default: 'info',
    flag: '--log-level',
    doc: 'Least severity that is logged.',
    reloadable: true,
    read: (config) => config.log.level,
  },
  'log.format': {
    kind: oneOf(['auto', 'json', 'pretty']),
    default: 'auto',
    flag: '--log-format',
    doc: 'How a line of the log looks; auto = pretty on a terminal, JSON elsewhere.',
    reloadable: false,
    read: (config) => config.log.format,
  },
  'snapshots.every': {
    kind: duration(SNAPSHOTS_EVERY_MIN, SNAPSHOTS_EVERY_MAX),
    default: 'none: no snapshots are saved',
    flag: null,
    doc: 'How often this node saves all keys to a file of its own, if any changed.',
    reloadable: false,
    read: (config) => config.snapshots?.everyMs ?? null,
  },
  'snapshots.keep': {
    kind: integer(1, 10_000),
    default: '24',
    flag: null,
    doc: 'How many of these files are kept.',
    reloadable: false,
    read: (config) => config.snapshots?.keep ?? null,
  },
  'snapshots.directory': {
    kind: path(),
    default: 'snapshots in data_dir',
    flag: null,
    doc: 'Folder of these files. A relative path in the YAML file starts at the folder of that file.',
    reloadable: false,
    read: (config) => config.snapshots?.directory ?? null,
  },
  ...DOCKER_SETTINGS,
  'providers.files.directory': {
    kind: path(),
    default: 'none: services are registered through the API alone',
    flag: null,
    doc: 'Folder of files, YAML or JSON, whose services are registered with this node and followed as the files change. A relative path in the YAML file starts at the folder of that file.',
    reloadable: false,
    read: (config) => config.providers.files?.directory ?? null,
  },
  ...TRAEFIK_SETTINGS,
}

/** The paths of all settings, in the order of the documentation. */
export const SETTING_PATHS: readonly SettingPath[] = (Object.keys(SETTINGS) as SettingPath[]).map(
  (settingPath) => settingPath,
)

/** True if `text` is the path of a setting. */
export function isSettingPath(text: string): text is SettingPath {
  return Object.hasOwn(SETTINGS, text)
}

/** Environment variable of a setting: `http.listen` → `CONSTELLATION_HTTP_LISTEN`. */
export function envName(settingPath: SettingPath): string {
  return `CONSTELLATION_${settingPath.replaceAll('.', '_').toUpperCase()}`
}

/** Names of the keys directly below a section (`''` = the file itself); empty if there is no such section. */
export function keysOf(section: string): readonly string[] {
  const prefix = section === '' ? '' : `${section}.`
  const keys = SETTING_PATHS.filter((settingPath) => settingPath.startsWith(prefix)).map(
    (settingPath) => settingPath.slice(prefix.length).split('.')[0] ?? '',
  )
  return [...new Set(keys)]
}
