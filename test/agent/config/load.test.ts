import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { ConfigError } from '../../../agent/config/errors.ts'
import { type ConfigSources, loadConfig } from '../../../agent/config/load.ts'
import { diffReloadable } from '../../../agent/config/reload.ts'
import type { Config } from '../../../agent/config/types.ts'
import { generateClusterKey } from '../../../discovery/mesh/cluster-key.ts'

const dir = t.testdir({
  'cluster.key': `${generateClusterKey()}\n`,
  'open.key': `${generateClusterKey()}\n`,
  'bad.key': 'not a key\n',
})
const keyFile = join(dir, 'cluster.key')
chmodSync(keyFile, 0o600)
chmodSync(join(dir, 'open.key'), 0o644)
chmodSync(join(dir, 'bad.key'), 0o600)

let files = 0
function write(yaml: string): string {
  const file = join(dir, `c${++files}.yaml`)
  writeFileSync(file, yaml)
  return file
}

function load(yaml: string | null, sources: Partial<ConfigSources> = {}): Config {
  const file = yaml === null ? null : write(yaml)
  return loadConfig({ file, flags: {}, env: {}, hostname: 'host1', ...sources })
}

/** The lines of the refusal, with the path of the file cut to F. */
function refusal(yaml: string | Uint8Array | null, sources: Partial<ConfigSources> = {}): readonly string[] {
  const file = yaml === null ? null : join(dir, `c${++files}.yaml`)
  if (file !== null && yaml !== null) writeFileSync(file, yaml)
  try {
    loadConfig({ file, flags: {}, env: {}, hostname: 'host1', ...sources })
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    t.equal(error.exitCode, 78)
    t.equal(error.message, error.problems.join('\n'))
    return error.problems.map((line) => line.replaceAll(file ?? '\0', 'F').replaceAll(dir, 'DIR'))
  }
  return []
}

const HOST_PORT = 'HOST:PORT or [IPV6]:PORT, port 0-65535 (0 = any free port)'
const DIAL = 'HOST:PORT or [IPV6]:PORT, port 1-65535'
const NAME = '1-63 of [A-Za-z0-9._-], starting with a letter or digit'
const SECTIONS = 'node, cluster, data_dir, mesh, http, dns, kv, sessions, checks, log, snapshots, providers'
const KEY_FILE = 'a file made with `constellation keygen` that only this user or group can read'
const NEEDS_KEY =
  'cluster.key_file: not set, and a cluster of more than one node needs a cluster key; make one with `constellation keygen > FILE; chmod 600 FILE`, the same for every node'

