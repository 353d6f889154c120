/** A moment at which somebody says to hold a lock; it was true at some time between the two. */
export interface Claim {
  readonly holder: string
  readonly lock: string
  /** Fencing token: the log index, or the LockIndex, of the acquisition. */
  readonly token: number
  readonly askedAt: number
  readonly answeredAt: number
}

/** A write that a holder made under its token; `version` is the ModifyIndex it got. */
export interface FencedWrite {
  readonly lock: string
  readonly token: number
  readonly version: number
}

/**
 * Contradictions between claims, each once: two holders of one token; a claim that begins after somebody else was
 * already seen with a later token. Answers of two nodes are never given at one instant, so a claim that overlaps a later
 * holder's is no contradiction.
 */
export function checkClaims(claims: readonly Claim[]): string[] {
  const wrong = new Set<string>()
  const holders = new Map<string, string>()
  for (const { lock, token, holder } of claims) {
    const id = `${lock} ${token}`
    const known = holders.get(id) ?? holder
    holders.set(id, known)
    if (known !== holder) wrong.add(`${known} and ${holder} hold ${lock} with token ${token}`)
  }
  const byAnswer = claims.toSorted((a, b) => a.answeredAt - b.answeredAt)
  const latest = new Map<string, Claim>()
  let next = 0
  for (const claim of claims.toSorted((a, b) => a.askedAt - b.askedAt)) {
    for (; ; next++) {
      const seen = byAnswer[next]
      if (seen === undefined || seen.answeredAt >= claim.askedAt) break
      if (seen.token > (latest.get(seen.lock)?.token ?? 0)) latest.set(seen.lock, seen)
    }
    const { lock, token, holder } = claim
    const later = latest.get(lock)
    if (later !== undefined && later.token > token)
      wrong.add(
        `${holder} holds ${lock} with token ${token} after ${later.holder} was seen with ${later.token}`,
      )
  }
  return [...wrong]
}

/** Writes under a later token that an earlier token overwrote: in the order of their versions tokens never fall. */
export function checkFencing(writes: readonly FencedWrite[]): string[] {
  const wrong: string[] = []
  const last = new Map<string, FencedWrite>()
  for (const write of writes.toSorted((a, b) => a.version - b.version)) {
    const before = last.get(write.lock)
    if (before !== undefined && before.token > write.token)
      wrong.push(
        `${write.lock}: version ${write.version} was written with token ${write.token}, after version ${before.version} with ${before.token}`,
      )
    last.set(write.lock, write)
  }
  return wrong
}
