import type { Applier } from './applier.ts'
import type { Clock } from './clock.ts'
import { lostEntries } from './errors.ts'
import type { LeaderDuties } from './leader-duties.ts'
import type { LogWriter } from './log-writer.ts'
import type { Members } from './members.ts'
import type { Outbox } from './outbox.ts'
import type { Participation } from './participation.ts'
import type { Raft } from './raft/raft.ts'
import { LostEntriesError, type Message } from './raft/types.ts'
import type { ReadConfirmations } from './read-confirmations.ts'
import type { Snapshots } from './snapshots.ts'
import type { PatientStore } from './storage/patient-store.ts'

/** What the protocol is driven with. */
export interface DriverCollaborators {
  readonly participation: Pick<Participation, 'hasEnded' | 'failure' | 'fail'>
  readonly store: Pick<PatientStore, 'full'>
  readonly writer: Pick<LogWriter, 'add' | 'hasQueued' | 'writeNext' | 'tick' | 'isStalled'>
  readonly outbox: Outbox
  readonly applier: Pick<Applier, 'adopt' | 'apply'>
  readonly reads: Pick<ReadConfirmations, 'settle'>
  readonly duties: Pick<LeaderDuties, 'ticked' | 'noticePause' | 'perform'>
  readonly members: Pick<Members, 'heard' | 'lost'>
  readonly snapshots: Pick<Snapshots, 'expire'>
  readonly clock: Clock
  /** Role, leader, term or configuration may have changed. */
  readonly noticeStatus: () => void
}

/**
 * Drives the pure protocol core: ticks and messages go in; what it answers is written, sent and applied, in this order. One
 * write is under way at a time while the next accumulates, so that many proposals share one sync.
 */
export class Driver {
  readonly #with: DriverCollaborators
  #raft: Raft | null = null
  #writing: Promise<void> | null = null
  #pumping = false
  #lastContact = Number.NEGATIVE_INFINITY

  constructor(collaborators: DriverCollaborators) {
    this.#with = collaborators
  }

  /** Null until this node belongs to a cluster. */
  get raft(): Raft | null {
    return this.#raft
  }

  /** Id of the leader as far as this node knows, or ''. */
  get leader(): string {
    return this.#with.participation.hasEnded ? '' : (this.#raft?.leader ?? '')
  }

  get isLeader(): boolean {
    return !this.#with.participation.hasEnded && this.#raft?.role === 'leader'
  }

  /** Milliseconds since the leader was heard of, 0 on the leader. */
  get lastContactMs(): number {
    return this.isLeader ? 0 : this.#with.clock.now() - this.#lastContact
  }

  /** Drives `raft` from now on. */
  drive(raft: Raft): void {
    this.#raft = raft
    this.pump()
  }

  /** Resolves when nothing is being written. */
  async written(): Promise<void> {
    await this.#writing
  }

  /** One unit of time passed. */
  tick(): void {
    const { participation, snapshots, duties, writer, store, clock } = this.#with
    const raft = this.#raft
    if (raft === null || participation.hasEnded) return
    const now = clock.now()
    snapshots.expire(now)
    duties.ticked(now)
    writer.tick()
    raft.canCampaign = store.full === null && !writer.isStalled
    try {
      raft.tick()
      if (this.isLeader) duties.perform(raft, now)
    } catch (error) {
      participation.fail(error as Error)
      return
    }
    this.pump()
  }

  /** Hands a message from another node to the protocol. */
  step(raft: Raft, message: Message): void {
    const { participation, duties, members, clock } = this.#with
    const { from } = message
    if (this.isLeader) {
      // What came during a pause may be read before the tick that notices it.
      duties.noticePause(clock.now())
      members.heard(from)
    }
    try {
      raft.step(message)
    } catch (error) {
      participation.fail(error instanceof LostEntriesError ? lostEntries(error) : (error as Error))
      return
    }
    if (raft.leader === from) this.#lastContact = clock.now()
    this.pump()
  }

  /** The connection to a peer broke, or the failure detector gave it up. */
  peerLost(peer: string): void {
    const raft = this.#raft
    if (raft === null || this.#with.participation.hasEnded) return
    this.#with.members.lost(peer)
    raft.reportUnreachable(peer)
    if (raft.leader === peer) raft.leaderUnreachable()
    this.pump()
  }

  /** Persist → send → apply, until the protocol has nothing more to do but wait for the disk. */
  pump(): void {
    const { participation, applier, writer, outbox, reads, noticeStatus } = this.#with
    const raft = this.#raft
    if (raft === null || this.#pumping || participation.hasEnded) return
    this.#pumping = true
    try {
      while (raft.hasReady() && !participation.hasEnded) {
        const ready = raft.ready()
        const records = ready.snapshot === null ? null : applier.adopt(ready.snapshot)
        writer.add(ready, records)
        for (const message of ready.messages) outbox.send(raft, message)
        // Before anything is applied: a lease granted under a configuration must not outlive it, and applying drops it.
        for (const read of ready.reads) reads.settle(read)
        applier.apply(raft, ready.committed)
      }
    } catch (error) {
      participation.fail(error as Error)
    } finally {
      this.#pumping = false
    }
    noticeStatus()
    if (writer.hasQueued && this.#writing === null && participation.failure === null) {
      this.#writing = this.#writeAll(raft).finally(() => {
        this.#writing = null
      })
    }
  }

  async #writeAll(raft: Raft): Promise<void> {
    const { participation, writer, outbox } = this.#with
    try {
      while (writer.hasQueued && participation.failure === null) {
        for (const { token, messagesAfterPersist } of await writer.writeNext()) {
          raft.persisted(token)
          for (const message of messagesAfterPersist) outbox.send(raft, message)
        }
        this.pump()
      }
    } catch (error) {
      participation.fail(error as Error)
    }
  }
}
