import type { ConsensusStatus, RaftPeer } from './client.ts'
import { allNodes, EMPTY_CONFIGURATION, isVoter } from './raft/configuration.ts'
import type { Raft } from './raft/raft.ts'

/** What the status says beyond the protocol's own state. `leader`: '' if none is known or this node has ended. */
export interface StatusContext {
  readonly id: string
  readonly clusterId: string | null
  readonly leader: string
  readonly isLeader: boolean
  /** The node takes part no more: it is stopping or its storage failed. */
  readonly hasEnded: boolean
  readonly lastContactMs: number
  readonly failure: string | null
  readonly diskFull: string | null
}

/** The status of a node; `raft` is null until it belongs to a cluster. */
export function composeStatus(raft: Raft | null, context: StatusContext): ConsensusStatus {
  const { id, clusterId, leader, isLeader, hasEnded, lastContactMs, failure, diskFull } = context
  if (raft === null) {
    return {
      id,
      clusterId: null,
      role: 'none',
      term: 0,
      leader: null,
      commitIndex: 0,
      appliedIndex: 0,
      lastLogIndex: 0,
      firstLogIndex: 1,
      snapshotIndex: 0,
      lastContactMs,
      peers: [],
      failure,
      diskFull,
    }
  }
  const members = allNodes(raft.configuration)
  const peers: RaftPeer[] = members.map((peer) => ({
    id: peer,
    voter: isVoter(raft.configuration, peer),
    leader: peer === leader,
    matchIndex: isLeader ? (raft.progress.get(peer)?.matchIndex ?? 0) : null,
  }))
  const passive = raft.role === 'follower' && !raft.isVoter()
  return {
    id,
    clusterId,
    role: passive ? (members.includes(id) ? 'learner' : 'none') : hasEnded ? 'follower' : raft.role,
    term: raft.term,
    leader: leader === '' ? null : leader,
    commitIndex: raft.log.committedIndex,
    appliedIndex: raft.log.appliedIndex,
    lastLogIndex: raft.log.lastIndex,
    firstLogIndex: raft.log.firstIndex,
    snapshotIndex: raft.latestSnapshot.index,
    lastContactMs,
    peers,
    failure,
    diskFull,
  }
}

/** Tells listeners when role, leader, term, configuration or leadership changed. One that throws is reported. */
export class StatusListeners {
  readonly #onError: (error: unknown) => void
  readonly #listeners = new Set<(status: ConsensusStatus) => void>()
  #seen = {
    isLeader: false,
    role: 'none',
    term: -1,
    leader: '',
    configuration: EMPTY_CONFIGURATION,
    diskFull: false,
  }

  constructor(onError: (error: unknown) => void) {
    this.#onError = onError
  }

  /** Answers the way to stop. */
  add(listener: (status: ConsensusStatus) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Compares with what was seen last. Answers what changed; null if nothing did. */
  changed(
    raft: Raft,
    leader: string,
    isLeader: boolean,
    diskFull: boolean,
  ): { readonly leadership: boolean } | null {
    const before = this.#seen
    const { role, term, configuration } = raft
    if (
      isLeader === before.isLeader &&
      role === before.role &&
      term === before.term &&
      leader === before.leader &&
      configuration === before.configuration &&
      diskFull === before.diskFull
    ) {
      return null
    }
    this.#seen = { isLeader, role, term, leader, configuration, diskFull }
    return { leadership: isLeader !== before.isLeader }
  }

  tell(status: ConsensusStatus): void {
    for (const listener of [...this.#listeners]) {
      try {
        listener(status)
      } catch (error) {
        this.#onError(error)
      }
    }
  }
}
