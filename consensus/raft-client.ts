import { randomUUID } from 'node:crypto'
import type { Logger } from 'pino'
import { type AutopilotConfig, type AutopilotEntry, autopilotCommand, readAutopilot } from './autopilot.ts'
import type {
  CallOptions,
  Command,
  CommandResult,
  ConsensusClient,
  ConsensusStatus,
  Consistency,
  LeaderReport,
  ReadResult,
  Session,
  WatchSelector,
} from './client.ts'
import type { Clock } from './clock.ts'
import { cordonCommand, uncordonCommand } from './cordon.ts'
import { Deadline } from './deadline.ts'
import { ConsensusError, isConsensusError, noLeader, outcomeUnknown } from './errors.ts'
import { LeaderCalls } from './leader-calls.ts'
import type { LocalReplica } from './local-copy.ts'
import { mayHaveHappened } from './rpc.ts'
import { SharedRounds } from './shared-rounds.ts'
import type { LogRecord } from './state/codec.ts'
import type { Transport } from './transport.ts'

const OUTSTANDING_MAX = 10_000

/** What the client works with. */
export interface RaftClientCollaborators {
  readonly replica: LocalReplica
  readonly transport: Transport
  readonly clock: Clock
  readonly log: Logger
  /** Makes a node a voter if this one leads. */
  readonly addVoter: (id: string) => Promise<'voter' | 'learner'>
}

/**
 * The door to our own Raft: finds the leader, forwards, retries what may be retried. A proposal keeps its sequence over
 * all tries, so it is applied once however often it was sent.
 */
export class RaftClient implements ConsensusClient {
  readonly #replica: LocalReplica
  readonly #clock: Clock
  readonly #leader: LeaderCalls
  readonly #addVoter: RaftClientCollaborators['addVoter']
  readonly #origin: string
  #sequence = 0
  /** Sequences without a result yet, oldest first. */
  readonly #outstanding = new Set<number>()
  readonly #confirmed = new SharedRounds(() => this.#readIndexRound(false))
  readonly #leased = new SharedRounds(() => this.#readIndexRound(true))

  constructor(collaborators: RaftClientCollaborators) {
    this.#replica = collaborators.replica
    this.#clock = collaborators.clock
    this.#leader = new LeaderCalls(collaborators)
    this.#addVoter = collaborators.addVoter
    this.#origin = `${this.#replica.id}/${randomUUID()}`
  }

  status(): ConsensusStatus {
    return this.#replica.status()
  }

  onStatus(listener: (status: ConsensusStatus) => void): () => void {
    return this.#replica.onStatus(listener)
  }

  watch(selector: WatchSelector, listener: () => void): () => void {
    return this.#replica.watchers.watch(selector, listener)
  }

