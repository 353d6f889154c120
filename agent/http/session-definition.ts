import type { SessionSpec } from '../../consensus/client.ts'
import { formatGoDuration, parseGoDuration } from '../../discovery/health/duration.ts'
import type { Config } from '../config/types.ts'
import { badRequest, refused } from './errors.ts'
import type { Fields } from './fields.ts'

/** Longest TTL of a session. */
const TTL_MAX_MS = 24 * 60 * 60_000
const LOCK_DELAY_DEFAULT_MS = 15_000
/** A longer lock delay is shortened (Consul does so when it applies one). */
const LOCK_DELAY_MAX_MS = 60_000
const NANOSECONDS_PER_MS = 1e6
/** A number below this is meant in seconds, any other in nanoseconds (Consul session API, LockDelay). */
const LOCK_DELAY_SECONDS_BELOW = 1_000
/** The check every node has. */
const DEFAULT_CHECKS = ['serfHealth']

/**
 * Reads the body of a session creation. `node`: whose session it is if the body does not say.
 * @throws HttpError 400 `Request decode failed: …`; 500 with Consul's texts for a bad TTL or behavior.
 */
export function parseSession(
  fields: Fields,
  node: string,
  limits: Config['sessions'],
): Omit<SessionSpec, 'id'> {
  const ttl = fields.string('TTL')
  const ttlMs = parseTtl(ttl, limits.ttlMinMs)
  return {
    name: fields.string('Name'),
    node: fields.string('Node') || node,
    behavior: parseBehavior(fields.string('Behavior')),
    lockDelayMs: parseLockDelay(fields),
    ttl,
    expiresAfterMs: ttlMs * limits.ttlFactor,
    nodeChecks: parseChecks(fields),
    serviceChecks: fields.isPresent('ServiceChecks') ? parseServiceChecks(fields) : null,
  }
}

function parseTtl(text: string, minMs: number): number {
  if (text === '') return 0
  let ms: number
  try {
    ms = parseGoDuration(text)
  } catch (error) {
    throw refused(`Session TTL '${text}' invalid: ${(error as Error).message}`)
  }
  if (ms !== 0 && (ms < minMs || ms > TTL_MAX_MS)) {
    const nanoseconds = BigInt(Math.trunc(ms)) * 1_000_000n + BigInt(Math.round((ms % 1) * 1e6))
    const range = `[${formatGoDuration(minMs)}=${formatGoDuration(TTL_MAX_MS)}]`
    throw refused(`Invalid Session TTL '${nanoseconds}', must be between ${range}`)
  }
  return ms
}

function parseBehavior(text: string): SessionSpec['behavior'] {
  if (text === '') return 'release'
  if (text !== 'release' && text !== 'delete') throw refused(`Invalid Behavior setting '${text}'`)
  return text
}

function parseLockDelay(fields: Fields): number {
  const value = fields.value('LockDelay')
  if (value === undefined || value === '') return LOCK_DELAY_DEFAULT_MS
  const ms = typeof value === 'number' ? numericDelayMs(value) : (fields.durationMs('LockDelay') ?? 0)
  if (ms < 0) throw badRequest('Request decode failed: LockDelay must not be negative')
  return Math.min(ms, LOCK_DELAY_MAX_MS)
}

function numericDelayMs(value: number): number {
  return value < LOCK_DELAY_SECONDS_BELOW ? value * 1_000 : value / NANOSECONDS_PER_MS
}

/** `Checks` is the name before Consul 1.7. An empty list means none; no list means the check of the node. */
function parseChecks(fields: Fields): readonly string[] {
  const given = ['Checks', 'NodeChecks'].filter((name) => fields.isPresent(name))
  if (given.length === 0) return DEFAULT_CHECKS
  return [...new Set(given.flatMap((name) => fields.strings(name)))]
}

/** Ids, or objects of an id and a namespace. */
function parseServiceChecks(fields: Fields): NonNullable<SessionSpec['serviceChecks']> {
  return fields
    .objects('ServiceChecks')
    .map((check) => ({ id: check.string('ID'), namespace: check.string('Namespace') }))
    .filter(({ id }) => id !== '')
}
