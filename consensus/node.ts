import type { Logger } from 'pino'
import type { ConsensusClient } from './client.ts'
import type { Clock } from './clock.ts'
import { ConsensusError, isConsensusError, refused } from './errors.ts'
import { FEED_DEFAULTS, Feed, type FeedOptions } from './feed.ts'
import { FOLLOW_WAIT_TICKS } from './feed-follower.ts'
import { type FeedMembers, feedMembers } from './feed-messages.ts'
import type { FeedMetrics } from './feed-metrics.ts'
import { replicaSource } from './feed-source.ts'
import { Formation, type PeerDirectory } from './formation.ts'
import { LocalCopy } from './local-copy.ts'
import type { ReplicaMetrics } from './metrics.ts'
import { EMPTY_CONFIGURATION } from './raft/configuration.ts'
import { RaftClient } from './raft-client.ts'
import { Replica } from './replica.ts'
import { REPLICA_DEFAULTS, type ReplicaOptions } from './replica-options.ts'
import { answerRpc, type RpcRequest, type RpcResponses } from './rpc.ts'
import type { LogStore } from './storage/log-store.ts'
import type { Transport } from './transport.ts'

/** Settings of a consensus node. */
export interface ConsensusNodeOptions extends ReplicaOptions {
  /** With how many others it makes the first cluster: 1 = alone, 0 = never, it only joins. */
  readonly bootstrapExpect: number
  /** Bounds of what this node feeds to clients, where they differ from the defaults. */
  readonly feed?: Partial<FeedOptions>
}

/** What a consensus node works with. */
export interface ConsensusNodeCollaborators {
  readonly store: LogStore
  readonly transport: Transport
  readonly directory: PeerDirectory
  readonly log: Logger
  readonly clock: Clock
  readonly random: () => number
  readonly metrics: ReplicaMetrics | null
  readonly feedMetrics: FeedMetrics | null
  readonly onFatal: (error: Error) => void
}

const HANDOVER_MS = 2000

/** One node of the replicated log, with how it finds its cluster. The rest of the program sees only `client`. */
export class ConsensusNode {
  readonly client: ConsensusClient
  readonly #raftClient: RaftClient
  readonly #replica: Replica
  readonly #copy: LocalCopy
  readonly #feed: Feed
  readonly #formation: Formation
  readonly #directory: PeerDirectory
  #isOpen = false

  constructor(options: ConsensusNodeOptions, collaborators: ConsensusNodeCollaborators) {
    const { transport, directory, log, clock } = collaborators
    this.#directory = directory
    this.#replica = new Replica(options, collaborators)
    const tickMs = options.tickMs ?? REPLICA_DEFAULTS.tickMs
    this.#feed = new Feed(
      { ...FEED_DEFAULTS, waitMs: FOLLOW_WAIT_TICKS * tickMs, ...options.feed },
      { source: replicaSource(this.#replica), clock, log, metrics: collaborators.feedMetrics },
    )
    this.#copy = new LocalCopy({ tickMs }, { ...collaborators, replica: this.#replica, feed: this.#feed })
    this.#raftClient = new RaftClient({
      replica: this.#copy,
      transport,
      clock,
      log,
      addVoter: (id) => this.#addVoter(id),
    })
    this.client = this.#raftClient
    this.#formation = new Formation(
      { ...options, tickMs },
      { ...collaborators, replica: this.#replica, copy: this.#copy },
    )
    transport.onMessage((from, payload) => this.#replica.receive(from, payload))
    transport.onRequest((from, payload) =>
      answerRpc(
        payload,
        () => this.#copy.leader,
        (request) => this.#handle(from, request),
      ),
    )
  }

  /** Opens the store and takes its lock, so that a second process on it ends here. @throws ConsensusError */
  async open(): Promise<void> {
    await this.#replica.start()
    this.#isOpen = true
  }

  /** Opens the store if that was not done, and looks for a cluster. The network delivers already. @throws ConsensusError */
  async start(): Promise<void> {
    await this.open()
    await this.#formation.start()
  }

