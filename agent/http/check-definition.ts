import type { CheckStatus, HealthCheck } from '../../discovery/catalog/types.ts'
import { catalogCheck } from '../../discovery/health/check-state.ts'
import { formatGoDuration } from '../../discovery/health/duration.ts'
import { isMaintenance } from '../../discovery/health/maintenance.ts'
import { defaultTimeoutMs } from '../../discovery/health/polled-check.ts'
import { OUTPUT_CHARS_MAX } from '../../discovery/health/probe.ts'
import type { CheckDefinition, CheckKind, CheckThresholds } from '../../discovery/health/types.ts'
import type { Config } from '../config/types.ts'
import { invalidCheck, parseKind } from './check-kinds.ts'
import { badRequest } from './errors.ts'
import type { Fields } from './fields.ts'

/** Shorter intervals are raised to it, as Consul does. */
const INTERVAL_MIN_MS = 1_000
const COUNT_MAX = 1_000_000

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
export function parseCheck(
  fields: Fields,
  defaults: CheckDefaults,
  config: Config['checks'],
): CheckDefinition {
  const initialStatus = parseStatus(fields.string('Status') || 'critical')
  if (initialStatus === null) throw badRequest(defaults.badStatus)
  const intervalMs = fields.durationMs('Interval')
  if (intervalMs !== undefined && fields.has('TTL')) {
    throw invalidCheck('Interval and TTL cannot both be specified')
  }
  const kind = parseKind(fields, config.scripts === 'on')
  checkInterval(kind, intervalMs)
  const timeoutMs = fields.durationMs('Timeout')
  if (timeoutMs !== undefined && timeoutMs < 0) throw invalidCheck('Timeout must not be negative')
  const raisedMs = intervalMs === undefined ? 0 : Math.max(intervalMs, INTERVAL_MIN_MS)
  const polled = kind.type !== 'ttl' && kind.type !== 'alias'
  const id = fields.string('CheckID', 'ID') || defaults.id
  if (isMaintenance({ id })) throw invalidCheck(`the id "${id}" belongs to maintenance mode`)
  return {
    id,
    name: fields.string('Name') || defaults.name,
    notes: fields.string('Notes'),
    serviceId: defaults.serviceId,
    initialStatus,
    kind,
    intervalMs: raisedMs,
    timeoutMs: timeoutMs ?? (polled ? defaultTimeoutMs(kind) : 0),
    intervalText: intervalMs === undefined ? '' : formatGoDuration(raisedMs),
    timeoutText: timeoutMs === undefined ? '' : formatGoDuration(timeoutMs),
    thresholds: parseThresholds(fields),
    deregisterAfterMs: parseDeregisterAfter(fields, config),
    outputMax: parseOutputMax(fields),
  }
}

/** The check as the catalogue shows it before its first result. */
export function initialCheck(definition: CheckDefinition): HealthCheck {
  return catalogCheck(definition, { status: definition.initialStatus, output: '' })
}

/** A status by its name; null for anything else. */
export function parseStatus(text: string): CheckStatus | null {
  return text === 'passing' || text === 'warning' || text === 'critical' ? text : null
}

function checkInterval(kind: CheckKind, intervalMs: number | undefined): void {
  if (kind.type === 'alias') {
    if (intervalMs !== undefined) throw invalidCheck('Interval cannot be set for Alias checks')
  } else if (kind.type !== 'ttl' && (intervalMs === undefined || intervalMs < 0)) {
    throw invalidCheck('Interval must be > 0 for Script, HTTP, H2PING, TCP, UDP or OSService checks')
  }
}

function parseThresholds(fields: Fields): CheckThresholds {
  const count = (name: string): number => {
    const value = fields.integer(name) ?? 0
    if (value < 0 || value > COUNT_MAX) {
      throw invalidCheck(`${name} must be a whole number from 0 to ${COUNT_MAX}`)
    }
    return value
  }
  const thresholds = {
    successBeforePassing: count('SuccessBeforePassing'),
    failuresBeforeWarning: count('FailuresBeforeWarning'),
    failuresBeforeCritical: count('FailuresBeforeCritical'),
  }
  if (thresholds.failuresBeforeWarning > thresholds.failuresBeforeCritical) {
    throw invalidCheck("FailuresBeforeWarning can't be higher than FailuresBeforeCritical")
  }
  return thresholds
}

/** A time below the floor is raised to it, as Consul does: services must not come and go with a short fault. */
function parseDeregisterAfter(fields: Fields, config: Config['checks']): number {
  const afterMs = fields.durationMs('DeregisterCriticalServiceAfter')
  if (afterMs === undefined) return 0
  if (afterMs < 0) throw invalidCheck('DeregisterCriticalServiceAfter must not be negative')
  return Math.max(afterMs, config.deregisterMinMs)
}

function parseOutputMax(fields: Fields): number {
  const max = fields.integer('OutputMaxSize') ?? 0
  if (max < 0) throw invalidCheck('MaxOutputMaxSize must be positive')
  return max === 0 ? OUTPUT_CHARS_MAX : Math.min(max, OUTPUT_CHARS_MAX)
}
