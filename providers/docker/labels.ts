import { isIP } from 'node:net'
import { LIMITS } from '../../discovery/catalog/limits.ts'
import { DurationError, formatGoDuration, parseGoDuration } from '../../discovery/health/duration.ts'
import type { PortProtocol } from './container.ts'
import type { DockerProblem } from './problem.ts'

/** A check the agent is to run against a port of a container. */
export interface CheckWish {
  readonly kind: 'http' | 'tcp' | 'grpc'
  /** Path of an HTTP check, name of a gRPC service, "" for TCP. */
  readonly target: string
  readonly scheme: 'http' | 'https'
  /** Container port; null = the main one. */
  readonly port: number | null
  readonly intervalMs: number
  readonly timeoutMs: number
  readonly failures: number
}

/** When a container that is unhealthy is to be restarted. */
export interface RestartWish {
  /** Restarts per window; after that it is left alone. */
  readonly max: number
  readonly windowMs: number
}

/** What the labels of a container ask for. */
export interface Wishes {
  /** Null if nothing is said. */
  readonly enabled: boolean | null
  readonly service: string | null
  readonly port: { readonly port: number; readonly protocol: PortProtocol } | null
  readonly address: string | null
  /** Its address in this network is the one others use. */
  readonly network: string | null
  /** The network Traefik would take its address from. */
  readonly traefikNetwork: string | null
  readonly tags: readonly string[]
  readonly meta: Readonly<Record<string, string>>
  readonly weight: number | null
  readonly check: CheckWish | null
  readonly restart: RestartWish | null
  readonly runOnce: boolean
  /** What views read: every `traefik.*` label as it is, and every `constellation.*` label that can be used, in lower case. */
  readonly labels: Readonly<Record<string, string>>
  readonly problems: readonly DockerProblem[]
}

/** How labels are read. */
export interface LabelOptions {
  /** The candidate that a misspelt word was probably meant to be. */
  readonly suggest?: (word: string, candidates: readonly string[]) => string | null
}

const PREFIX = 'constellation.'
const META = 'meta.'
const CHECK_MS = { interval: 10_000, timeout: 5_000 }
const RESTART_MAX = 3
const RESTART_WINDOW_MS = 15 * 60_000

/** Reads the text of a label. @throws Error with what is wrong, as the end of a sentence that begins with the label */
type Reader = (value: string) => unknown

