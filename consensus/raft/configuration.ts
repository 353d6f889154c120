import type { ConfigChange, Configuration, NodeId } from './types.ts'
import { invariant } from './types.ts'

/** A configuration without members: what a node that waits to be added starts with. */
export const EMPTY_CONFIGURATION: Configuration = Object.freeze({
  voters: [],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
})

/** The configuration of a first cluster. Sorted, so that every founder starts from the same bytes. */
export function initialConfiguration(voters: readonly NodeId[]): Configuration {
  return { ...EMPTY_CONFIGURATION, voters: [...voters].sort() }
}

/** True while two majorities must agree. */
export function isJoint(configuration: Configuration): boolean {
  return configuration.votersOutgoing.length > 0
}

/** True if `id` votes in either half. */
export function isVoter(configuration: Configuration, id: NodeId): boolean {
  return configuration.voters.includes(id) || configuration.votersOutgoing.includes(id)
}

/** Voters of both halves. */
export function allVoters(configuration: Configuration): NodeId[] {
  return [...new Set([...configuration.voters, ...configuration.votersOutgoing])]
}

/** Everybody the leader replicates to, sorted. */
export function allNodes(configuration: Configuration): NodeId[] {
  const { voters, votersOutgoing, learners, learnersNext } = configuration
  return [...new Set([...voters, ...votersOutgoing, ...learners, ...learnersNext])].sort()
}

function leaveJoint(configuration: Configuration): Configuration {
  invariant(isJoint(configuration), 'only a joint configuration can be left')
  const { voters, learners, learnersNext } = configuration
  return {
    voters,
    votersOutgoing: [],
    learners: [...learners, ...learnersNext].sort(),
    learnersNext: [],
    autoLeave: false,
  }
}

/**
 * The configuration after `change`. A change that touches at most one voter is applied directly (two majorities of it
 * always intersect); any other goes through a joint configuration that leaves itself (paper §6). Throws InvariantError
 * for a change that would leave no voter.
 */
export function changeConfiguration(configuration: Configuration, change: ConfigChange): Configuration {
  if (change.steps.length === 0) return leaveJoint(configuration)
  invariant(!isJoint(configuration), 'a joint configuration must be left before the next change')
  const voters = new Set(configuration.voters)
  const learners = new Set(configuration.learners)
  const demoted = new Set<NodeId>()
  for (const { kind, node } of change.steps) {
    invariant(node !== '', 'a node id is never empty')
    if (kind === 'addVoter') {
      learners.delete(node)
      demoted.delete(node)
      voters.add(node)
    } else {
      voters.delete(node)
      learners.delete(node)
      demoted.delete(node)
      if (kind === 'addLearner') (configuration.voters.includes(node) ? demoted : learners).add(node)
    }
  }
  invariant(voters.size > 0, 'a configuration has at least one voter')
  const before = new Set(configuration.voters)
  const added = [...voters].filter((id) => !before.has(id)).length
  const removed = [...before].filter((id) => !voters.has(id)).length
  if (added + removed <= 1) {
    return {
      voters: [...voters].sort(),
      votersOutgoing: [],
      learners: [...learners, ...demoted].sort(),
      learnersNext: [],
      autoLeave: false,
    }
  }
  return {
    voters: [...voters].sort(),
    votersOutgoing: [...configuration.voters],
    learners: [...learners].sort(),
    learnersNext: [...demoted].sort(),
    autoLeave: true,
  }
}

/** Log entry payload of a configuration change. */
export function encodeChange(change: ConfigChange): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(change))
}

/** Reads a payload written by `encodeChange`. Throws InvariantError if it is not one: the log is damaged. */
export function decodeChange(data: Uint8Array): ConfigChange {
  const change = JSON.parse(new TextDecoder().decode(data)) as ConfigChange
  invariant(Array.isArray(change.steps), 'a configuration entry holds a list of steps')
  return change
}
