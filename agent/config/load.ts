import { closeSync, existsSync, openSync, readSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { dockerConfig } from './docker-settings.ts'
import { ConfigError, type ConfigProblem, fileReason, formatProblem, quoteValue } from './errors.ts'
import { isLoopback } from './host-port.ts'
import { checkKeyFile } from './key-file.ts'
import { envName, SETTING_PATHS, SETTINGS, type SettingPath, type SettingValues } from './schema.ts'
import { checkVariables, fromTexts } from './texts.ts'
import { traefikConfig } from './traefik-settings.ts'
import type { Config, HostPort } from './types.ts'
import { name } from './values.ts'
import { type FoundValue, readSettings } from './yaml-file.ts'

/** Settings that name a file or a folder. */
const PATHS: readonly SettingPath[] = [
  'data_dir',
  'cluster.key_file',
  'snapshots.directory',
  'providers.files.directory',
]
const FILE_BYTES_MAX = 1024 * 1024
const KEY_FILE_ALLOWED = 'a file made with `constellation keygen` that only this user or group can read'

/** Flags of the command line by the path of their setting; lists may be given as several values. */
export type ConfigFlags = { readonly [Path in SettingPath]?: string | readonly string[] | undefined }

/** Where a configuration comes from. */
export interface ConfigSources {
  /** Path of the YAML file; null = none. */
  readonly file: string | null
  readonly flags: ConfigFlags
  readonly env: Readonly<Record<string, string | undefined>>
  /** The default of `node.name`. */
  readonly hostname: string
  /** Told about what is accepted but probably not meant; one line each, in the form of an error. */
  readonly onWarning?: (line: string) => void
}

/**
 * Merges flags, environment, file and defaults (in that order) and checks the result, including that the cluster key
 * can be read. Reads files, changes nothing.
 * @throws ConfigError with every problem found, one line each.
 */
export function loadConfig(sources: ConfigSources): Config {
  const problems: ConfigProblem[] = []
  const warnings: ConfigProblem[] = []
  const found = new Map<SettingPath, FoundValue>()
  if (sources.file !== null) {
    const fromFile = readSettings(sources.file, readText(sources.file))
    problems.push(...fromFile.problems)
    for (const [settingPath, value] of fromFile.found) {
      found.set(settingPath, fromFolder(settingPath, value, dirname(resolve(sources.file))))
    }
  }
  checkVariables(sources.env, problems, warnings)
  for (const settingPath of SETTING_PATHS) {
    const variable = envName(settingPath)
    const fromEnv = sources.env[variable]
    // An empty variable is an unset one: EnvironmentFile= and compose files cannot unset.
    if (fromEnv !== undefined && fromEnv !== '') take(settingPath, variable, [fromEnv])
    const fromFlag = sources.flags[settingPath]
    if (fromFlag !== undefined && fromFlag.length > 0) {
      take(settingPath, SETTINGS[settingPath].flag ?? settingPath, [fromFlag].flat())
    } else if (fromFlag === '') {
      take(settingPath, SETTINGS[settingPath].flag ?? settingPath, [''])
    }
  }
  const config = assemble(sources, found, problems, warnings)
  if (problems.length > 0) throw new ConfigError('CFG_INVALID', problems)
  for (const warning of warnings) sources.onWarning?.(formatProblem(warning))
  return config

  function take(settingPath: SettingPath, where: string, texts: readonly string[]): void {
    const before = problems.length
    const value = fromTexts(settingPath, where, texts, problems)
    if (problems.length === before) found.set(settingPath, { value, where })
  }
}

function assemble(
  sources: ConfigSources,
  found: ReadonlyMap<SettingPath, FoundValue>,
  problems: ConfigProblem[],
  warnings: ConfigProblem[],
): Config {
  const get = <Path extends SettingPath>(settingPath: Path): SettingValues[Path] | undefined =>
    found.get(settingPath)?.value as SettingValues[Path] | undefined
  const { env } = sources
  const listen = get('mesh.listen') ?? { host: '127.0.0.1', port: 7946 }
  const joinList = unique(get('cluster.join') ?? [])
  const key = clusterKey(found, env, problems)
  const expect = bootstrapExpect(found, joinList, warnings)
  const several = joinList.length > 0 || expect !== 1
  // A bad cluster.key_file is a problem already; saying that there is none would be one too many.
  if (several && key === null && !problems.some((problem) => problem.key === 'cluster.key_file')) {
    const reason = found.get('cluster.join') ?? found.get('cluster.bootstrap_expect')
    problems.push({
      where: reason?.where ?? null,
      key: 'cluster.key_file',
      what: 'not set, and a cluster of more than one node needs a cluster key; make one with `constellation keygen > FILE; chmod 600 FILE`, the same for every node',
      allowed: null,
    })
  }
  warnUnreachable(found, joinList, listen, warnings)
  return deepFreeze({
    node: {
      name: get('node.name') ?? nameFromHost(sources.hostname, problems),
      priority: get('node.priority') ?? 100,
      meta: get('node.meta') ?? {},
    },
    cluster: {
      name: get('cluster.name') ?? 'constellation',
      keyFile: key,
      join: joinList,
      bootstrapExpect: expect,
      voters: get('cluster.voters') ?? 5,
      leaseReads: get('cluster.lease_reads') ?? false,
      learners: get('cluster.learners') ?? 16,
      deadVoterGraceMs: get('cluster.dead_voter_grace') ?? 60_000,
      deadLearnerGraceMs: get('cluster.dead_learner_grace') ?? 24 * 60 * 60_000,
    },
    dataDir: absolute(get('data_dir') ?? defaultDataDir(env), env),
    mesh: {
      listen,
      advertise: get('mesh.advertise') ?? null,
      connectionsMax: get('mesh.connections_max') ?? 128,
      onDemandMax: get('mesh.on_demand_max') ?? 512,
    },
    http: { listen: get('http.listen') ?? { host: '127.0.0.1', port: 8500 } },
    dns: {
      listen: get('dns.listen') ?? { host: '127.0.0.1', port: 8600 },
      domain: get('dns.domain') ?? 'constellation',
      onlyPassing: get('dns.only_passing') ?? false,
      ttls: {
        node: get('dns.node_ttl') ?? 0,
        service: get('dns.service_ttl') ?? {},
        negative: get('dns.soa_min_ttl') ?? 0,
      },
      addressesMax: get('dns.a_record_limit') ?? 0,
      udpAnswersMax: get('dns.udp_answer_limit') ?? 0,
      recursors: unique(get('dns.recursors') ?? []),
      recursorTimeoutMs: get('dns.recursor_timeout') ?? 2_000,
    },
    kv: { valueBytesMax: get('kv.value_bytes_max') ?? 512 * 1024 },
    sessions: {
      ttlMinMs: get('sessions.ttl_min') ?? 10_000,
      ttlFactor: get('sessions.ttl_factor') ?? 2,
    },
    checks: {
      scripts: get('checks.scripts') ?? 'off',
      dockerSocket: get('checks.docker_socket') ?? '/var/run/docker.sock',
      deregisterMinMs: get('checks.deregister_min') ?? 60_000,
    },
    log: { level: get('log.level') ?? 'info', format: get('log.format') ?? 'auto' },
    snapshots: snapshots(found, absolute(get('data_dir') ?? defaultDataDir(env), env), env, warnings),
    providers: { docker: dockerConfig(get), files: files(found, env), traefik: traefikConfig(get) },
    file: sources.file === null ? null : resolve(sources.file),
  })
}

function readText(file: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(readBytes(file))
  } catch (error) {
    const what = `the configuration file cannot be read: ${fileReason(error)}`
    throw new ConfigError('CFG_UNREADABLE', [{ where: file, key: null, what, allowed: null }])
  }
}