/** Every label there is, by the part behind `constellation.`. */
const LABELS: Readonly<Record<string, Reader>> = {
  enable: flag,
  service: (value) => {
    if (!/^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/.test(value)) {
      throw new Error('must be 1-63 of [A-Za-z0-9._-], with a letter or a digit at both ends')
    }
    return value
  },
  port: (value) => {
    const [, digits, protocol = 'tcp'] = /^([0-9]{1,5})(?:\/(tcp|udp))?$/.exec(value) ?? []
    return { port: range(digits ?? '', 1, 65_535, 'a port such as 80 or 53/udp'), protocol }
  },
  address: (value) => {
    if (isIP(value) === 0 && !/^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/.test(value)) {
      throw new Error('must be an IP address or a host name')
    }
    return value
  },
  network: nonEmpty,
  tags: list,
  // What the Traefik view reads too, with the same bounds.
  tier: (value) => {
    if (value === 'priority') return value
    return range(value, 0, 1000, 'a whole number from 0 to 1000, of which 0 is the first, or priority')
  },
  weight: (value) => range(value, 0, 1000, 'a whole number from 0 to 1000'),
  canary: (value) => range(value.replace(/%$/, ''), 0, 100, 'a whole number of percent'),
  mirror: (value) => range(value.replace(/%$/, ''), 0, 100, 'a whole number of percent'),
  failover: (value) => {
    if (!list(value).every((item) => /^[1-5][0-9]{2}(-[1-5][0-9]{2})?$/.test(item))) {
      throw new Error('must be statuses such as 502-504 or 500,503')
    }
    return value
  },
  'local-first': flag,
  'run-once': flag,
  dns: (value) => {
    const names = list(value)
    const bad = names.find((name) => !/^(\*\.)?([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?\.?)+$/i.test(name))
    if (bad !== undefined || names.length === 0) throw new Error('must be DNS names with commas between them')
    return names
  },
  drain: flag,
  restart: (value) => {
    if (value !== 'on-unhealthy' && value !== 'no') throw new Error('must be on-unhealthy or no')
    return value === 'on-unhealthy'
  },
  'restart.max': (value) => range(value, 1, 100, 'a whole number from 1 to 100'),
  'restart.window': (value) => duration(value, 60_000, 86_400_000),
  'check.http': (value) => {
    if (!value.startsWith('/') || /[\s\p{Cc}]/u.test(value)) {
      throw new Error('must be a path such as /health: the address is that of the container')
    }
    return value
  },
  'check.tcp': flag,
  'check.grpc': (value) => {
    if (!/^[A-Za-z0-9._/-]*$/.test(value)) throw new Error('must be the name of a gRPC service, or empty')
    return value
  },
  'check.port': (value) => range(value, 1, 65_535, 'a port'),
  'check.scheme': (value) => {
    if (value !== 'http' && value !== 'https') throw new Error('must be http or https')
    return value
  },
  'check.interval': (value) => duration(value, 1_000, 3_600_000),
  'check.timeout': (value) => duration(value, 100, 600_000),
  'check.failures': (value) => range(value, 1, 100, 'a whole number from 1 to 100'),
}

/** The names of all labels but `constellation.meta.*`. */
export const LABEL_NAMES: readonly string[] = Object.keys(LABELS).map((name) => PREFIX + name)

/** Labels of other tools, and the one of ours each of them means. */
const ALIASES: Readonly<
  Record<string, { readonly label: string; readonly value?: (text: string) => string | null }>
> = {
  'kop.bind.ip': { label: 'address' },
  'deunhealth.restart.on.unhealthy': {
    label: 'restart',
    value: (text) => (text.toLowerCase() === 'true' ? 'on-unhealthy' : null),
  },
  service_name: { label: 'service' },
  service_tags: { label: 'tags' },
}

/** Labels of kop that ask for what is always so here. */
const NOT_NEEDED: Readonly<Record<string, string>> = {
  'kop.merge-lbs': 'is not needed: copies of a service on several hosts are one service',
  'kop.namespace': 'has no effect: every Traefik of the cluster gets the same document',
}

/** Reads what the labels of a container ask for. A label that cannot be used is a problem and changes nothing else. */
export function readLabels(all: Readonly<Record<string, string>>, options: LabelOptions = {}): Wishes {
  const problems: DockerProblem[] = []
  const values = new Map<string, unknown>()
  const meta: [string, string][] = []
  const labels = new Map<string, string>()
  const take = (name: string, value: string, label: string) => {
    const read = LABELS[name]
    if (read === undefined) {
      const near = options.suggest?.(name, Object.keys(LABELS)) ?? null
      const hint = near === null ? 'see docs/docker.md' : `did you mean ${PREFIX}${near}?`
      problems.push({ code: 'unknown', about: label, message: `${label} is not a label of ours; ${hint}` })
      return
    }
    try {
      values.set(name, read(value.trim()))
      labels.set(PREFIX + name, value.trim())
    } catch (error) {
      const what = (error as Error).message
      problems.push({
        code: 'value',
        about: label,
        message: `${label} ${what}; ${JSON.stringify(value.slice(0, 80))} is left out`,
      })
    }
  }
  const sorted = Object.entries(all).sort(([a], [b]) => (a < b ? -1 : 1))
  for (const [label, value] of sorted) {
    const lower = label.toLowerCase()
    const unused = NOT_NEEDED[lower]
    if (unused !== undefined) problems.push({ code: 'unused', about: label, message: `${label} ${unused}` })
    const alias = ALIASES[lower] ?? aliasOfService(lower)
    const ours = alias === undefined ? null : (alias.value?.(value) ?? (alias.value ? null : value))
    if (alias !== undefined && ours !== null) take(alias.label, ours, label)
  }
  // Ours come after those of other tools, and so win.
  for (const [label, value] of sorted) {
    const lower = label.toLowerCase()
    if (lower.startsWith('traefik.')) {
      if (fits(label, value, problems)) labels.set(label, value)
    } else if (lower.startsWith(PREFIX + META)) {
      const key = label.slice((PREFIX + META).length)
      if (!metaFits(key, value, meta.length)) {
        const message = `${label} is left out: a node takes ${LIMITS.metaPairs} of them, with keys of ${LIMITS.metaKeyChars} and values of ${LIMITS.metaValueChars} characters`
        problems.push({ code: 'value', about: label, message })
        continue
      }
      meta.push([key, value])
      labels.set(PREFIX + META + key, value)
    } else if (lower.startsWith(PREFIX)) take(lower.slice(PREFIX.length), value, label)
  }
  const traefik = (name: string) => sorted.find(([label]) => label.toLowerCase() === name)?.[1]
  const enabled = values.get('enable') as boolean | undefined
  return {
    enabled: enabled ?? readFlag(traefik('traefik.enable')),
    service: (values.get('service') as string | undefined) ?? null,
    port: (values.get('port') as Wishes['port'] | undefined) ?? traefikPort(sorted),
    address: (values.get('address') as string | undefined) ?? null,
    network: (values.get('network') as string | undefined) ?? null,
    traefikNetwork: traefik('traefik.docker.network') ?? null,
    tags: ((values.get('tags') as readonly string[] | undefined) ?? []).slice(0, LIMITS.tags),
    meta: Object.fromEntries(meta),
    weight: (values.get('weight') as number | undefined) ?? null,
    check: checkWish(values, problems),
    restart: restartWish(values),
    runOnce: (values.get('run-once') as boolean | undefined) ?? false,
    labels: Object.fromEntries([...labels].slice(0, LIMITS.labels)),
    problems,
  }
}

/** True if a label says how Traefik is to route to the container. */
export function hasRoutes(labels: Readonly<Record<string, string>>): boolean {
  return Object.keys(labels).some((label) => /^traefik\.(http|tcp|udp)\./i.test(label))
}

function checkWish(values: ReadonlyMap<string, unknown>, problems: DockerProblem[]): CheckWish | null {
  const http = values.get('check.http') as string | undefined
  const grpc = values.get('check.grpc') as string | undefined
  const tcp = values.get('check.tcp') === true
  if (http === undefined && grpc === undefined && !tcp) {
    const idle = [...values.keys()].find((name) => name.startsWith('check.') && name !== 'check.tcp')
    if (idle !== undefined) {
      const message = `${PREFIX}${idle} has no effect without ${PREFIX}check.http, .tcp or .grpc`
      problems.push({ code: 'unused', about: PREFIX + idle, message })
    }
    return null
  }
  return {
    kind: http !== undefined ? 'http' : grpc !== undefined ? 'grpc' : 'tcp',
    target: http ?? grpc ?? '',
    scheme: (values.get('check.scheme') as CheckWish['scheme'] | undefined) ?? 'http',
    port: (values.get('check.port') as number | undefined) ?? null,
    intervalMs: (values.get('check.interval') as number | undefined) ?? CHECK_MS.interval,
    timeoutMs: (values.get('check.timeout') as number | undefined) ?? CHECK_MS.timeout,
    failures: (values.get('check.failures') as number | undefined) ?? 1,
  }
}

function restartWish(values: ReadonlyMap<string, unknown>): RestartWish | null {
  if (values.get('restart') !== true) return null
  return {
    max: (values.get('restart.max') as number | undefined) ?? RESTART_MAX,
    windowMs: (values.get('restart.window') as number | undefined) ?? RESTART_WINDOW_MS,
  }
}

/** `traefik.http.services.X.loadbalancer.server.port`, of HTTP before TCP before UDP, the first by name. */
function traefikPort(sorted: readonly (readonly [string, string])[]): Wishes['port'] {
  for (const section of ['http', 'tcp', 'udp']) {
    const path = new RegExp(
      `^traefik\\.${section}\\.services\\.[^.]+\\.loadbalancer\\.(server|servers\\[0\\])\\.port$`,
      'i',
    )
    const port = sorted.find(([label]) => path.test(label))?.[1].trim() ?? ''
    if (/^[0-9]{1,5}$/.test(port) && Number(port) >= 1 && Number(port) <= 65_535) {
      return { port: Number(port), protocol: section === 'udp' ? 'udp' : 'tcp' }
    }
  }
  return null
}

/** `kop.<service>.bind.ip` is the address of one service of a container; a container is one service here. */
function aliasOfService(label: string): (typeof ALIASES)[string] | undefined {
  return /^kop\.[^.]+\.bind\.ip$/.test(label) ? { label: 'address' } : undefined
}

function fits(label: string, value: string, problems: DockerProblem[]): boolean {
  if (label.length <= LIMITS.labelKeyChars && value.length <= LIMITS.labelValueChars) return true
  const about = label.slice(0, 80)
  const message = `${about} is left out: a label may have ${LIMITS.labelKeyChars} characters and its value ${LIMITS.labelValueChars}`
  problems.push({ code: 'value', about, message })
  return false
}

function metaFits(key: string, value: string, before: number): boolean {
  const isKey = key !== '' && key.length <= LIMITS.metaKeyChars
  return isKey && value.length <= LIMITS.metaValueChars && before < LIMITS.metaPairs
}

function readFlag(value: string | undefined): boolean | null {
  if (value === undefined) return null
  try {
    return flag(value.trim())
  } catch {
    return null
  }
}

/** The words Go's ParseBool knows, which is what Traefik reads booleans with. */
function flag(value: string): boolean {
  if (['1', 't', 'true'].includes(value.toLowerCase())) return true
  if (['0', 'f', 'false'].includes(value.toLowerCase())) return false
  throw new Error('must be true or false')
}

function nonEmpty(value: string): string {
  if (value === '' || value.length > 255) throw new Error('must be a name')
  return value
}

function list(value: string): readonly string[] {
  const items = value.split(',').map((item) => item.trim())
  if (items.some((item) => item === '' || item.length > LIMITS.tagChars)) {
    throw new Error('must be words with commas between them')
  }
  return [...new Set(items)]
}

function range(value: string, min: number, max: number, what: string): number {
  if (!/^[0-9]{1,9}$/.test(value) || Number(value) < min || Number(value) > max)
    throw new Error(`must be ${what}`)
  return Number(value)
}

/** A Go duration, or a number of seconds. */
function duration(value: string, minMs: number, maxMs: number): number {
  const what = `must be seconds or a duration such as 30s, from ${formatGoDuration(minMs)} to ${formatGoDuration(maxMs)}`
  try {
    const ms = /^[0-9]{1,9}$/.test(value) ? Number(value) * 1000 : parseGoDuration(value)
    if (ms < minMs || ms > maxMs) throw new Error(what)
    return Math.round(ms)
  } catch (error) {
    if (error instanceof DurationError) throw new Error(what)
    throw error
  }
}
