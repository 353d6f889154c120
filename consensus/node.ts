import type { Logger } from 'pino'
import type { ConsensusClient } from './client.ts'
import type { Clock } from './clock.ts'
import { ConsensusError } from './errors.ts'
import { Formation, type PeerDirectory } from './formation.ts'
import type { ReplicaMetrics } from './metrics.ts'
import { RaftClient } from './raft-client.ts'
import { Replica, type ReplicaOptions } from './replica.ts'
import { answerRpc, type RpcRequest, type RpcResponses } from './rpc.ts'
import type { LogStore } from './storage/log-store.ts'
import type { Transport } from './transport.ts'

/** Settings of a consensus node. */
export interface ConsensusNodeOptions extends ReplicaOptions {
  /** With how many others it makes the first cluster: 1 = alone, 0 = never, it only joins. */
  readonly bootstrapExpect: number
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
  readonly onFatal: (error: Error) => void
}

const HANDOVER_MS = 2000

/** One node of the replicated log, with how it finds its cluster. The rest of the program sees only `client`. */
export class ConsensusNode {
  readonly client: ConsensusClient
  readonly #raftClient: RaftClient
  readonly #replica: Replica
  readonly #formation: Formation

  constructor(options: ConsensusNodeOptions, collaborators: ConsensusNodeCollaborators) {
    const { transport, directory, log, clock } = collaborators
    this.#replica = new Replica(options, collaborators)
    this.#raftClient = new RaftClient({ replica: this.#replica, transport, clock, log })
    this.client = this.#raftClient
    this.#formation = new Formation(options, { replica: this.#replica, transport, directory, log })
    transport.onMessage((from, payload) => this.#replica.receive(from, payload))
    transport.onRequest((from, payload) =>
      answerRpc(
        payload,
        () => this.#replica.leader,
        (request) => this.#handle(from, request),
      ),
    )
  }

  /** Opens the store. The network may already deliver. @throws ConsensusError if the store cannot be used. */
  async start(): Promise<void> {
    await this.#replica.start()
    await this.#formation.start()
  }

  /** Hands leadership over if this node leads, waiting for it a little. */
  async handOver(): Promise<void> {
    if (!this.#replica.transferLeadership()) return
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
    await this.#formation.stop()
    await this.#replica.stop()
  }

  /** The connection to a peer broke, or the failure detector gave it up. */
  peerLost(peer: string): void {
    this.#replica.peerLost(peer)
  }

  async #handle(from: string, request: RpcRequest): Promise<RpcResponses[RpcRequest['op']]> {
    switch (request.op) {
      case 'propose':
        return this.#replica.proposeLocal(request.record)
      case 'readIndex':
        return { index: await this.#replica.confirmRead() }
      case 'renew':
        return {
          session: await this.#raftClient.renewHere(request.session),
          index: this.#replica.state.appliedIndex,
        }
      case 'join':
        return this.#admit(from)
      case 'snapshot':
        await this.#replica.receiveSnapshot(from, request)
        return {}
      case 'pledge':
        return this.#formation.handlePledge(from, request.pledge)
      case 'release':
        return this.#formation.handleRelease(from, request.attempt)
      case 'found':
        return this.#formation.handleFound(from, request.pledge, request.clusterId)
      case 'attempt':
        return this.#formation.handleAttempt(from, request.attempt)
      default:
        throw new ConsensusError('CST_PROPOSAL_DROPPED', `unknown request ${(request as { op: string }).op}`)
    }
  }

  /** The leader takes a node in as a learner; it is promoted once it has caught up, if voters are wanted. */
  #admit(from: string): RpcResponses['join'] {
    const { identity } = this.#replica
    if (!this.#replica.isLeader || identity === null) {
      throw new ConsensusError('CST_NOT_LEADER', 'this node does not lead')
    }
    if (!this.#replica.hasPeer(from)) {
      this.#replica.proposeChange({ steps: [{ kind: 'addLearner', node: from }] })
    }
    return { clusterId: identity.clusterId }
  }
}