  async propose(command: Command, options?: CallOptions): Promise<CommandResult> {
    if (this.#outstanding.size >= OUTSTANDING_MAX) {
      throw new ConsensusError('CST_PROPOSAL_DROPPED', 'too many writes are under way on this node', {
        retryable: true,
      })
    }
    const deadline = new Deadline(this.#clock, options)
    const sequence = ++this.#sequence
    this.#outstanding.add(sequence)
    let uncertain = false
    try {
      for (;;) {
        const leader = await this.#leader.find(deadline, uncertain, this.#replica.diskFull)
        const [oldest = sequence] = this.#outstanding
        const record = { origin: this.#origin, sequence, acknowledged: oldest, command }
        try {
          return await this.#proposeAt(leader, record, deadline)
        } catch (error) {
          if (isConsensusError(error, 'CST_DISK_FULL')) throw uncertain ? outcomeUnknown(error) : error
          if (isConsensusError(error, 'CST_PROPOSAL_DROPPED') && !uncertain) throw error
          uncertain ||= mayHaveHappened(error)
          await this.#leader.pause(deadline, error)
        }
      }
    } finally {
      this.#outstanding.delete(sequence)
    }
  }

  #proposeAt(leader: string, record: Omit<LogRecord, 'at'>, deadline: Deadline): Promise<CommandResult> {
    if (leader === this.#replica.id) return deadline.race(this.#replica.proposeLocal(record), outcomeUnknown)
    return this.#leader.call(leader, { op: 'propose', record }, deadline)
  }

  async read(consistency: Consistency, options?: CallOptions): Promise<ReadResult> {
    if (consistency === 'stale') {
      const known = this.#replica.leader !== ''
      return { view: this.#replica.state, knownLeader: known, lastContactMs: this.#replica.lastContactMs }
    }
    const mayUseLease = consistency === 'default' && this.#replica.leaseReads
    const deadline = new Deadline(this.#clock, options)
    for (;;) {
      await this.#leader.find(deadline, false)
      try {
        const index = await deadline.race(this.#readIndex(mayUseLease), noLeader)
        await this.#applied(index, deadline)
        return { view: this.#replica.state, knownLeader: true, lastContactMs: 0 }
      } catch (error) {
        await this.#leader.pause(deadline, error)
      }
    }
  }

  async #applied(index: number, deadline: Deadline): Promise<void> {
    const { promise, cancel } = this.#replica.waitApplied(index)
    await deadline.race(promise, noLeader).finally(cancel)
  }

  /** An index that is at least as new as every write acknowledged before this call. */
  #readIndex(mayUseLease: boolean): Promise<number> {
    if (this.#replica.isLeader) return this.#replica.confirmRead(mayUseLease)
    return (mayUseLease ? this.#leased : this.#confirmed).join()
  }

  async #readIndexRound(mayUseLease: boolean): Promise<number> {
    if (this.#replica.isLeader) return this.#replica.confirmRead(mayUseLease)
    const deadline = new Deadline(this.#clock, undefined)
    const { index } = await this.#leader.call(
      this.#replica.leader,
      { op: 'readIndex', mayUseLease },
      deadline,
    )
    return index
  }

  async renewSession(id: string, options?: CallOptions): Promise<Session | null> {
    const deadline = new Deadline(this.#clock, options)
    for (;;) {
      const leader = await this.#leader.find(deadline, false)
      try {
        if (leader === this.#replica.id) return await deadline.race(this.renewHere(id), noLeader)
        const { session, index } = await this.#leader.call(leader, { op: 'renew', session: id }, deadline)
        // "No such session" may only be said of a state at least as new as the leader's.
        if (session === null) await this.#applied(index, deadline)
        return session
      } catch (error) {
        await this.#leader.pause(deadline, error)
      }
    }
  }

  /** Renews on this node, the leader: only after a quorum confirmed that it still leads, else the time given is void. */
  async renewHere(id: string): Promise<Session | null> {
    const index = await this.#replica.confirmRead(false)
    await this.#replica.waitApplied(index).promise
    return this.#replica.renew(id)
  }

  async report(options?: CallOptions): Promise<LeaderReport> {
    const deadline = new Deadline(this.#clock, options)
    for (;;) {
      const leader = await this.#leader.find(deadline, false)
      try {
        if (leader === this.#replica.id) return await deadline.race(this.reportHere(), noLeader)
        return (await this.#leader.call(leader, { op: 'report' }, deadline)).report
      } catch (error) {
        await this.#leader.pause(deadline, error)
      }
    }
  }

  /** What this node, the leader, says of the servers after a quorum confirmed that it still leads. */
  async reportHere(): Promise<LeaderReport> {
    await this.#replica.confirmRead(false)
    return this.#replica.members.report()
  }

  async transferLeadership(to?: string, options?: CallOptions): Promise<string> {
    const deadline = new Deadline(this.#clock, options)
    const { to: heir } = await this.#leader.order({ op: 'transfer', to: to ?? null }, deadline, async () => ({
      to: this.#replica.orders.transfer(to),
    }))
    await this.#leader.awaitLeadershipOf(heir, deadline)
    return heir
  }

  async removePeer(id: string, options?: CallOptions): Promise<void> {
    const deadline = new Deadline(this.#clock, options)
    await this.#leader.order({ op: 'remove', node: id }, deadline, async () => {
      await this.#replica.orders.remove(id)
      return {}
    })
  }

  async addVoter(id: string, options?: CallOptions): Promise<'voter' | 'learner'> {
    const deadline = new Deadline(this.#clock, options)
    const { role } = await this.#leader.order({ op: 'add', node: id }, deadline, async () => ({
      role: await this.#addVoter(id),
    }))
    return role
  }

  async autopilot(consistency: Consistency, options?: CallOptions): Promise<AutopilotEntry> {
    return readAutopilot((await this.read(consistency, options)).view)
  }

  async setAutopilot(
    config: Partial<AutopilotConfig>,
    cas?: number,
    options?: CallOptions,
  ): Promise<boolean> {
    return (await this.propose(autopilotCommand(config, cas), options)).ok
  }

  async cordon(id: string, name: string, options?: CallOptions): Promise<void> {
    await this.propose(cordonCommand(id, name, false), options)
  }

  async drain(id: string, name: string, options?: CallOptions): Promise<void> {
    await this.propose(cordonCommand(id, name, true), options)
  }

  async uncordon(id: string, options?: CallOptions): Promise<void> {
    await this.propose(uncordonCommand(id), options)
  }
}
