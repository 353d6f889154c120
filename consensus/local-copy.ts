import type { Logger } from 'pino'
import type { ConsensusStatus, RaftPeer } from './client.ts'
import type { Clock } from './clock.ts'
import { cordonedNodes, drainingNodes } from './cordon.ts'
import type { Feed } from './feed.ts'
import { FeedFollower } from './feed-follower.ts'
import type { FeedMembers } from './feed-messages.ts'
import type { FeedMetrics } from './feed-metrics.ts'
import type { MemberOrders } from './member-orders.ts'
import type { ReplicaMetrics } from './metrics.ts'
import type { Replica } from './replica.ts'
import { StatusListeners } from './status.ts'
import type { Transport } from './transport.ts'

/** What a client door reads and asks of this node, be it a member or a client of the cluster. */
export type LocalReplica = Pick<
  Replica,
  | 'id'
  | 'state'
  | 'watchers'
  | 'leader'
  | 'ended'
  | 'diskFull'
  | 'leaseReads'
  | 'isLeader'
  | 'lastContactMs'
  | 'status'
  | 'onStatus'
  | 'waitApplied'
  | 'proposeLocal'
  | 'confirmRead'
  | 'renew'
  | 'orders'
  | 'members'
>

/** What the copy of this node works with. */
export interface LocalCopyCollaborators {
  readonly replica: Replica
  readonly feed: Feed
  readonly transport: Transport
  readonly clock: Clock
  readonly random: () => number
  readonly log: Logger
  readonly metrics: ReplicaMetrics | null
  readonly feedMetrics: FeedMetrics | null
}

/**
 * This node's copy of the state: its replica's, or, while the cluster has no place for it, the one that a member feeds.
 * Each change from one to the other happens only when the other is at least as far, so whoever reads never sees the state
 * go back.
 */
export class LocalCopy implements LocalReplica {
  readonly #tickMs: number
  readonly #with: LocalCopyCollaborators
  readonly #replica: Replica
  readonly #listeners: StatusListeners
  #follower: FeedFollower | null = null
  /** The follower's copy is the one that is read. */
  #isFed = false
  #seen = ''
  #stopped = false
  /** Followers that end. */
  #ending: Promise<void> = Promise.resolve()

