import type { Logger } from 'pino'
import type { ConsensusStatus } from './client.ts'
import type { Driver } from './driver.ts'
import type { LeaderLease } from './leader-lease.ts'
import type { Members } from './members.ts'
import type { ReplicaMetrics } from './metrics.ts'
import type { Participation } from './participation.ts'
import { composeStatus, StatusListeners } from './status.ts'
import type { PatientStore } from './storage/patient-store.ts'
import type { Transport } from './transport.ts'

/** What the status of a replica is read off, and whom a change of it concerns. */
export interface ReplicaStatusCollaborators {
  readonly driver: Pick<Driver, 'raft' | 'leader' | 'isLeader' | 'lastContactMs'>
  readonly clusterId: () => string | null
  /** Ids of the cordoned nodes. */
  readonly cordoned: () => readonly string[]
  /** Ids of those among them that are drained. */
  readonly draining: () => readonly string[]
  readonly participation: Pick<Participation, 'hasEnded' | 'failure' | 'supersededBy'>
  readonly store: Pick<PatientStore, 'full'>
  readonly members: Pick<Members, 'health'>
  readonly lease: Pick<LeaderLease, 'drop'>
  readonly transport: Pick<Transport, 'isConnected'>
  readonly metrics: ReplicaMetrics | null
  readonly log: Logger
  /** This node leads from now on, or no longer; before any listener hears of it. */
  readonly leadershipChanged: (term: number) => void
  readonly listenerFailed: (error: unknown) => void
}

/** The status of a replica, and who hears when it changes. */
export class ReplicaStatus {
  readonly #nodeId: string
  readonly #with: ReplicaStatusCollaborators
  readonly #listeners: StatusListeners

  constructor(nodeId: string, collaborators: ReplicaStatusCollaborators) {
    this.#nodeId = nodeId
    this.#with = collaborators
    this.#listeners = new StatusListeners(collaborators.listenerFailed)
  }

  /** The status as of now. */
  read(): ConsensusStatus {
    const { participation, store, transport, members, clusterId, cordoned, draining } = this.#with
    const { raft, leader, isLeader, lastContactMs } = this.#with.driver
    return composeStatus(raft, {
      id: this.#nodeId,
      clusterId: clusterId(),
      leader,
      isLeader,
      hasEnded: participation.hasEnded,
      lastContactMs,
      failure: participation.failure?.message ?? null,
      diskFull: store.full?.message ?? null,
      supersededBy: participation.supersededBy,
      cordoned: cordoned(),
      draining: draining(),
      isConnected: (peer) => transport.isConnected(peer),
      healthOf: (peer) => members.health(peer),
    })
  }

  /** Answers the way to stop. */
  listen(listener: (status: ConsensusStatus) => void): () => void {
    return this.#listeners.add(listener)
  }

  /** Tells everybody if something changed since the last call. */
  notice(): void {
    const { store, lease, metrics, log } = this.#with
    const { raft, leader, isLeader } = this.#with.driver
    if (raft === null) return
    const changed = this.#listeners.changed(raft, leader, isLeader, store.full !== null)
    if (changed === null) return
    lease.drop()
    const status = this.read()
    const { role, term } = status
    if (changed.leadership) this.#with.leadershipChanged(term)
    metrics?.statusChanged(status)
    log.debug({ role, term, leader: status.leader }, 'consensus status changed')
    this.#listeners.tell(status)
  }
}
