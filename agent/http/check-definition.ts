import type { CheckStatus, HealthCheck } from '../../discovery/catalog/types.ts'
import { formatGoDuration } from '../../discovery/health/duration.ts'
import type { CheckDefinition, CheckKind } from '../../discovery/health/types.ts'
import { badRequest } from './errors.ts'
import type { Fields } from './fields.ts'

/** Timeout of a check that names none (Consul's). */
const DEFAULT_TIMEOUT_MS = 10_000
/** Shorter intervals are raised to it, as Consul does. */
const INTERVAL_MIN_MS = 1_000

/** Consul's kinds of checks that this agent does not run: field → what to call it. */
const UNSUPPORTED: readonly (readonly [field: string, kind: string])[] = [
  ['ScriptArgs', 'script'],
  ['Args', 'script'],
  ['Script', 'script'],
  ['DockerContainerID', 'Docker'],
  ['GRPC', 'gRPC'],
  ['UDP', 'UDP'],
  ['H2PING', 'H2PING'],
  ['OSService', 'OS service'],
  ['AliasService', 'alias'],
  ['AliasNode', 'alias'],
  ['TCPUseTLS', 'TCP with TLS'],
]

/** What a check is called when its registration does not say. */
export interface CheckDefaults {
  readonly id: string
  readonly name: string
  readonly serviceId: string
  /** Text for a status that is none, which differs between Consul's endpoints. */
  readonly badStatus: string
}

/**
 * The definition of a check from the fields of its registration.
 * @throws HttpError 400 `Invalid check: …` with Consul's texts where it has them.
 */
export function parseCheck(fields: Fields, defaults: CheckDefaults): CheckDefinition {
  const initialStatus = parseStatus(fields.string('Status') || 'critical')
  if (initialStatus === null) throw badRequest(defaults.badStatus)
  const kind = parseKind(fields)
  const polled = kind.type !== 'ttl'
  const intervalMs = fields.durationMs('Interval')
  if (polled && (intervalMs === undefined || intervalMs < 0)) {
    throw invalid('Interval must be > 0 for Script, HTTP, H2PING, TCP, UDP or OSService checks')
  }
  if (!polled && intervalMs !== undefined) throw invalid('Interval and TTL cannot both be specified')
  const timeoutMs = fields.durationMs('Timeout')
  if (timeoutMs !== undefined && timeoutMs < 0) throw invalid('Timeout must not be negative')
  const raisedMs = intervalMs === undefined ? 0 : Math.max(intervalMs, INTERVAL_MIN_MS)
  return {
    id: fields.string('CheckID', 'ID') || defaults.id,
    name: fields.string('Name') || defaults.name,
    notes: fields.string('Notes'),
    serviceId: defaults.serviceId,
    initialStatus,
    kind,
    intervalMs: raisedMs,
    timeoutMs: timeoutMs ?? DEFAULT_TIMEOUT_MS,
    intervalText: intervalMs === undefined ? '' : formatGoDuration(raisedMs),
    timeoutText: timeoutMs === undefined ? '' : formatGoDuration(timeoutMs),
  }
}

/** The check as the catalogue shows it before its first result. */
export function initialCheck(definition: CheckDefinition): HealthCheck {
  return {
    id: definition.id,
    name: definition.name,
    status: definition.initialStatus,
    notes: definition.notes,
    output: '',
    serviceId: definition.serviceId,
    type: definition.kind.type,
    interval: definition.intervalText,
    timeout: definition.timeoutText,
  }
}

/** A status by its name; null for anything else. */
export function parseStatus(text: string): CheckStatus | null {
  return text === 'passing' || text === 'warning' || text === 'critical' ? text : null
}

function parseKind(fields: Fields): CheckKind {
  const unsupported = UNSUPPORTED.find(([field]) => fields.has(field))
  if (unsupported !== undefined) {
    throw invalid(`${unsupported[1]} checks are not supported; use HTTP, TCP or TTL`)
  }
  const given = ['HTTP', 'TCP', 'TTL'].filter((field) => fields.has(field))
  if (given.length > 1)
    throw invalid(`only one of HTTP, TCP and TTL may be given, not ${given.join(' and ')}`)
  if (given[0] === 'HTTP') return httpKind(fields)
  if (given[0] === 'TCP') return tcpKind(fields.string('TCP'))
  const ttlMs = fields.durationMs('TTL')
  if (ttlMs !== undefined && ttlMs > 0) return { type: 'ttl', ttlMs }
  if (fields.has('Interval')) throw invalid('one of HTTP, TCP and TTL must be given')
  throw invalid('TTL must be > 0 for TTL checks')
}

function httpKind(fields: Fields): CheckKind {
  const url = fields.string('HTTP')
  const parsed = URL.canParse(url) ? new URL(url) : null
  if (parsed?.protocol !== 'http:' && parsed?.protocol !== 'https:') {
    throw invalid('HTTP must be an http or https URL')
  }
  const method = fields.string('Method') || 'GET'
  if (!/^[A-Za-z]+$/.test(method)) throw invalid('Method must be the name of an HTTP method')
  return {
    type: 'http',
    url,
    method,
    headers: fields.stringLists('Header'),
    body: fields.string('Body'),
    tlsSkipVerify: fields.boolean('TLSSkipVerify'),
  }
}

function tcpKind(address: string): CheckKind {
  const port = Number(/:(\d{1,5})$/.exec(address)?.[1] ?? 0)
  if (port < 1 || port > 65_535) throw invalid('TCP must be host:port')
  return { type: 'tcp', address }
}

function invalid(reason: string): Error {
  return badRequest(`Invalid check: ${reason}`)
}