/** Bad files and what is said about each. */
const BAD: readonly (readonly [yaml: string, ...lines: string[]])[] = [
  // Unknown and duplicate keys.
  ['http:\n  lisen: x', 'F:2: http.lisen: unknown key; did you mean "listen"? allowed: listen'],
  ['htpp: {}', `F:1: htpp: unknown key; did you mean "http"? allowed: ${SECTIONS}`],
  ['dataDir: /x', `F:1: dataDir: unknown key; did you mean "data_dir"? allowed: ${SECTIONS}`],
  ['data-dir: /x', `F:1: data-dir: unknown key; did you mean "data_dir"? allowed: ${SECTIONS}`],
  ['join: []', `F:1: join: unknown key; did you mean "cluster.join"? allowed: ${SECTIONS}`],
  ['zzz: 1', `F:1: zzz: unknown key; allowed: ${SECTIONS}`],
  ['1: x', `F:1: 1: unknown key; allowed: ${SECTIONS}`],
  ['"a\\nb": 1', `F:1: a\\nb: unknown key; allowed: ${SECTIONS}`],
  ['<<: { http: {} }', `F:1: <<: unknown key; allowed: ${SECTIONS}`],
  [
    'providers:\n  dokcer: {}',
    'F:2: providers.dokcer: unknown key; did you mean "docker"? allowed: docker, files, traefik',
  ],
  [
    'providers: { cloudflare: {}, tailscale: {}, warp: {} }',
    'F:1: providers.cloudflare: unknown key; allowed: docker, files, traefik',
    'F:1: providers.tailscale: unknown key; allowed: docker, files, traefik',
    'F:1: providers.warp: unknown key; allowed: docker, files, traefik',
  ],
  [
    'providers: { traefik: { entrypoints: [web] } }',
    'F:1: providers.traefik.entrypoints: unknown key; did you mean "entry_points"? allowed: version, domain, node_hosts, entry_points, cert_resolver, grace, guard, hold, settle',
  ],
  [
    'node: { name: a }\nhttp: { listen: "127.0.0.1:1" }\nnode: { name: b }',
    'F:3: node: given twice; the first one is on line 1',
  ],
  ['node:\n  name: a\n  name: b', 'F:3: node.name: given twice; the first one is on line 2'],
  ['node: { meta: { a: x, a: y } }', 'F:1: node.meta.a: given twice'],
  // Wrong shapes.
  ['just text', `F:1: "just text" is not a mapping of settings; allowed: ${SECTIONS}`],
  ['- a\n- b', `F:1: a list is not a mapping of settings; allowed: ${SECTIONS}`],
  ['http: "127.0.0.1:8500"', 'F:1: http: "127.0.0.1:8500" is not a mapping of settings; allowed: listen'],
  ['http: []', 'F:1: http: a list is not a mapping of settings; allowed: listen'],
  [
    'http:\n  listen:\n    host: x',
    `F:3: http.listen: a mapping is not a single value; allowed: ${HOST_PORT}`,
  ],
  ['http:\n  listen:\n', `F:2: http.listen: has no value; allowed: ${HOST_PORT}`],
  ['data_dir: [a]', 'F:1: data_dir: a list is not a single value; allowed: a path'],
  [
    'cluster: { join: "10.0.0.1:7946" }',
    `F:1: cluster.join: "10.0.0.1:7946" is not a list; allowed: a list of ${DIAL}`,
  ],
  [
    'node: { meta: [a] }',
    'F:1: node.meta: a list is not a mapping; allowed: at most 64 pairs KEY: VALUE, KEY 1-128 of [A-Za-z0-9_-], VALUE at most 512 characters',
  ],
  [
    'node: { meta: { zone: 1 } }',
    'F:1: node.meta.zone: 1 is a number; put it in quotes; allowed: text of at most 512 characters',
  ],
  [
    'node: { meta: { "a b": x } }',
    'F:1: node.meta: "a b" is not a valid label name; allowed: 1-128 of [A-Za-z0-9_-]',
  ],
  // Addresses.
  ['http: { listen: 8500 }', `F:1: http.listen: 8500 is a number; put it in quotes; allowed: ${HOST_PORT}`],
  ['http: { listen: "8500" }', `F:1: http.listen: "8500" has no port; allowed: ${HOST_PORT}`],
  ['http: { listen: ":8500" }', `F:1: http.listen: ":8500" has no host; allowed: ${HOST_PORT}`],
  [
    'http: { listen: "127.0.0.1:" }',
    `F:1: http.listen: "127.0.0.1:" has no valid port (""); allowed: ${HOST_PORT}`,
  ],
  [
    'http: { listen: "127.0.0.1:http" }',
    `F:1: http.listen: "127.0.0.1:http" has no valid port ("http"); allowed: ${HOST_PORT}`,
  ],
  [
    'http: { listen: "127.0.0.1:65536" }',
    `F:1: http.listen: "127.0.0.1:65536" has a port above 65535; allowed: ${HOST_PORT}`,
  ],
  [
    'http: { listen: "127.0.0.1:-1" }',
    `F:1: http.listen: "127.0.0.1:-1" has no valid port ("-1"); allowed: ${HOST_PORT}`,
  ],
  [
    'http: { listen: "10.0.0.256:80" }',
    `F:1: http.listen: "10.0.0.256:80" has no valid host ("10.0.0.256"); allowed: ${HOST_PORT}`,
  ],
  [
    'http: { listen: "a b:80" }',
    `F:1: http.listen: "a b:80" has no valid host ("a b"); allowed: ${HOST_PORT}`,
  ],
  [
    'dns: { listen: "::1" }',
    `F:1: dns.listen: "::1" is an IPv6 address without brackets or port; allowed: ${HOST_PORT}`,
  ],
  [
    'dns: { listen: "2001:db8:0:0:0:0:0:1:53" }',
    `F:1: dns.listen: "2001:db8:0:0:0:0:0:1:53" needs brackets around its IPv6 address; allowed: ${HOST_PORT}`,
  ],
  ['dns: { listen: "[::1]" }', `F:1: dns.listen: "[::1]" has no port; allowed: ${HOST_PORT}`],
  [
    'dns: { listen: "[::g]:53" }',
    `F:1: dns.listen: "[::g]:53" has no IPv6 address between the brackets; allowed: ${HOST_PORT}`,
  ],
  [
    'mesh:\n  advertise: "0.0.0.0:7946"',
    `F:2: mesh.advertise: "0.0.0.0:7946" means every interface and cannot be dialled; allowed: ${DIAL}`,
  ],
  [
    'mesh:\n  advertise: "[::]:7946"',
    `F:2: mesh.advertise: "[::]:7946" means every interface and cannot be dialled; allowed: ${DIAL}`,
  ],
  ['mesh:\n  advertise: "10.0.0.1:0"', `F:2: mesh.advertise: "10.0.0.1:0" has port 0; allowed: ${DIAL}`],
  [
    `cluster:\n  key_file: ${keyFile}\n  join:\n    - "10.0.0.1:7946"\n    - "10.0.0.2"\n    - 7`,
    `F:5: cluster.join: "10.0.0.2" has no port; allowed: ${DIAL}`,
    `F:6: cluster.join: 7 is a number; put it in quotes; allowed: ${DIAL}`,
  ],
  // Names, numbers, words, domains, paths.
  ['node: { name: "" }', `F:1: node.name: "" is empty; allowed: ${NAME}`],
  ['node: { name: -a }', `F:1: node.name: "-a" does not start with a letter or digit; allowed: ${NAME}`],
  ['node: { name: a b }', `F:1: node.name: "a b" contains " "; allowed: ${NAME}`],
  ['node: { name: café }', `F:1: node.name: "café" contains "é"; allowed: ${NAME}`],
  [
    `node: { name: ${'a'.repeat(64)} }`,
    `F:1: node.name: "${'a'.repeat(64)}" is 64 characters long; allowed: ${NAME}`,
  ],
  ['cluster: { name: "my/cluster" }', `F:1: cluster.name: "my/cluster" contains "/"; allowed: ${NAME}`],
  ['node: { name: 12 }', `F:1: node.name: 12 is a number; put it in quotes; allowed: ${NAME}`],
  ['node: { name: true }', `F:1: node.name: true is a boolean; put it in quotes; allowed: ${NAME}`],
  ['node: { priority: high }', 'F:1: node.priority: "high" is not a number; allowed: a whole number 0–1000'],
  ['node: { priority: "5" }', 'F:1: node.priority: "5" is not a number; allowed: a whole number 0–1000'],
  [
    'node: { priority: 1.5 }',
    'F:1: node.priority: 1.5 is not a whole number; allowed: a whole number 0–1000',
  ],
  ['node: { priority: 1001 }', 'F:1: node.priority: 1001 is out of range; allowed: a whole number 0–1000'],
  [
    'cluster: { bootstrap_expect: -1 }',
    'F:1: cluster.bootstrap_expect: -1 is out of range; allowed: a whole number 0–99',
  ],
  ['cluster: { voters: 4 }', 'F:1: cluster.voters: 4 is not one of the allowed numbers; allowed: 3, 5'],
  ['cluster: { learners: 300 }', 'F:1: cluster.learners: 300 is out of range; allowed: a whole number 0–256'],
  [
    'cluster: { dead_voter_grace: 2s }',
    'F:1: cluster.dead_voter_grace: "2s" is out of range; allowed: a duration 3s-24h such as "30m" or "1h30m"',
  ],
  [
    'cluster: { dead_learner_grace: soon }',
    'F:1: cluster.dead_learner_grace: "soon" is not a duration; allowed: a duration 10s-8760h such as "30m" or "1h30m"',
  ],
  [
    'cluster: { dead_voter_grace: 60 }',
    'F:1: cluster.dead_voter_grace: 60 is a number; put it in quotes; allowed: a duration 3s-24h such as "30m" or "1h30m"',
  ],
  ['cluster: { voters: "5" }', 'F:1: cluster.voters: "5" is not a number; allowed: 3, 5'],
  [
    'cluster: { bootstrap_expect: .nan }',
    'F:1: cluster.bootstrap_expect: .nan is not a whole number; allowed: a whole number 0–99',
  ],
  [
    'log: { level: verbose }',
    'F:1: log.level: "verbose" is not one of the allowed words; allowed: fatal, error, warn, info, debug, trace',
  ],
  [
    'log: { level: INFO }',
    'F:1: log.level: "INFO" is not one of the allowed words; allowed: fatal, error, warn, info, debug, trace',
  ],
  [
    'log: { format: xml }',
    'F:1: log.format: "xml" is not one of the allowed words; allowed: auto, json, pretty',
  ],
  [
    'dns: { domain: "a..b" }',
    'F:1: dns.domain: "a..b" has the bad label ""; allowed: a DNS domain such as "constellation" or "cluster.example.com"',
  ],
  [
    'dns: { domain: "-x" }',
    'F:1: dns.domain: "-x" has the bad label "-x"; allowed: a DNS domain such as "constellation" or "cluster.example.com"',
  ],
  ['data_dir: ""', 'F:1: data_dir: "" is empty; allowed: a path'],
  [
    'providers: { docker: { socket: docker.sock, address: "a b", routable_networks: [ "x y" ] } }',
    'F:1: providers.docker.socket: "docker.sock" does not start with "/"; allowed: /PATH/TO/SOCKET or tcp://HOST:PORT',
    'F:1: providers.docker.address: "a b" is not an IP address or a host name; allowed: an IP address or a host name',
    'F:1: providers.docker.routable_networks: "x y" is not the name of a network; allowed: the name of a network',
  ],
  [
    'providers: { docker: { socket: "ssh://host" } }',
    'F:1: providers.docker.socket: "ssh://host" is not a socket or a tcp:// address; allowed: /PATH/TO/SOCKET or tcp://HOST:PORT',
  ],
  [
    'providers: { traefik: maybe }',
    'F:1: providers.traefik: "maybe" is not true or false; allowed: true, false',
  ],
  [
    'providers: { traefik: { entry_points: ["a b"] } }',
    `F:1: providers.traefik.entry_points: "a b" contains " "; allowed: ${NAME}`,
  ],
  [
    `node: { name: "${'x '.repeat(200)}" }`,
    `F:1: node.name: "${'x '.repeat(37)}x…" is 400 characters long; allowed: ${NAME}`,
  ],
  // The cluster key.
  [
    'cluster:\n  key_file: nope.key',
    `F:2: cluster.key_file: "DIR/nope.key" cannot be used: no such file; allowed: ${KEY_FILE}`,
  ],
  [
    'cluster:\n  key_file: .',
    `F:2: cluster.key_file: "DIR" cannot be used: it is a folder; allowed: ${KEY_FILE}`,
  ],
  [
    'cluster:\n  key_file: open.key',
    `F:2: cluster.key_file: "DIR/open.key" cannot be used: every user of this machine can open it (mode 644); run chmod 600 DIR/open.key; allowed: ${KEY_FILE}`,
  ],
  ['cluster:\n\n  join: ["10.0.0.1:7946"]', `F:3: ${NEEDS_KEY}`],
  ['cluster: { bootstrap_expect: 3 }', `F:1: ${NEEDS_KEY}`],
  ['cluster: { bootstrap_expect: 0 }', `F:1: ${NEEDS_KEY}`],
  // Several at once.
  [
    'node: { name: "", priority: x }\nhttp: { listn: 1 }',
    `F:1: node.name: "" is empty; allowed: ${NAME}`,
    'F:1: node.priority: "x" is not a number; allowed: a whole number 0–1000',
    'F:2: http.listn: unknown key; did you mean "listen"? allowed: listen',
  ],
  // Not YAML.
  [
    'node: {',
    'F:1: not valid YAML at column 8: Flow map in block collection must be sufficiently indented and end with a }',
  ],
  ['a: b: c', 'F:1: not valid YAML at column 4: Nested mappings are not allowed in compact mappings'],
  ['node: !secret x', 'F:1: not valid YAML at column 7: Unresolved tag: !secret'],
  [
    'a: 1\n---\nb: 2',
    'F:2: not valid YAML at column 1: Source contains multiple documents; please use YAML.parseAllDocuments()',
  ],
  ['node: *x', 'F:1: not valid YAML at column 7: there is no anchor &x before it'],
]

