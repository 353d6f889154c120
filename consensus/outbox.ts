import type { ReplicaMetrics } from './metrics.ts'
import type { Participation } from './participation.ts'
import type { Raft } from './raft/raft.ts'
import type { Message } from './raft/types.ts'
import type { Snapshots } from './snapshots.ts'
import type { Transport } from './transport.ts'
import { encodeMessage } from './wire.ts'

/** What messages are sent with. */
export interface OutboxCollaborators {
  /** Null until this node belongs to a cluster, which is before it sends anything. */
  readonly clusterId: () => string | null
  readonly transport: Pick<Transport, 'send'>
  readonly snapshots: Pick<Snapshots, 'send'>
  readonly participation: Pick<Participation, 'hasEnded'>
  readonly metrics: ReplicaMetrics | null
  /** The protocol was told how the delivery of a snapshot ended, and may have something to do. */
  readonly onReported: () => void
}

/** Sends what the protocol wants sent, and tells it what could not be delivered. */
export class Outbox {
  readonly #with: OutboxCollaborators

  constructor(collaborators: OutboxCollaborators) {
    this.#with = collaborators
  }

  get #clusterId(): string {
    return this.#with.clusterId() ?? ''
  }

  send(raft: Raft, message: Message): void {
    if (message.to === raft.id) {
      raft.step(message)
      return
    }
    const { metrics, transport } = this.#with
    metrics?.message('out', message.type)
    if (message.type === 'snapshot') {
      void this.#sendSnapshot(raft, message)
      return
    }
    const sent = transport.send(message.to, encodeMessage(this.#clusterId, message))
    if (!sent && message.type === 'append') raft.reportUnreachable(message.to)
  }

  async #sendSnapshot(raft: Raft, message: Message): Promise<void> {
    const { snapshots, participation, onReported } = this.#with
    const { to, term, snapshot: meta } = message
    if (meta === null) return
    const ok = await snapshots.send(to, { clusterId: this.#clusterId, term, meta })
    if (ok === null || participation.hasEnded) return
    raft.reportSnapshot(to, ok)
    onReported()
  }
}
