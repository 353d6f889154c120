import type { ConfigChange, Configuration } from './raft/types.ts'

/** What the leader knows of a node that could vote. */
export interface Candidate {
  readonly id: string
  /** It answers and is close behind the leader's log. */
  readonly caughtUp: boolean
}

/** How far behind a learner may be and still count as caught up, in entries. */
const CAUGHT_UP_ENTRIES = 64

/**
 * True if a node that is `progress` far can be made a voter. One that never acknowledged anything cannot, however short
 * the log: it may never have come to life, and as a voter it would count against the quorum.
 */
export function isCaughtUp(
  progress: { readonly recentActive: boolean; readonly matchIndex: number },
  committedIndex: number,
): boolean {
  const { recentActive, matchIndex } = progress
  return recentActive && matchIndex > 0 && matchIndex + CAUGHT_UP_ENTRIES >= committedIndex
}

/**
 * The next step towards an odd number of voters, at most `target`: learners that have caught up are promoted, two at a
 * time if that is what keeps the number odd, because an even one tolerates no more failures than the odd one below it.
 * Null if there is nothing to do.
 */
export function nextVoterChange(
  configuration: Configuration,
  candidates: readonly Candidate[],
  target: number,
): ConfigChange | null {
  if (configuration.votersOutgoing.length > 0) return null
  const ready = configuration.learners.filter((id) => candidates.some((c) => c.id === id && c.caughtUp))
  const possible = Math.min(target, configuration.voters.length + ready.length)
  const wanted = possible % 2 === 0 ? possible - 1 : possible
  const missing = wanted - configuration.voters.length
  if (missing <= 0) return null
  return { steps: ready.slice(0, missing).map((node) => ({ kind: 'addVoter', node })) }
}