const TRAEFIK = {
  version: '3.0',
  domain: null,
  nodeHosts: true,
  entryPoints: [],
  certResolver: null,
  graceMs: 600_000,
  guardPercent: 50,
  holdMs: 60_000,
  settleMs: 1000,
}

t.test('each bad file is refused with the place, the key, the value and what is allowed', (t) => {
  for (const [yaml, ...lines] of BAD) t.strictSame(refusal(yaml), lines, JSON.stringify(yaml.slice(0, 60)))
  t.ok(BAD.length > 50)
  t.end()
})

t.test('a file that cannot be read is refused', (t) => {
  const none = join(dir, 'none.yaml')
  t.strictSame(refusal(null, { file: none }), [
    'DIR/none.yaml: the configuration file cannot be read: no such file',
  ])
  t.strictSame(refusal(null, { file: dir }), ['DIR: the configuration file cannot be read: it is a folder'])
  t.strictSame(refusal(Uint8Array.of(0xff, 0xfe, 0x41)), [
    'F: the configuration file cannot be read: it is not UTF-8 text',
  ])
  t.match(refusal('#'.repeat(1024 * 1024 + 1)), [/larger than 1048576 bytes/])
  t.end()
})

t.test('an empty configuration is one node on loopback', (t) => {
  const expected = {
    node: { name: 'host1', priority: 100, meta: {} },
    cluster: {
      name: 'constellation',
      keyFile: null,
      join: [],
      bootstrapExpect: 1,
      voters: 5,
      leaseReads: false,
      learners: 16,
      deadVoterGraceMs: 60_000,
      deadLearnerGraceMs: 86_400_000,
    },
    dataDir: '/srv/state',
    mesh: {
      listen: { host: '127.0.0.1', port: 7946 },
      advertise: null,
      connectionsMax: 128,
      onDemandMax: 512,
    },
    http: { listen: { host: '127.0.0.1', port: 8500 } },
    dns: {
      listen: { host: '127.0.0.1', port: 8600 },
      domain: 'constellation',
      onlyPassing: false,
      ttls: { node: 0, service: {}, negative: 0 },
      addressesMax: 0,
      udpAnswersMax: 0,
      recursors: [],
      recursorTimeoutMs: 2_000,
    },
    log: { level: 'info', format: 'auto' },
    snapshots: null,
    kv: { valueBytesMax: 524_288 },
    sessions: { ttlMinMs: 10_000, ttlFactor: 2 },
    checks: { scripts: 'off', dockerSocket: '/var/run/docker.sock', deregisterMinMs: 60_000 },
    providers: { docker: null, files: null, traefik: TRAEFIK },
    file: null,
  }
  const env = { STATE_DIRECTORY: '/srv/state:/srv/other' }
  t.strictSame(load(null, { env }), expected)
  const empty = load('# nothing\n', { env })
  t.strictSame({ ...empty, file: null }, expected)
  t.strictSame(
    { ...load('http:\ncluster: {}\nproviders:\n', { env }), file: null },
    expected,
    'empty sections',
  )
  t.throws(() => {
    ;(empty.http.listen as { port: number }).port = 1
  }, 'frozen to the leaves')
  t.end()
})

