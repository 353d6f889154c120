import type { ConsensusStatus, RaftPeer } from './client.ts'
import type { PeerHealth } from './members.ts'
import { allNodes, EMPTY_CONFIGURATION, isJoint, isVoter } from './raft/configuration.ts'
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
  readonly supersededBy: string | null
  /** Ids of the cordoned nodes. */
  readonly cordoned: readonly string[]
  readonly draining: readonly string[]
  readonly isConnected: (peer: string) => boolean
  /** How the leader sees a peer; asked on the leader only. */
  readonly healthOf: (peer: string) => PeerHealth
}

/** The status of a node; `raft` is null until it belongs to a cluster. */
export function composeStatus(raft: Raft | null, context: StatusContext): ConsensusStatus {
  const {
    id,
    clusterId,
    leader,
    hasEnded,
    lastContactMs,
    failure,
    diskFull,
    supersededBy,
    cordoned,
    draining,
  } = context
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
      logEntries: 0,
      logBytes: 0,
      lastContactMs,
      peers: [],
      joint: null,
      cordoned,
      draining,
      supersededBy,
      failure,
      diskFull,
    }
  }
  const { configuration, log } = raft
  const members = allNodes(configuration)
  const passive = raft.role === 'follower' && !raft.isVoter()
  return {
    id,
    clusterId,
    role: passive ? (members.includes(id) ? 'learner' : 'none') : hasEnded ? 'follower' : raft.role,
    term: raft.term,
    leader: leader === '' ? null : leader,
    commitIndex: log.committedIndex,
    appliedIndex: log.appliedIndex,
    lastLogIndex: log.lastIndex,
    firstLogIndex: log.firstIndex,
    snapshotIndex: raft.latestSnapshot.index,
    logEntries: log.size,
    logBytes: log.bytes,
    lastContactMs,
    peers: members.map((peer) => composePeer(raft, peer, context)),
    joint: isJoint(configuration)
      ? { incoming: configuration.voters, outgoing: configuration.votersOutgoing }
      : null,
    cordoned,
    draining,
    supersededBy,
    failure,
    diskFull,
  }
}

function composePeer(raft: Raft, id: string, context: StatusContext): RaftPeer {
  const { leader, isLeader, cordoned, isConnected, healthOf } = context
  const progress = isLeader ? raft.progress.get(id) : undefined
  const health = isLeader && id !== context.id ? healthOf(id) : null
  return {
    id,
    voter: isVoter(raft.configuration, id),
    leader: id === leader,
    cordoned: cordoned.includes(id),
    connected: id === context.id || isConnected(id),
    matchIndex: isLeader ? (progress?.matchIndex ?? 0) : null,
    lag: isLeader ? raft.log.lastIndex - (progress?.matchIndex ?? 0) : null,
    state: progress?.state ?? null,
    lastHeardMs: isLeader ? (health?.lastHeardMs ?? 0) : null,
    flaps: isLeader ? (health?.flaps ?? 0) : null,
    flapping: isLeader ? (health?.flapping ?? false) : null,
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
