import { isJoint } from './raft/configuration.ts'
import type { ConfigChange, ConfigChangeStep, Configuration, NodeId } from './raft/types.ts'

/** What the leader knows of a node of the configuration. */
export interface Candidate {
  readonly id: NodeId
  /** It answers and is close behind the leader's log. */
  readonly caughtUp: boolean
  /** It has been silent for longer than a node of its kind is given. */
  readonly gone: boolean
}

/** How far behind a learner may be and still count as caught up, in entries. */
const CAUGHT_UP_ENTRIES = 64
/** Fewer voters than this tolerate no failure, so the number is never brought below it for the sake of being odd. */
const VOTERS_MIN = 3

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
 * The next step towards an odd number of living voters, at most `target`; null if there is nothing to do. One change at a
 * time, none while a joint configuration is under way, none without a living majority, which could not commit it.
 *
 * 1. Voters that are gone are replaced by learners that have caught up, in one change. The gone ones nobody replaces leave
 *    if the voters that stay are an odd number of at least three. Example: of three voters one is gone and there is no
 *    learner. Two voters tolerate no failure, and neither do three of which one is dead; but should the dead one come
 *    back, the three tolerate one again. So it stays.
 * 2. Learners that have caught up are promoted, two at a time if that keeps the number odd: an even one tolerates no more
 *    failures than the odd one below it.
 * 3. Voters beyond the target become learners, those that are gone leave; never the leader, never more than a minority.
 * 4. Learners that are gone leave.
 */
export function nextVoterChange(
  configuration: Configuration,
  candidates: readonly Candidate[],
  target: number,
  leader: NodeId,
): ConfigChange | null {
  if (isJoint(configuration)) return null
  const { voters, learners } = configuration
  const gone = new Set(candidates.filter((candidate) => candidate.gone).map(({ id }) => id))
  const ready = learners.filter((id) => candidates.some((c) => c.id === id && c.caughtUp && !c.gone))
  const goneVoters = voters.filter((id) => gone.has(id))
  if (2 * goneVoters.length >= voters.length) return null
  const choices = [
    replacement(voters.length - goneVoters.length, goneVoters, ready, target),
    promotion(voters.length, ready, target),
    demotion(voters, gone, target, leader),
    removal(learners.filter((id) => gone.has(id))),
  ]
  const steps = choices.find(({ length }) => length > 0)
  return steps === undefined ? null : { steps }
}

function removal(nodes: readonly NodeId[]): ConfigChangeStep[] {
  return nodes.map((node) => ({ kind: 'remove', node }))
}

function addition(nodes: readonly NodeId[]): ConfigChangeStep[] {
  return nodes.map((node) => ({ kind: 'addVoter', node }))
}

function replacement(
  living: number,
  gone: readonly NodeId[],
  ready: readonly NodeId[],
  target: number,
): ConfigChangeStep[] {
  const swaps = Math.max(0, Math.min(gone.length, ready.length, target - living))
  const left = living + swaps
  const allLeave = left % 2 === 1 && left >= VOTERS_MIN
  return [...removal(allLeave ? gone : gone.slice(0, swaps)), ...addition(ready.slice(0, swaps))]
}

function promotion(voters: number, ready: readonly NodeId[], target: number): ConfigChangeStep[] {
  const possible = Math.min(target, voters + ready.length)
  const wanted = possible % 2 === 0 ? possible - 1 : possible
  return addition(ready.slice(0, Math.max(0, wanted - voters)))
}

function demotion(
  voters: readonly NodeId[],
  gone: ReadonlySet<NodeId>,
  target: number,
  leader: NodeId,
): ConfigChangeStep[] {
  const surplus = Math.min(voters.length - target, Math.floor((voters.length - 1) / 2))
  if (surplus <= 0) return []
  const living = voters.filter((id) => !gone.has(id) && id !== leader)
  const leaving = [...voters.filter((id) => gone.has(id)), ...living.reverse()].slice(0, surplus)
  return leaving.map((node) => ({ kind: gone.has(node) ? 'remove' : 'addLearner', node }))
}