t.test('snapshots are saved only where it is said how often', (t) => {
  const sources = { flags: { data_dir: '/srv/data' } }
  t.strictSame(load('snapshots: { every: 30m }', sources).snapshots, {
    everyMs: 1_800_000,
    keep: 24,
    directory: '/srv/data/snapshots',
  })
  const warnings: string[] = []
  const onWarning = (line: string) => warnings.push(line.replace(/^.*?: /, ''))
  t.equal(load('snapshots: { keep: 3 }', { onWarning }).snapshots, null)
  t.equal(load('snapshots: { directory: x }', { onWarning }).snapshots, null)
  t.equal(load('snapshots: {}', { onWarning }).snapshots, null)
  t.strictSame(warnings, [
    'snapshots.keep: has no effect without snapshots.every: no snapshots are saved',
    'snapshots.directory: has no effect without snapshots.every: no snapshots are saved',
  ])
  const allowed = 'a duration 1s-720h such as "30m" or "1h30m"'
  for (const [value, what] of [
    ['soon', '"soon" is not a duration'],
    ['100ms', '"100ms" is out of range'],
    ['721h', '"721h" is out of range'],
    ['-1h', '"-1h" is out of range'],
    ['60', '60 is a number; put it in quotes'],
  ]) {
    t.strictSame(refusal(`snapshots: { every: ${value} }`), [
      `F:1: snapshots.every: ${what}; allowed: ${allowed}`,
    ])
  }
  t.end()
})