  /** Hands leadership over if this node leads, waiting for it a little. */
  async handOver(): Promise<void> {
    try {
      this.#replica.orders.transfer()
    } catch (error) {
      if (isConsensusError(error)) return
      throw error
    }
    await new Promise<void>((resolve) => {
      const timer = setTimeout(finish, HANDOVER_MS)
      const stop = this.#replica.onStatus((status) => {
        if (status.role !== 'leader' && status.leader !== null) finish()
      })
      function finish() {
        clearTimeout(timer)
        stop()
        resolve()
      }
    })
  }

  async stop(): Promise<void> {
    try {
      await this.#formation.stop()
      this.#feed.stop()
      await this.#copy.stop()
    } finally {
      await this.#replica.stop()
    }
  }

  /** The connection to a peer broke, or the failure detector gave it up. */
  peerLost(peer: string): void {
    this.#replica.peerLost(peer)
    this.#copy.peerLost(peer)
  }

  #members(): FeedMembers {
    return feedMembers(this.#replica.protocol?.configuration ?? EMPTY_CONFIGURATION)
  }

  async #handle(from: string, request: RpcRequest): Promise<RpcResponses[RpcRequest['op']]> {
    // Before its storage is read a node does not know to which cluster or attempt it belongs, and must not say "none".
    if (!this.#isOpen) {
      throw new ConsensusError('CST_NOT_INITIALISED', 'the node is starting', { retryable: true })
    }
    const { ended } = this.#replica
    if (ended !== null) throw ended
    switch (request.op) {
      case 'propose':
        return this.#replica.proposeLocal(request.record)
      case 'readIndex':
        return { index: await this.#replica.confirmRead(request.mayUseLease === true) }
      case 'renew':
        return {
          session: await this.#raftClient.renewHere(request.session),
          index: this.#replica.state.appliedIndex,
        }
      case 'report':
        return { report: await this.#raftClient.reportHere() }
      case 'transfer':
        return { to: this.#replica.orders.transfer(request.to ?? undefined) }
      case 'remove':
        await this.#replica.orders.remove(request.node)
        return {}
      case 'add':
        return { role: await this.#addVoter(request.node) }
      case 'ping':
        return {}
      case 'superseded':
        this.#replica.retire(request.clusterId)
        return {}
      case 'join':
        return this.#admit(from, request.empty)
      case 'follow':
        return this.#feed.answer(from, request)
      case 'snapshotProgress':
        return this.#replica.snapshotProgress(from, request)
      case 'snapshot':
        await this.#replica.receiveSnapshot(from, request)
        return {}
      case 'pledge':
        return this.#formation.handlePledge(from, request.pledge)
      case 'release':
        return this.#formation.handleRelease(from, request.attempt)
      case 'found':
        return this.#formation.handleFound(from, request.clusterId)
      case 'attempt':
        return this.#formation.handleAttempt(from, request.attempt)
      default:
        throw new ConsensusError('CST_PROPOSAL_DROPPED', `unknown request ${(request as { op: string }).op}`)
    }
  }

  /** Whom the leader does not know as living it does not take in, whatever an operator says. */
  async #addVoter(id: string): Promise<'voter' | 'learner'> {
    if (!this.#replica.isLeader) throw new ConsensusError('CST_NOT_LEADER', 'this node does not lead')
    const peer = this.#directory.peers().find((peer) => peer.id === id)
    if (id !== this.#replica.id && !this.#replica.members.has(id)) {
      if (peer === undefined) throw refused(`${id} is not known to the leader`)
      if (!peer.alive) throw refused(`${id} is not alive`)
      const ours = this.#replica.identity?.clusterId
      if (peer.clusterId !== null && peer.clusterId !== ours)
        throw refused(`${id} belongs to another cluster`)
    }
    return this.#replica.orders.addVoter(id)
  }

  /**
   * The leader takes a node in as a learner if there is a place; it is promoted once it has caught up, if voters are
   * wanted. Else the node is a client, and fed by any of the members. A node whose storage was lost is refused: as a
   * voter it could vote twice, as a learner it lacks what it has acknowledged.
   */
  async #admit(from: string, empty: boolean): Promise<RpcResponses['join']> {
    // A leader that was deposed does not know whom the cluster has taken in since, and must not call it new.
    await this.#replica.waitApplied(await this.#replica.confirmRead(false)).promise
    const { identity } = this.#replica
    if (!this.#replica.isLeader || identity === null) {
      throw new ConsensusError('CST_NOT_LEADER', 'this node does not lead')
    }
    if (empty && this.#replica.members.mustRemember(from)) {
      throw new ConsensusError(
        'CST_LOG_DAMAGED',
        `${from} is a member of this cluster but comes without its log: move its whole data directory away, ` +
          'identity.key included, and start it again as a new node; or take its old self out of the cluster with ' +
          '"constellation raft remove"',
      )
    }
    if (!this.#replica.members.has(from)) {
      // Whom the membership does not admit, because its name is taken, gets no place here either.
      if (!this.#directory.peers().some(({ id, alive }) => id === from && alive)) {
        throw new ConsensusError('CST_PROPOSAL_DROPPED', `${from} is not a living member`, {
          retryable: true,
        })
      }
      if (!this.#replica.members.hasPlace()) return { clusterId: identity.clusterId, client: this.#members() }
      this.#replica.orders.change({ steps: [{ kind: 'addLearner', node: from }] })
    }
    return { clusterId: identity.clusterId, client: null }
  }
}