/** Reads at most what is allowed: a pipe or a device has no size to ask for. */
function readBytes(file: string): Uint8Array {
  const bytes = Buffer.alloc(FILE_BYTES_MAX + 1)
  const descriptor = openSync(file, 'r')
  try {
    let length = 0
    for (let read = -1; read !== 0 && length < bytes.length; length += read) {
      read = readSync(descriptor, bytes, length, bytes.length - length, null)
    }
    if (length > FILE_BYTES_MAX) throw new Error(`larger than ${FILE_BYTES_MAX} bytes`)
    return bytes.subarray(0, length)
  } finally {
    closeSync(descriptor)
  }
}

function clusterKey(
  found: ReadonlyMap<SettingPath, FoundValue>,
  env: ConfigSources['env'],
  problems: ConfigProblem[],
): string | null {
  const setting = found.get('cluster.key_file')
  let file: string
  let where: string
  if (setting !== undefined) {
    file = absolute(setting.value as string, env)
    where = setting.where
  } else {
    const credentials = env.CREDENTIALS_DIRECTORY
    if (credentials === undefined || credentials === '') return null
    file = join(credentials, 'cluster-key')
    where = 'CREDENTIALS_DIRECTORY'
    if (!existsSync(file)) return null
  }
  try {
    checkKeyFile(file)
  } catch (error) {
    const what = (error as Error).message
    problems.push({ where, key: 'cluster.key_file', what, allowed: KEY_FILE_ALLOWED })
  }
  return file
}

