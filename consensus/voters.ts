import { isJoint } from './raft/configuration.ts'
import type { ConfigChange, ConfigChangeStep, Configuration, NodeId } from './raft/types.ts'

/** What the leader knows of a node of the configuration. */
export interface Candidate {
  readonly id: NodeId
  /** It answers and is close behind the leader's log. */
  readonly caughtUp: boolean
  /** It has been silent for longer than a node of its kind is given. */
  readonly gone: boolean
  /** An operator has decided that it is not to vote. */
  readonly cordoned: boolean
  /** It has answered without a break for as long as is asked before it gets a vote. */
  readonly settled: boolean
  /** How often it was lost and came back lately. */
  readonly flaps: number
}

/** What the leader may do by itself about nodes that are gone. */
export interface Pruning {
  /** Whether they leave the configuration. */
  readonly enabled: boolean
  /** There are never made to be fewer voters than this. */
  readonly votersMin: number
}

/** Nothing is held back. */
export const PRUNE_ALL: Pruning = { enabled: true, votersMin: 0 }

/** How far behind a learner may be and still count as caught up, in entries. */
const CAUGHT_UP_ENTRIES = 64
/** Fewer voters than this tolerate no failure, so the number is never brought below it for the sake of being odd. */
const VOTERS_MIN = 3
/** More voters make every write wait for more disks and tolerate failures nobody has. */
export const VOTERS_MAX = 7

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
 * A learner is *ready* if it has caught up, has settled and is not cordoned; those that were lost least often come first.
 *
 * 1. Voters that are gone are replaced by ready learners, in one change. The gone ones nobody replaces leave if the voters
 *    that stay are an odd number of at least three. Example: of three voters one is gone and there is no learner. Two
 *    voters tolerate no failure, and neither do three of which one is dead; but should the dead one come back, the three
 *    tolerate one again. So it stays.
 * 2. Voters beyond the target become learners, those that are gone leave; never the leader, never more than a minority.
 * 3. A cordoned voter changes places with a ready learner. Without one it stays, unless the number is even: the odd one
 *    below it tolerates as much. The leader stays too, for it hands leadership over first; if it is the only voter, it
 *    changes places while it leads.
 * 4. Ready learners are promoted, two at a time if that keeps the number odd: an even one tolerates no more failures than
 *    the odd one below it.
 * 5. Learners that are gone leave.
 *
 * `pruning` can keep the nodes that are gone: then steps 1 and 5 are left out, and in step 2 they become learners. The number
 * of voters never falls below its `votersMin`.
 */
export function nextVoterChange(
  configuration: Configuration,
  candidates: readonly Candidate[],
  target: number,
  leader: NodeId,
  pruning: Pruning = PRUNE_ALL,
): ConfigChange | null {
  if (isJoint(configuration)) return null
  const { voters, learners } = configuration
  const gone = new Set(candidates.filter((candidate) => candidate.gone).map(({ id }) => id))
  const ready = candidates
    .filter(({ id }) => learners.includes(id))
    .filter(({ caughtUp, gone, cordoned, settled }) => caughtUp && settled && !gone && !cordoned)
    .sort((a, b) => a.flaps - b.flaps)
    .map(({ id }) => id)
  const goneVoters = voters.filter((id) => gone.has(id))
  if (2 * goneVoters.length >= voters.length) return null
  const choices = [
    pruning.enabled
      ? replacement(voters.length - goneVoters.length, goneVoters, ready, target, pruning.votersMin)
      : [],
    demotion(voters, candidates, target, leader, pruning),
    relief(voters, candidates, ready, leader, pruning.votersMin),
    promotion(voters.length, ready, target),
    pruning.enabled ? removal(learners.filter((id) => gone.has(id))) : [],
  ]
  const steps = choices.find(({ length }) => length > 0)
  return steps === undefined ? null : { steps }
}

/**
 * The change that makes `node` a voter because an operator says so. The number of voters grows up to `target`; from then
 * on the node takes the place of the voter that is missed least, so that `nextVoterChange` has nothing to take back.
 */
export function changeForNewVoter(
  configuration: Configuration,
  candidates: readonly Candidate[],
  target: number,
  leader: NodeId,
  node: NodeId,
): ConfigChange {
  const { voters } = configuration
  const [leaving] = voters.length < target ? [] : dispensable(voters, candidates, leader)
  const place = leaving === undefined ? [] : [dismissal(leaving)]
  return { steps: [...place, ...addition([node])] }
}

function removal(nodes: readonly NodeId[]): ConfigChangeStep[] {
  return nodes.map((node) => ({ kind: 'remove', node }))
}

function addition(nodes: readonly NodeId[]): ConfigChangeStep[] {
  return nodes.map((node) => ({ kind: 'addVoter', node }))
}

function dismissal({ id, gone }: Candidate): ConfigChangeStep {
  return { kind: gone ? 'remove' : 'addLearner', node: id }
}

/** Voters that can stop voting, the least missed first: gone, cordoned, lost most often, last in order. Never the leader. */
function dispensable(
  voters: readonly NodeId[],
  candidates: readonly Candidate[],
  leader: NodeId,
): Candidate[] {
  return candidates
    .filter(({ id }) => voters.includes(id) && id !== leader)
    .sort((a, b) => voters.indexOf(b.id) - voters.indexOf(a.id))
    .sort(
      (a, b) =>
        Number(b.gone) - Number(a.gone) || Number(b.cordoned) - Number(a.cordoned) || b.flaps - a.flaps,
    )
}

function replacement(
  living: number,
  gone: readonly NodeId[],
  ready: readonly NodeId[],
  target: number,
  votersMin: number,
): ConfigChangeStep[] {
  const swaps = Math.max(0, Math.min(gone.length, ready.length, target - living))
  const left = living + swaps
  const allLeave = left % 2 === 1 && left >= Math.max(VOTERS_MIN, votersMin)
  return [...removal(allLeave ? gone : gone.slice(0, swaps)), ...addition(ready.slice(0, swaps))]
}

/** One cordoned voter at a time: each leaves a whole, healthy configuration behind. */
function relief(
  voters: readonly NodeId[],
  candidates: readonly Candidate[],
  ready: readonly NodeId[],
  leader: NodeId,
  votersMin: number,
): ConfigChangeStep[] {
  const leaving = candidates.find(
    ({ id, cordoned, gone }) =>
      cordoned && !gone && voters.includes(id) && (id !== leader || voters.length === 1),
  )
  if (leaving === undefined) return []
  const [heir] = ready
  if (heir !== undefined) return [dismissal(leaving), ...addition([heir])]
  const spare = voters.length > Math.max(VOTERS_MIN, votersMin)
  return voters.length % 2 === 0 && spare ? [dismissal(leaving)] : []
}

function promotion(voters: number, ready: readonly NodeId[], target: number): ConfigChangeStep[] {
  const possible = Math.min(target, voters + ready.length)
  const wanted = possible % 2 === 0 ? possible - 1 : possible
  return addition(ready.slice(0, Math.max(0, wanted - voters)))
}

function demotion(
  voters: readonly NodeId[],
  candidates: readonly Candidate[],
  target: number,
  leader: NodeId,
  { enabled, votersMin }: Pruning,
): ConfigChangeStep[] {
  const wanted = Math.max(target, votersMin)
  const surplus = Math.min(voters.length - wanted, Math.floor((voters.length - 1) / 2))
  if (surplus <= 0) return []
  return dispensable(voters, candidates, leader)
    .slice(0, surplus)
    .map((voter) => dismissal({ ...voter, gone: voter.gone && enabled }))
}
