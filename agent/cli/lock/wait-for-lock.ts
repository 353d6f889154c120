import { CliError, type CliErrorCode } from '../errors.ts'
import { LOCK_FLAGS, type LockApi, type LockEntry, type LockReading } from './lock-api.ts'

/** A lock that a session got. */
export interface Acquired {
  readonly entry: LockEntry
  /** To wait on for the next change of the key. */
  readonly index: number
}

/** What the wait for a lock works with. */
export interface WaitOptions {
  readonly api: Pick<LockApi, 'acquire' | 'describeSession' | 'read'>
  readonly key: string
  readonly session: string
  /** Give up instead of waiting for somebody else. */
  readonly tryOnce: boolean
  readonly signal: AbortSignal
  /** Waits for this time, or until the signal is aborted. */
  readonly pause: (ms: number, signal: AbortSignal) => Promise<void>
  readonly now: () => number
  /** What the operator may want to know while it lasts. */
  readonly note: (line: string) => void
}

/** What waiting does not make better. */
const FINAL: readonly CliErrorCode[] = ['CLI_ABORTED', 'CLI_NOT_A_LOCK', 'CLI_SESSION_GONE']

/** A round of requests that ended sooner than this is not followed by the next at once. */
const ROUND_MS_MIN = 200
const DELAY_FIRST_MS = 1000
const DELAY_MAX_MS = 5000
const OUTAGE_PAUSE_MS = 1000

/**
 * Waits until the session holds the key, and answers it; null if `tryOnce` and somebody else does. Whoever holds it is waited
 * for with blocking queries. A key that is free and still refused has a lock-delay, of which the API does not say how
 * long it lasts: that is tried again after 1, 2, 4, 5, 5, … s.
 * @throws CliError `CLI_SESSION_GONE` when the session ended meanwhile, `CLI_ABORTED` when the signal was aborted,
 *   `CLI_NOT_A_LOCK` when the key is something else; with `tryOnce` whatever went wrong.
 */
export async function waitForLock(options: WaitOptions): Promise<Acquired | null> {
  const { api, key, session, tryOnce, signal, pause, now, note } = options
  let delayMs = DELAY_FIRST_MS
  let waitOn: { readonly index: number; readonly waitMs?: number } = { index: 0 }
  let toldAbout: string | null = null
  let outage = false
  for (;;) {
    const startedAt = now()
    try {
      const reading = await api.read({ ...waitOn, signal })
      outage = false
      const held = heldEntry(reading, key)
      if (held !== null && held.session === session) return { entry: held, index: reading.index }
      if (held !== null) {
        if (tryOnce) return null
        delayMs = DELAY_FIRST_MS
        waitOn = { index: reading.index }
        if (held.session !== toldAbout) {
          toldAbout = held.session
          note(`waiting for ${key}, held by ${await holderName(options, held)}`)
        }
      } else if (await api.acquire(session, signal)) {
        // What was granted is read back: its indexes are the fencing token.
        waitOn = { index: 0 }
        continue
      } else {
        if (tryOnce) return null
        note(`${key} is free but its last holder was lost: waiting for its lock-delay`)
        waitOn = { index: reading.index, waitMs: delayMs }
        delayMs = Math.min(delayMs * 2, DELAY_MAX_MS)
      }
    } catch (error) {
      if (!isOutage(error) || tryOnce) throw error
      if (!outage) note(`${error.message}; trying again`)
      outage = true
      waitOn = { index: 0 }
      await pause(OUTAGE_PAUSE_MS, signal)
    }
    const tookMs = now() - startedAt
    if (tookMs < ROUND_MS_MIN) await pause(ROUND_MS_MIN - tookMs, signal)
  }
}

/** The entry while somebody holds it. @throws CliError when the key is something else than a lock. */
function heldEntry({ entry }: LockReading, key: string): LockEntry | null {
  if (entry === null) return null
  if (entry.flags !== LOCK_FLAGS) {
    throw new CliError(
      'CLI_NOT_A_LOCK',
      `${key} is no lock: its flags are ${entry.flags}, those of a lock ${LOCK_FLAGS}; choose another name, or delete the key if it is of no use`,
    )
  }
  return entry.session === null ? null : entry
}

function isOutage(error: unknown): error is CliError {
  return error instanceof CliError && !FINAL.includes(error.code)
}

async function holderName({ api, signal }: WaitOptions, { session }: LockEntry): Promise<string> {
  const name = session === null ? null : await api.describeSession(session, signal)
  return name === null ? `session ${session}` : `session ${session}, ${name}`
}