t.test('an anchor stands for its value', (t) => {
  const config = load('http: { listen: &a "127.0.0.1:1" }\ndns: { listen: *a }')
  t.strictSame(config.dns.listen, { host: '127.0.0.1', port: 1 })
  t.end()
})

t.test('a full file is read as it is written', (t) => {
  const config = load(`
node:    { name: n1, priority: 5, meta: { zone: a, rack: "2" } }
cluster: { name: home, key_file: cluster.key, join: [ "10.0.0.1:7946", "[fd00::1]:7946", "10.0.0.1:7946" ], bootstrap_expect: 3, voters: 3, lease_reads: true, learners: 0, dead_voter_grace: 1m30s, dead_learner_grace: 12h }
data_dir: data
mesh:    { listen: "0.0.0.0:7946", advertise: "n1.example.com:7946", connections_max: 64, on_demand_max: 256 }
http:    { listen: "[::]:0" }
dns:     { listen: "127.0.0.1:53", domain: Cluster.Example.COM. }
log:     { level: debug, format: json }
snapshots: { every: 1h30m, keep: 7, directory: backups }
kv: { value_bytes_max: 4194304 }
sessions: { ttl_min: 1s, ttl_factor: 1 }
checks: { scripts: on, docker_socket: /run/docker.sock, deregister_min: 5m }
providers: { docker: { socket: "tcp://127.0.0.1:2375", expose_by_default: true, address: 10.0.0.9, routable_networks: [ mesh ], restart: true, run_once: true }, files: { directory: /etc/services }, traefik: { entry_points: [ websecure, web ] } }
`)
  t.strictSame(config, {
    node: { name: 'n1', priority: 5, meta: { zone: 'a', rack: '2' } },
    cluster: {
      name: 'home',
      keyFile,
      join: [
        { host: '10.0.0.1', port: 7946 },
        { host: 'fd00::1', port: 7946 },
      ],
      bootstrapExpect: 3,
      voters: 3,
      leaseReads: true,
      learners: 0,
      deadVoterGraceMs: 90_000,
      deadLearnerGraceMs: 43_200_000,
    },
    dataDir: join(dir, 'data'),
    mesh: {
      listen: { host: '0.0.0.0', port: 7946 },
      advertise: { host: 'n1.example.com', port: 7946 },
      connectionsMax: 64,
      onDemandMax: 256,
    },
    http: { listen: { host: '::', port: 0 } },
    dns: {
      listen: { host: '127.0.0.1', port: 53 },
      domain: 'cluster.example.com',
      onlyPassing: false,
      ttls: { node: 0, service: {}, negative: 0 },
      addressesMax: 0,
      udpAnswersMax: 0,
      recursors: [],
      recursorTimeoutMs: 2_000,
    },
    log: { level: 'debug', format: 'json' },
    snapshots: { everyMs: 5_400_000, keep: 7, directory: join(dir, 'backups') },
    kv: { valueBytesMax: 4_194_304 },
    sessions: { ttlMinMs: 1_000, ttlFactor: 1 },
    checks: { scripts: 'on', dockerSocket: '/run/docker.sock', deregisterMinMs: 300_000 },
    providers: {
      docker: {
        socket: { kind: 'tcp', host: '127.0.0.1', port: 2375 },
        exposeByDefault: true,
        address: '10.0.0.9',
        routableNetworks: ['mesh'],
        restart: true,
        runOnce: true,
      },
      files: { directory: '/etc/services' },
      traefik: { ...TRAEFIK, entryPoints: ['websecure', 'web'] },
    },
    file: config.file,
  })
  t.end()
})

