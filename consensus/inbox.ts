import type { Logger } from 'pino'
import { ConsensusError } from './errors.ts'
import type { LogWriter } from './log-writer.ts'
import type { ReplicaMetrics } from './metrics.ts'
import type { Participation } from './participation.ts'
import type { Raft } from './raft/raft.ts'
import type { Message } from './raft/types.ts'
import type { SnapshotProgress } from './rpc.ts'
import type { SnapshotPart, SnapshotSubject } from './snapshot-transfer.ts'
import { type Snapshots, snapshotMessage } from './snapshots.ts'
import type { SuccessionNotices } from './succession.ts'
import { decodeMessage } from './wire.ts'

/** What happens to what arrives. */
export interface InboxCollaborators {
  /** Null until this node belongs to a cluster. */
  readonly raft: () => Raft | null
  readonly clusterId: () => string | null
  readonly appliedIndex: () => number
  readonly participation: Pick<Participation, 'hasEnded'>
  readonly snapshots: Pick<Snapshots, 'progress' | 'receive' | 'offer'>
  readonly writer: Pick<LogWriter, 'isOverloaded'>
  readonly notices: SuccessionNotices
  readonly metrics: ReplicaMetrics | null
  readonly log: Logger
  /** Hands a message to the protocol. */
  readonly step: (raft: Raft, message: Message) => void
}

/**
 * What arrives from other nodes, which the transport has authenticated: messages of the protocol, and snapshots, whose data
 * comes in parts beside them.
 */
export class Inbox {
  readonly #nodeId: string
  readonly #with: InboxCollaborators

  constructor(nodeId: string, collaborators: InboxCollaborators) {
    this.#nodeId = nodeId
    this.#with = collaborators
  }

  /** Takes a frame from the peer `from`. */
  receive(from: string, payload: Uint8Array): void {
    const { participation, notices, writer, metrics, step } = this.#with
    const raft = this.#with.raft()
    if (raft === null || participation.hasEnded) return
    const decoded = this.#decode(from, payload)
    if (decoded === null) return
    const { clusterId, message } = decoded
    const ours = this.#with.clusterId()
    if (clusterId !== ours) {
      notices.heard(from, clusterId, ours ?? '')
      return
    }
    if (message.from !== from || message.to !== this.#nodeId) return
    // A snapshot comes with its data through `receiveSnapshot`, never as a bare message.
    if (message.type === 'snapshot') return
    // As if the network had lost it: the leader sends it again.
    if (message.entries.length > 0 && writer.isOverloaded) return
    metrics?.message('in', message.type)
    step(raft, message)
  }

  #decode(from: string, payload: Uint8Array): ReturnType<typeof decodeMessage> | null {
    try {
      return decodeMessage(payload)
    } catch (error) {
      this.#with.log.warn({ from, err: error }, 'dropped a malformed consensus message')
      return null
    }
  }

  /** How much this node has of a snapshot that is sent to it. @throws ConsensusError */
  async snapshotProgress(from: string, about: SnapshotSubject): Promise<SnapshotProgress> {
    this.#snapshotTarget(about)
    const progress = await this.#with.snapshots.progress(from, about)
    return { ...progress, done: this.#with.appliedIndex() >= about.meta.index }
  }

  /** Takes one part of a snapshot; with the last one the state is replaced. @throws ConsensusError, CodecError */
  async receiveSnapshot(from: string, part: SnapshotPart): Promise<void> {
    const { participation, snapshots, step } = this.#with
    const raft = this.#snapshotTarget(part)
    await snapshots.receive(from, part, (received) => {
      if (participation.hasEnded) return
      // Handed over and taken back in one turn: another snapshot may complete while this one waits.
      snapshots.offer(received, () =>
        step(raft, snapshotMessage(from, this.#nodeId, part.term, received.meta)),
      )
    })
  }

  /** The protocol a snapshot is for. @throws ConsensusError if it is of another cluster or of a leader of the past. */
  #snapshotTarget({ clusterId, term }: SnapshotSubject): Raft {
    const raft = this.#with.raft()
    if (raft === null || clusterId !== this.#with.clusterId()) {
      throw new ConsensusError('CST_NOT_INITIALISED', 'this node is not part of that cluster')
    }
    if (!Number.isSafeInteger(term) || term < raft.term) {
      throw new ConsensusError(
        'CST_NOT_LEADER',
        `a leader of term ${term} sends nothing in term ${raft.term}`,
      )
    }
    return raft
  }
}
