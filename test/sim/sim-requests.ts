import type { Clock } from '../../consensus/clock.ts'
import { LeaderLease, type Moment } from '../../consensus/leader-lease.ts'
import { LogClock } from '../../consensus/log-clock.ts'
import type { Raft } from '../../consensus/raft/raft.ts'
import type { Entry, ReadState } from '../../consensus/raft/types.ts'
import { encodeLogRecord } from '../../consensus/state/codec.ts'
import type { StateMachine } from '../../consensus/state/state-machine.ts'
import type { CommandResult } from '../../consensus/state/types.ts'
import type { Action } from './event-queue.ts'
import type { Operation, Outcome, ReadOperation, WriteOperation } from './operation.ts'
import type { Oracle } from './oracle.ts'
import { check, type World } from './world.ts'

/** Hears what became of a try. */
export type Reply = (outcome: Outcome) => void

/** What requests are answered from and with. */
export interface SimRequestsCollaborators {
  readonly id: string
  readonly world: World
  readonly oracle: Oracle
  readonly clock: Clock
  readonly raft: () => Raft | null
  readonly state: () => StateMachine
  /** True while a full disk takes no writes. */
  readonly diskIsFull: () => boolean
  /** Runs something in this start of the node, later. */
  readonly later: (delayMs: number, run: Action) => void
}

/** What one start of a node was asked: proposals and reads on their way, and who waits for what is applied. */
export class SimRequests {
  readonly #with: SimRequestsCollaborators
  readonly #lease: LeaderLease
  readonly #logClock: LogClock
  #inbox: { readonly operation: WriteOperation; readonly reply: Reply }[] = []
  readonly #proposals = new Map<number, { readonly term: number; readonly reply: Reply }>()
  readonly #reads = new Map<
    number,
    { readonly askedAt: Moment; readonly seenIndex: number; readonly then: (index: number) => void }
  >()
  #applyWaiters: { readonly index: number; readonly run: () => void }[] = []
  #nextReadId = 1

  /** `leaseMs`: for how long voters promise to elect nobody else. */
  constructor(leaseMs: number, collaborators: SimRequestsCollaborators) {
    this.#with = collaborators
    this.#lease = new LeaderLease(leaseMs, collaborators.clock)
    this.#logClock = new LogClock(collaborators.clock)
  }

  get #isLeader(): boolean {
    return this.#with.raft()?.role === 'leader'
  }

  /** True if this node would answer a read without asking anybody. */
  get holdsLease(): boolean {
    const raft = this.#with.raft()
    return raft?.role === 'leader' && !raft.leaseForfeited && this.#lease.isValid
  }

  dropLease(): void {
    this.#lease.drop()
  }

  /** Does what a client that is connected to the leader asks. */
  serve(operation: Operation, reply: Reply): void {
    if (operation.kind === 'write') this.propose(operation, reply)
    else this.confirm(operation, (index) => this.readAt(index, operation.key, reply))
  }

  // ---- writes --------------------------------------------------------------------------------------------------

  propose(operation: WriteOperation, reply: Reply): void {
    if (!this.#isLeader || this.#with.diskIsFull()) {
      reply({ kind: 'retry' })
      return
    }
    this.#inbox.push({ operation, reply })
    const { world, later } = this.#with
    if (this.#inbox.length === 1) later(world.random.between(0, 2), () => this.#flush())
  }

  #flush(): void {
    const inbox = this.#inbox.splice(0)
    // A disk that filled meanwhile has refused them.
    if (inbox.length === 0) return
    const at = this.#logClock.stamp(this.#with.raft()?.term ?? 0, this.#with.state())
    const payloads = inbox.map(({ operation: { origin, sequence, command } }) =>
      encodeLogRecord({ at, origin, sequence, acknowledged: sequence, command }),
    )
    const result = this.#with.raft()?.propose(payloads)
    if (result === undefined || 'dropped' in result) {
      for (const { reply } of inbox) reply({ kind: 'retry' })
      return
    }
    inbox.forEach(({ reply }, i) => {
      this.#proposals.set(result.index + i, { term: result.term, reply })
    })
  }

  /** An entry was applied; `result` is what a command answered, null for any other entry. */
  applied(entry: Entry, result: CommandResult | null): void {
    const pending = this.#proposals.get(entry.index)
    if (pending === undefined) return
    this.#proposals.delete(entry.index)
    if (result !== null && pending.term === entry.term) pending.reply({ kind: 'written', result })
    // Another leader's entry took the place.
    else pending.reply({ kind: 'retry' })
  }

  /** Nothing of what waits to be proposed gets into the log. */
  refuseQueued(): void {
    for (const { reply } of this.#inbox.splice(0)) reply({ kind: 'retry' })
  }

  /** What is in the log may be committed by others. */
  giveUpPending(): void {
    for (const { reply } of this.#proposals.values()) reply({ kind: 'unknown' })
    this.#proposals.clear()
  }

  // ---- reads ---------------------------------------------------------------------------------------------------

  /** Confirms that this node leads. `then` hears the index a read must have applied, −1 if it does not. */
  confirm({ mayUseLease }: ReadOperation, then: (index: number) => void): void {
    const { world, oracle } = this.#with
    const raft = this.#with.raft()
    if (raft !== null && mayUseLease && world.options.leaseReads && this.holdsLease) {
      world.count('read by lease')
      this.#checkRead(raft.log.committedIndex, oracle.seenIndex)
      then(raft.log.committedIndex)
      return
    }
    const id = this.#nextReadId++
    this.#reads.set(id, { askedAt: this.#lease.moment(), seenIndex: oracle.seenIndex, then })
    if (raft?.readIndex(id, mayUseLease)) return
    this.#reads.delete(id)
    then(-1)
  }

  /** Before anything is applied: applying a configuration drops the lease. */
  extendLease(reads: readonly ReadState[]): void {
    for (const { id, lease } of reads) {
      const read = this.#reads.get(id)
      if (lease && read !== undefined) this.#lease.extend(read.askedAt)
    }
  }

  settleReads(reads: readonly ReadState[]): void {
    for (const { id, index } of reads) {
      const read = this.#reads.get(id)
      this.#reads.delete(id)
      if (read === undefined) continue
      if (index >= 0) this.#checkRead(index, read.seenIndex)
      read.then(index)
    }
  }

  /** What a leader answers covers all that anybody had seen when it was asked. */
  #checkRead(index: number, seenIndex: number): void {
    const { id, raft } = this.#with
    check(
      index >= seenIndex,
      'reads are linearizable',
      () => `${id} in ${raft()?.term} answers a read with ${index}; ${seenIndex} had been seen`,
    )
  }

  /** Reads `key` once everything up to `index` is applied here. */
  readAt(index: number, key: string, reply: Reply): void {
    if (index < 0) {
      reply({ kind: 'retry' })
      return
    }
    const { state } = this.#with
    const run = () => reply({ kind: 'read', appliedIndex: state().appliedIndex, entry: state().kvGet(key) })
    if (state().appliedIndex >= index) run()
    else this.#applyWaiters.push({ index, run })
  }

  /** More is applied, or the state was replaced. */
  settleWaiters(): void {
    const { appliedIndex } = this.#with.state()
    const due = this.#applyWaiters.filter(({ index }) => index <= appliedIndex)
    if (due.length === 0) return
    this.#applyWaiters = this.#applyWaiters.filter(({ index }) => index > appliedIndex)
    for (const { run } of due) run()
  }
}