  constructor(options: { readonly tickMs: number }, collaborators: LocalCopyCollaborators) {
    this.#tickMs = options.tickMs
    this.#with = collaborators
    this.#replica = collaborators.replica
    this.#listeners = new StatusListeners((error) =>
      collaborators.log.error({ err: error }, 'a listener of the replicated state failed'),
    )
    this.#replica.onStatus(() => this.#noticeStatus())
  }

  /** The follower whose copy is read now; null on a member. */
  get #fed(): FeedFollower | null {
    return this.#isFed ? this.#follower : null
  }

  /**
   * The leader said that this node is a client and who the members are. Does nothing but note the members if it is fed
   * already. The replica keeps what it may have stored from a time as a member.
   */
  follow(members: FeedMembers, leader: string): void {
    const clusterId = this.#replica.identity?.clusterId
    if (clusterId === undefined || this.#stopped) return
    if (this.#follower !== null) {
      this.#follower.setMembers(members, leader)
      return
    }
    const { transport, clock, random, log, feedMetrics } = this.#with
    const follower = new FeedFollower(
      { nodeId: this.id, clusterId, tickMs: this.#tickMs },
      {
        transport,
        clock,
        random,
        log,
        watchers: this.#replica.watchers,
        metrics: feedMetrics,
        onChange: () => this.#noticeStatus(),
        onApplied: (count, index, commitIndex) => this.#with.metrics?.appliedFed(count, index, commitIndex),
      },
    )
    this.#follower = follower
    log.info({ members: members.voters.length + members.learners.length }, 'this node is a client')
    follower.start(members, leader)
  }

  /** True from `follow` until the replica has taken over. */
  get isClient(): boolean {
    return this.#follower !== null
  }

  /** Changes over to the copy that counts now, if it is as far as the one that is read. Call now and then. */
  settle(): void {
    const follower = this.#follower
    if (follower === null) return
    const { index } = follower.copy.position
    const { appliedIndex } = this.#replica.state
    if (!this.#isFed && index > 0 && index >= appliedIndex) {
      this.#isFed = true
      this.#replica.watchers.notifyAll()
      this.#noticeStatus()
    }
    const isBack = this.#replica.isMember && this.#replica.leader !== ''
    if (!isBack || appliedIndex < index) return
    this.#isFed = false
    this.#follower = null
    this.#ending = Promise.all([this.#ending, follower.stop()]).then(() => {})
    this.#with.log.info('this node is a member again and fed no more')
    this.#replica.watchers.notifyAll()
    this.#noticeStatus()
  }

  /** Ends the feed. */
  async stop(): Promise<void> {
    this.#stopped = true
    await this.#follower?.stop()
    await this.#ending
  }

  /** The connection to a peer broke, or the failure detector gave it up. */
  peerLost(peer: string): void {
    this.#follower?.peerLost(peer)
  }

  // ---- what is read -------------------------------------------------------------------------------------------

  get id(): string {
    return this.#replica.id
  }

  get watchers(): Replica['watchers'] {
    return this.#replica.watchers
  }

  get state(): Replica['state'] {
    return this.#fed?.copy.state ?? this.#replica.state
  }

  get leader(): string {
    const fed = this.#fed
    if (fed === null) return this.#replica.leader
    return this.ended === null ? fed.leader : ''
  }

  get ended(): Replica['ended'] {
    return this.#replica.ended
  }

  get diskFull(): Replica['diskFull'] {
    return this.#replica.diskFull
  }

  get leaseReads(): boolean {
    return this.#replica.leaseReads
  }

  get isLeader(): boolean {
    return this.#replica.isLeader
  }

  get lastContactMs(): number {
    return this.#fed?.lastContactMs ?? this.#replica.lastContactMs
  }

  waitApplied(index: number): ReturnType<Replica['waitApplied']> {
    const fed = this.#fed
    if (fed === null || this.ended !== null) return this.#replica.waitApplied(index)
    return fed.waitApplied(index)
  }

  onStatus(listener: (status: ConsensusStatus) => void): () => void {
    return this.#listeners.add(listener)
  }

  status(): ConsensusStatus {
    const status = this.#replica.status()
    const fed = this.#fed
    if (fed === null) return this.#withFollowers(status)
    const { voters, learners } = fed.members
    const { leader } = this
    const { transport } = this.#with
    const cordoned = cordonedNodes(this.state)
    const peers = [...voters, ...learners].sort().map(
      (id): RaftPeer => ({
        id,
        voter: voters.includes(id),
        leader: id === leader,
        cordoned: cordoned.includes(id),
        connected: transport.isConnected(id),
        matchIndex: null,
        lag: null,
        state: null,
        lastHeardMs: null,
        flaps: null,
        flapping: null,
      }),
    )
    const { index } = fed.copy.position
    return {
      ...status,
      role: 'client',
      term: fed.term,
      leader: leader === '' ? null : leader,
      commitIndex: fed.commitIndex,
      appliedIndex: index,
      lastContactMs: fed.lastContactMs,
      peers,
      cordoned,
      draining: drainingNodes(this.state),
      feed: { feeder: fed.feeder, lag: fed.commitIndex - index, restarts: fed.restarts },
    }
  }

  #withFollowers(status: ConsensusStatus): ConsensusStatus {
    const followers = this.#with.feed
      .followers()
      .map(({ id, index }) => ({ id, lag: Math.max(0, status.commitIndex - index) }))
    return followers.length === 0 ? status : { ...status, followers }
  }

  /** Tells listeners if anything but an index changed. */
  #noticeStatus(): void {
    this.#adoptFeed()
    const status = this.status()
    const { role, term, leader, peers, failure, diskFull, clusterId, feed } = status
    const roles = peers.map((peer) => [peer.id, peer.voter, peer.leader])
    const seen = JSON.stringify([role, term, leader, roles, failure, diskFull, clusterId, feed?.feeder])
    if (seen === this.#seen) return
    this.#seen = seen
    if (this.#isFed) this.#with.metrics?.statusChanged(status)
    this.#listeners.tell(status)
  }

  /** The first state of a feed is read as soon as it is there, not only at the next look. */
  #adoptFeed(): void {
    if (!this.#isFed && this.#follower !== null) this.settle()
  }

  // ---- what only a leader does --------------------------------------------------------------------------------

  proposeLocal: Replica['proposeLocal'] = (record) => this.#replica.proposeLocal(record)

  confirmRead: Replica['confirmRead'] = (mayUseLease) => this.#replica.confirmRead(mayUseLease)

  renew: Replica['renew'] = (id) => this.#replica.renew(id)

  get orders(): MemberOrders {
    return this.#replica.orders
  }

  get members(): Replica['members'] {
    return this.#replica.members
  }
}
