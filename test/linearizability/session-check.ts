/**
 * What a client knows of one time it held a lock with a session. Times are milliseconds of one monotonic clock that all clients
 * share; those of calls are when they were sent.
 */
export interface Hold {
  readonly lock: string
  readonly session: string
  readonly client: string
  /** LockIndex of the acquisition: the fencing token. */
  readonly token: number
  readonly ttlMs: number
  readonly lockDelayMs: number
  /** It was acquired between these two. */
  readonly acquire: { readonly calledAt: number; readonly returnedAt: number }
  /** When the last renewal that succeeded, or the creation, was sent and when it was answered. */
  renewal: { readonly calledAt: number; readonly returnedAt: number }
  /** How the client ended it, and when it said so; null: it did not, and the session expires. */
  end: { readonly how: 'release' | 'destroy'; readonly calledAt: number } | null
}

/** The session of a lock as somebody read it. */
export interface LockSighting {
  readonly lock: string
  /** ModifyIndex: the order of the store. */
  readonly version: number
  /** LockIndex. */
  readonly token: number
  readonly session: string | null
}

/** A look at a session whose end nobody asked for. */
export interface SessionSighting {
  readonly session: string
  readonly ttlMs: number
  /** The last renewal that succeeded, or the creation. */
  readonly renewal: { readonly calledAt: number; readonly returnedAt: number }
  /** When somebody asked for it, and was told whether it is there by a node that had the leader confirm itself. */
  readonly look: { readonly calledAt: number; readonly returnedAt: number; readonly exists: boolean }
}

/** What differs between the monotonic clock of the clients and the wall clock the log is stamped with, at most. */
const CLOCK_SLACK_MS = 25

/** Until when a holder may act: it counts its TTL from the moment it sent the renewal, and stops when it ends the lock. */
export function holdsUntil({ renewal, ttlMs, end }: Hold): number {
  return Math.min(renewal.calledAt + ttlMs, end?.calledAt ?? Number.POSITIVE_INFINITY)
}

/**
 * Contradictions between holds of the same lock: one token for two; somebody acquired it while another could still act; an end
 * without the lock delay that it has.
 */
export function checkHolds(holds: readonly Hold[]): string[] {
  const wrong: string[] = []
  for (const sorted of byLock(holds).values()) {
    for (const [i, next] of sorted.entries()) {
      const before = sorted[i - 1]
      if (before === undefined) continue
      const who = `${next.lock}: ${next.client} (token ${next.token})`
      const whom = `${before.client} (token ${before.token})`
      if (before.token === next.token) {
        wrong.push(`${who} and ${whom} hold it with one token`)
        continue
      }
      const overlapMs = holdsUntil(before) - next.acquire.returnedAt
      if (overlapMs > 0) wrong.push(`${who} had it ${overlapMs.toFixed(1)} ms before ${whom} had to stop`)
      const earlyMs = delayedUntil(before) - CLOCK_SLACK_MS - next.acquire.returnedAt
      if (earlyMs > 0)
        wrong.push(`${who} had it ${earlyMs.toFixed(1)} ms before the lock delay of ${whom} was over`)
    }
  }
  return wrong
}

/** Before this nobody may lock what it held: a session that ended leaves a delay, a release does not. */
function delayedUntil({ renewal, ttlMs, lockDelayMs, end }: Hold): number {
  if (lockDelayMs === 0 || end?.how === 'release') return Number.NEGATIVE_INFINITY
  // It may have expired before it was destroyed.
  return Math.min(end?.calledAt ?? Number.POSITIVE_INFINITY, renewal.calledAt + ttlMs) + lockDelayMs
}

/**
 * Contradictions in the order of the store: a LockIndex that falls, one that two sessions share, a holder that changed under the
 * same one, a version of two contents.
 */
export function checkSightings(sightings: readonly LockSighting[]): string[] {
  const wrong = new Set<string>()
  for (const sorted of byLock(sightings, ({ version }) => version).values()) {
    const owners = new Map<number, string>()
    for (const [i, { lock, version, token, session }] of sorted.entries()) {
      const before = sorted[i - 1]
      if (before !== undefined && before.token > token) {
        wrong.add(
          `${lock}: LockIndex ${token} at version ${version}, after ${before.token} at ${before.version}`,
        )
      }
      if (before?.version === version && (before.session !== session || before.token !== token)) {
        wrong.add(`${lock}: version ${version} has two contents`)
      }
      if (session === null) continue
      const owner = owners.get(token) ?? session
      owners.set(token, owner)
      if (owner !== session) wrong.add(`${lock}: ${owner} and ${session} hold it with LockIndex ${token}`)
    }
  }
  return [...wrong]
}

/** Holds that the store never had: the lock was read with this LockIndex, and another session had it. */
export function checkHolders(holds: readonly Hold[], sightings: readonly LockSighting[]): string[] {
  const wrong: string[] = []
  for (const { lock, token, session, client } of holds) {
    const other = sightings.find(
      (each) =>
        each.lock === lock && each.token === token && each.session !== null && each.session !== session,
    )
    if (other !== undefined)
      wrong.push(`${lock}: ${client} acted with token ${token}, which ${other.session} has`)
  }
  return wrong
}

/** Sessions that ended before their TTL was over, counted from when their last renewal was sent. */
export function checkNotEarly(sightings: readonly SessionSighting[]): string[] {
  return sightings.flatMap(({ session, ttlMs, renewal, look }) => {
    const leftMs = renewal.calledAt + ttlMs - look.returnedAt
    return look.exists || leftMs <= 0
      ? []
      : [`session ${session} was gone ${leftMs.toFixed(1)} ms before its TTL was over`]
  })
}

/**
 * Sessions that were still there `factor` TTLs and the slack after the answer to their last renewal. Only where one leader led all
 * the time: the next one gives every session its time again. Answers also how many looks could be judged.
 */
export function checkNotLate(
  sightings: readonly SessionSighting[],
  {
    factor,
    slackMs,
    isSteady,
  }: {
    readonly factor: number
    readonly slackMs: number
    readonly isSteady: (from: number, to: number) => boolean
  },
): { readonly wrong: readonly string[]; readonly judged: number } {
  const wrong: string[] = []
  let judged = 0
  for (const { session, ttlMs, renewal, look } of sightings) {
    if (!isSteady(renewal.calledAt, look.returnedAt)) continue
    judged++
    const lateMs = look.calledAt - (renewal.returnedAt + factor * ttlMs + slackMs)
    if (look.exists && lateMs > 0)
      wrong.push(`session ${session} was there ${lateMs.toFixed(0)} ms after it had to be gone`)
  }
  return { wrong, judged }
}

function byLock<T extends { readonly lock: string; readonly token: number }>(
  items: readonly T[],
  order: (item: T) => number = ({ token }) => token,
): Map<string, T[]> {
  const locks = Map.groupBy(items, ({ lock }) => lock)
  for (const list of locks.values()) list.sort((a, b) => order(a) - order(b))
  return locks
}