function bootstrapExpect(
  found: ReadonlyMap<SettingPath, FoundValue>,
  joinList: readonly HostPort[],
  warnings: ConfigProblem[],
): number {
  const setting = found.get('cluster.bootstrap_expect')
  if (setting === undefined) return joinList.length > 0 ? 0 : 1
  if (setting.value === 1 && joinList.length > 0) {
    warnings.push({
      where: setting.where,
      key: 'cluster.bootstrap_expect',
      what: '1 together with join is treated as 0: a node with join never makes a cluster of its own',
      allowed: null,
    })
    return 0
  }
  return setting.value as number
}

function snapshots(
  found: ReadonlyMap<SettingPath, FoundValue>,
  dataDir: string,
  env: ConfigSources['env'],
  warnings: ConfigProblem[],
): Config['snapshots'] {
  const every = found.get('snapshots.every')
  const keep = found.get('snapshots.keep')
  const directory = found.get('snapshots.directory')
  const idle = keep ?? directory
  if (every === undefined) {
    if (idle !== undefined) {
      const what = 'has no effect without snapshots.every: no snapshots are saved'
      const key = keep === undefined ? 'snapshots.directory' : 'snapshots.keep'
      warnings.push({ where: idle.where, key, what, allowed: null })
    }
    return null
  }
  return {
    everyMs: every.value as number,
    keep: (keep?.value as number | undefined) ?? 24,
    directory:
      directory === undefined ? join(dataDir, 'snapshots') : absolute(directory.value as string, env),
  }
}

function files(
  found: ReadonlyMap<SettingPath, FoundValue>,
  env: ConfigSources['env'],
): Config['providers']['files'] {
  const directory = found.get('providers.files.directory')
  return directory === undefined ? null : { directory: absolute(directory.value as string, env) }
}

function warnUnreachable(
  found: ReadonlyMap<SettingPath, FoundValue>,
  joinList: readonly HostPort[],
  listen: HostPort,
  warnings: ConfigProblem[],
): void {
  const remote = joinList.find((address) => !isLoopback(address.host))
  if (remote === undefined || !isLoopback(listen.host) || found.has('mesh.advertise')) return
  warnings.push({
    where: found.get('mesh.listen')?.where ?? null,
    key: 'mesh.listen',
    what: `${listen.host} is this host only, and nodes such as ${remote.host} cannot connect to it`,
    allowed: null,
  })
}

function nameFromHost(hostname: string, problems: ConfigProblem[]): string {
  try {
    return name().fromText(hostname)
  } catch (error) {
    const what = `the host name ${quoteValue(hostname)} ${(error as Error).message}; set node.name or --node`
    problems.push({ where: null, key: 'node.name', what, allowed: name().allowed })
    return hostname
  }
}

function defaultDataDir(env: ConfigSources['env']): string {
  // systemd separates several state directories with colons; the first one is ours.
  const state = env.STATE_DIRECTORY?.split(':')[0]
  if (state !== undefined && state !== '') return state
  return process.getuid?.() === 0 ? '/var/lib/constellation' : '~/.local/share/constellation'
}

/** A relative path in the file starts at the folder of the file, so that it means the same wherever the agent starts. */
function fromFolder(settingPath: SettingPath, found: FoundValue, folder: string): FoundValue {
  if (!PATHS.includes(settingPath)) return found
  const value = found.value as string
  return value.startsWith('~/') ? found : { value: resolve(folder, value), where: found.where }
}

function absolute(value: string, env: ConfigSources['env']): string {
  return value.startsWith('~/') ? join(env.HOME ?? homedir(), value.slice(2)) : resolve(value)
}

function unique(addresses: readonly HostPort[]): readonly HostPort[] {
  return [...new Map(addresses.map((address) => [`${address.host} ${address.port}`, address])).values()]
}

function deepFreeze<T extends object>(value: T): T {
  for (const each of Object.values(value)) {
    if (typeof each === 'object' && each !== null) deepFreeze(each)
  }
  return Object.freeze(value)
}