t.test('flag before environment before file before default', (t) => {
  const yaml = 'http: { listen: "127.0.0.1:1001" }'
  const env = { CONSTELLATION_HTTP_LISTEN: '127.0.0.1:1002' }
  const flags = { 'http.listen': '127.0.0.1:1003' }
  t.equal(load(null).http.listen.port, 8500)
  t.equal(load(yaml).http.listen.port, 1001)
  t.equal(load(yaml, { env }).http.listen.port, 1002)
  t.equal(load(yaml, { env, flags }).http.listen.port, 1003)
  t.equal(load(yaml, { env: { CONSTELLATION_HTTP_LISTEN: '' } }).http.listen.port, 1001, 'empty = unset')
  t.end()
})

t.test('lists and mappings in the environment and in flags', (t) => {
  const env = {
    CONSTELLATION_CLUSTER_JOIN: '10.0.0.1:7946, [fd00::1]:7946',
    CONSTELLATION_CLUSTER_KEY_FILE: keyFile,
    CONSTELLATION_NODE_META: 'zone=a,note=x=y',
    CONSTELLATION_PROVIDERS_TRAEFIK_ENTRY_POINTS: 'web,websecure',
    CONSTELLATION_NODE_PRIORITY: '7',
  }
  const config = load(null, { env })
  t.strictSame(config.cluster.join, [
    { host: '10.0.0.1', port: 7946 },
    { host: 'fd00::1', port: 7946 },
  ])
  t.strictSame(config.node, { name: 'host1', priority: 7, meta: { zone: 'a', note: 'x=y' } })
  t.strictSame(config.providers.traefik?.entryPoints, ['web', 'websecure'])
  const flags = { 'cluster.join': ['a:1', 'b:2'] }
  t.strictSame(
    load(null, { env, flags }).cluster.join.map(({ host }) => host),
    ['a', 'b'],
  )
  t.end()
})

t.test('a bad value names the variable or the flag it came from', (t) => {
  t.strictSame(refusal(null, { env: { CONSTELLATION_HTTP_LISTEN: 'x' } }), [
    `CONSTELLATION_HTTP_LISTEN: http.listen: "x" has no port; allowed: ${HOST_PORT}`,
  ])
  t.strictSame(refusal(null, { flags: { 'mesh.listen': 'x', 'cluster.bootstrap_expect': 'two' } }), [
    '--bootstrap-expect: cluster.bootstrap_expect: "two" is not a whole number; allowed: a whole number 0–99',
    `--mesh: mesh.listen: "x" has no port; allowed: ${HOST_PORT}`,
  ])
  t.strictSame(refusal(null, { flags: { 'node.name': '' } }), [
    `--node: node.name: "" is empty; allowed: ${NAME}`,
  ])
  t.strictSame(refusal(null, { flags: { 'cluster.join': ['10.0.0.1:7946'] } }), [`--join: ${NEEDS_KEY}`])
  t.strictSame(refusal(null, { flags: { 'cluster.key_file': join(dir, 'bad.key') } }).length, 1)
  t.match(refusal(null, { flags: { 'cluster.key_file': join(dir, 'bad.key') } }), [
    /^--cluster-key-file: cluster\.key_file: "DIR\/bad\.key" holds no cluster key: a cluster key is 32 bytes/,
  ])
  t.strictSame(refusal(null, { env: { CONSTELLATION_NODE_META: 'zone' } }), [
    'CONSTELLATION_NODE_META: node.meta: "zone" has no "="; allowed: at most 64 pairs KEY: VALUE, KEY 1-128 of [A-Za-z0-9_-], VALUE at most 512 characters',
  ])
  t.strictSame(refusal(null, { hostname: '_odd' }), [
    `node.name: the host name "_odd" does not start with a letter or digit; set node.name or --node; allowed: ${NAME}`,
  ])
  t.equal(load(null, { hostname: '_odd', flags: { 'node.name': 'n1' } }).node.name, 'n1')
  t.end()
})

t.test('a misspelt variable is an error, a foreign one a warning', (t) => {
  t.strictSame(refusal(null, { env: { CONSTELLATION_HTTP_LISEN: 'x' } }), [
    'CONSTELLATION_HTTP_LISEN: unknown variable; did you mean CONSTELLATION_HTTP_LISTEN?',
  ])
  t.strictSame(refusal(null, { env: { CONSTELLATION_JOIN: 'x' } }), [
    'CONSTELLATION_JOIN: unknown variable; did you mean CONSTELLATION_CLUSTER_JOIN?',
  ])
  const warnings: string[] = []
  const env = {
    CONSTELLATION_PORT_8500_TCP: 'tcp://x',
    CONSTELLATION_HTTP_ADDR: 'x',
    CONSTELLATION_PARENT_PIPE: '1',
  }
  load(null, { env, onWarning: (line) => warnings.push(line) })
  t.strictSame(warnings, ['CONSTELLATION_PORT_8500_TCP: no setting has this variable'])
  t.end()
})

t.test('bootstrap_expect and join', (t) => {
  const key = { 'cluster.key_file': keyFile }
  const join = { ...key, 'cluster.join': ['127.0.0.1:7946'] }
  t.equal(load(null).cluster.bootstrapExpect, 1)
  t.equal(load(null, { flags: join }).cluster.bootstrapExpect, 0)
  t.equal(load(null, { flags: { ...join, 'cluster.bootstrap_expect': '3' } }).cluster.bootstrapExpect, 3)
  t.equal(load(null, { flags: { ...key, 'cluster.bootstrap_expect': '3' } }).cluster.bootstrapExpect, 3)
  const warnings: string[] = []
  const onWarning = (line: string) => warnings.push(line)
  const config = load('cluster:\n  bootstrap_expect: 1', { flags: join, onWarning })
  t.equal(config.cluster.bootstrapExpect, 0)
  t.match(warnings, [
    /c\d+\.yaml:2: cluster\.bootstrap_expect: 1 together with join is treated as 0: a node with join never makes a cluster of its own$/,
  ])
  t.end()
})

t.test('a loopback mesh that joins a remote node is worth a warning', (t) => {
  const warnings: string[] = []
  const onWarning = (line: string) => warnings.push(line)
  const flags = { 'cluster.key_file': keyFile, 'cluster.join': '10.0.0.1:7946' }
  load(null, { flags, onWarning })
  t.strictSame(warnings, [
    'mesh.listen: 127.0.0.1 is this host only, and nodes such as 10.0.0.1 cannot connect to it',
  ])
  load(null, { flags: { ...flags, 'mesh.listen': '0.0.0.0:7946' }, onWarning })
  load(null, { flags: { ...flags, 'cluster.join': 'localhost:7946' }, onWarning })
  t.equal(warnings.length, 1)
  t.end()
})

t.test('the cluster key is found among the credentials of systemd', (t) => {
  const credentials = join(dir, 'credentials')
  mkdirSync(credentials)
  t.equal(load(null, { env: { CREDENTIALS_DIRECTORY: credentials } }).cluster.keyFile, null)
  const found = join(credentials, 'cluster-key')
  writeFileSync(found, generateClusterKey(), { mode: 0o400 })
  t.equal(load(null, { env: { CREDENTIALS_DIRECTORY: credentials } }).cluster.keyFile, found)
  const explicit = load(null, {
    env: { CREDENTIALS_DIRECTORY: credentials },
    flags: { 'cluster.key_file': keyFile },
  })
  t.equal(explicit.cluster.keyFile, keyFile)
  chmodSync(found, 0o600)
  writeFileSync(found, 'x')
  t.match(refusal(null, { env: { CREDENTIALS_DIRECTORY: credentials } }), [
    /^CREDENTIALS_DIRECTORY: cluster\.key_file: "DIR\/credentials\/cluster-key" holds no cluster key/,
  ])
  t.end()
})

t.test('the settings of the Traefik provider', (t) => {
  const file = `providers:
  traefik:
    version: v3.4.1
    domain: Example.com
    node_hosts: false
    entry_points: [websecure]
    cert_resolver: le
    grace: 0s
    guard: 100
    hold: 5s
    settle: 2s`
  t.strictSame(load(file).providers.traefik, {
    version: '3.4',
    domain: 'example.com',
    nodeHosts: false,
    entryPoints: ['websecure'],
    certResolver: 'le',
    graceMs: 0,
    guardPercent: 100,
    holdMs: 5000,
    settleMs: 2000,
  })
  t.match(refusal('providers: { traefik: { guard: 0 } }'), [/allowed: a whole number 1–100/])
  for (const version of ['"3"', '"2.11"', 'latest', '"3.x"']) {
    t.match(refusal(`providers: { traefik: { version: ${version} } }`), [/is not a release.*from 3\.0 on$/])
  }
  t.match(refusal('providers: { traefik: { version: 3.4 } }'), [/put it in quotes/])
  t.end()
})

t.test('the Docker source is switched on by naming it', (t) => {
  t.equal(load(null).providers.docker, null)
  t.equal(load('providers: { docker: false }').providers.docker, null)
  t.strictSame(load('providers: { docker: {} }').providers.docker, {
    socket: { kind: 'unix', path: '/var/run/docker.sock' },
    exposeByDefault: false,
    address: null,
    routableNetworks: [],
    restart: false,
    runOnce: false,
  })
  const podman = load('providers: { docker: { socket: "unix:///run/podman/podman.sock" } }')
  t.strictSame(podman.providers.docker?.socket, { kind: 'unix', path: '/run/podman/podman.sock' })
  t.ok(load(null, { env: { CONSTELLATION_PROVIDERS_DOCKER: 'true' } }).providers.docker)
  t.end()
})

t.test('the Traefik provider can be switched off', (t) => {
  t.equal(load('providers: { traefik: false }').providers.traefik, null)
  t.strictSame(load('providers: { traefik: true }').providers.traefik, TRAEFIK)
  t.strictSame(load('providers: { traefik: }').providers.traefik, TRAEFIK)
  t.equal(load(null, { env: { CONSTELLATION_PROVIDERS_TRAEFIK: 'false' } }).providers.traefik, null)
  t.end()
})

t.test('paths: ~ is the home folder, a relative path of a flag starts where the program runs', (t) => {
  t.equal(load('data_dir: ~/state', { env: { HOME: '/home/u' } }).dataDir, '/home/u/state')
  t.equal(load(null, { flags: { data_dir: 'x' } }).dataDir, join(process.cwd(), 'x'))
  t.end()
})

t.test('a reload tells what changed and what needs a restart', (t) => {
  const before = load('node: { meta: { a: x, b: y } }')
  t.strictSame(diffReloadable(before, load('node: { meta: { b: y, a: x } }')), {
    changed: [],
    needsRestart: [],
  })
  const next = load(
    'node: { priority: 5 }\nhttp: { listen: "127.0.0.1:1" }\nlog: { level: debug, format: json }\nproviders: { traefik: { entry_points: [web] } }',
  )
  t.strictSame(diffReloadable(before, next), {
    changed: [
      'node.priority',
      'node.meta',
      'http.listen',
      'log.level',
      'log.format',
      'providers.traefik.entry_points',
    ],
    needsRestart: ['node.meta', 'http.listen', 'log.format'],
  })
  t.end()
})
