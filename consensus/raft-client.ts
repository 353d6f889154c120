import { randomUUID } from 'node:crypto'
import type { Logger } from 'pino'
import type {
  CallOptions,
  Command,
  CommandResult,
  ConsensusClient,
  ConsensusStatus,
  Consistency,
  ReadResult,
  Session,
  WatchSelector,
} from './client.ts'
import type { Clock } from './clock.ts'
import { cordonCommand, uncordonCommand } from './cordon.ts'
import { ConsensusError, isConsensusError, noLeader, outcomeUnknown } from './errors.ts'
import type { LocalReplica } from './local-copy.ts'
import { callRpc, mayHaveHappened, type RpcRequest, type RpcResponses } from './rpc.ts'
import { SharedRounds } from './shared-rounds.ts'
import type { LogRecord } from './state/codec.ts'
import { type Transport, TransportError } from './transport.ts'

const DEFAULT_TIMEOUT_MS = 2500
/** Wait between two tries, so that a cluster without a leader is not asked in a tight loop. */
const RETRY_MS = 25
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

/** What is left of the time and whether the caller still wants the answer. */
class Deadline {
  readonly #clock: Clock
  readonly #end: number
  readonly signal: AbortSignal | undefined

  constructor(clock: Clock, options: CallOptions | undefined) {
    this.#clock = clock
    this.#end = clock.now() + (options?.timeoutMs ?? DEFAULT_TIMEOUT_MS)
    this.signal = options?.signal
  }

  get leftMs(): number {
    return this.signal?.aborted ? 0 : Math.max(0, this.#end - this.#clock.now())
  }

  /** Settles like `promise`, or rejects with `late()` when the time is over or the caller gave up. */
  race<T>(promise: Promise<T>, late: () => Error): Promise<T> {
    return new Promise((resolve, reject) => {
      const expire = () => {
        finish()
        reject(late())
      }
      const timer = setTimeout(expire, this.leftMs)
      const finish = () => {
        clearTimeout(timer)
        this.signal?.removeEventListener('abort', expire)
      }
      this.signal?.addEventListener('abort', expire, { once: true })
      promise.then(resolve, reject).finally(finish)
    })
  }
}

/**
 * The door to our own Raft: finds the leader, forwards, retries what may be retried. A proposal keeps its sequence over
 * all tries, so it is applied once however often it was sent.
 */
export class RaftClient implements ConsensusClient {
  readonly #replica: LocalReplica
  readonly #transport: Transport
  readonly #clock: Clock
  readonly #log: Logger
  readonly #addVoter: RaftClientCollaborators['addVoter']
  readonly #origin: string
  #sequence = 0
  /** Sequences without a result yet, oldest first. */
  readonly #outstanding = new Set<number>()
  readonly #confirmed = new SharedRounds(() => this.#readIndexRound(false))
  readonly #leased = new SharedRounds(() => this.#readIndexRound(true))

  constructor(collaborators: RaftClientCollaborators) {
    this.#replica = collaborators.replica
    this.#transport = collaborators.transport
    this.#clock = collaborators.clock
    this.#log = collaborators.log
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
        const leader = await this.#awaitLeader(deadline, uncertain, this.#replica.diskFull)
        const [oldest = sequence] = this.#outstanding
        const record = { origin: this.#origin, sequence, acknowledged: oldest, command }
        try {
          return await this.#proposeAt(leader, record, deadline)
        } catch (error) {
          if (isConsensusError(error, 'CST_DISK_FULL')) throw uncertain ? outcomeUnknown(error) : error
          if (isConsensusError(error, 'CST_PROPOSAL_DROPPED') && !uncertain) throw error
          uncertain ||= mayHaveHappened(error)
          await this.#pause(deadline, error)
        }
      }
    } finally {
      this.#outstanding.delete(sequence)
    }
  }

  #proposeAt(leader: string, record: Omit<LogRecord, 'at'>, deadline: Deadline): Promise<CommandResult> {
    if (leader === this.#replica.id) return deadline.race(this.#replica.proposeLocal(record), outcomeUnknown)
    return this.#call(leader, { op: 'propose', record }, deadline)
  }

  /** Asks the leader. Given up as soon as it leads no more: it may hang, and another one can answer. */
  async #call<R extends RpcRequest>(
    leader: string,
    request: R,
    deadline: Deadline,
  ): Promise<RpcResponses[R['op']]> {
    const timeoutMs = Math.max(1, deadline.leftMs)
    const deposed = new AbortController()
    const stop = this.#replica.onStatus(() => {
      if (this.#replica.leader !== leader)
        deposed.abort(new TransportError('unknown', `${leader} leads no more`))
    })
    const { signal: given } = deadline
    const signal = given === undefined ? deposed.signal : AbortSignal.any([given, deposed.signal])
    try {
      return await callRpc(this.#transport, leader, request, { timeoutMs, signal })
    } finally {
      stop()
    }
  }

  async #pause(deadline: Deadline, error: unknown): Promise<void> {
    this.#log.debug({ err: error }, 'a request to the leader failed; trying again')
    const wait = Math.min(RETRY_MS, deadline.leftMs)
    await new Promise((resolve) => setTimeout(resolve, wait))
  }

  /** Waits for a leader. What it throws when there is none says whether the write may have happened. */
  #awaitLeader(
    deadline: Deadline,
    uncertain: boolean,
    reason: ConsensusError | null = null,
  ): Promise<string> {
    const late = () => (uncertain ? outcomeUnknown(reason) : (reason ?? noLeader()))
    const { leader, ended } = this.#replica
    if (ended !== null) return Promise.reject(uncertain ? outcomeUnknown(ended) : ended)
    if (deadline.leftMs <= 0) return Promise.reject(late())
    if (leader !== '') return Promise.resolve(leader)
    let stop = () => {}
    const found = new Promise<string>((resolve, reject) => {
      stop = this.#replica.onStatus(() => {
        const { leader, ended } = this.#replica
        if (ended !== null) reject(uncertain ? outcomeUnknown(ended) : ended)
        else if (leader !== '') resolve(leader)
      })
    })
    return deadline.race(found, late).finally(() => stop())
  }

  async read(consistency: Consistency, options?: CallOptions): Promise<ReadResult> {
    if (consistency === 'stale') {
      const known = this.#replica.leader !== ''
      return { view: this.#replica.state, knownLeader: known, lastContactMs: this.#replica.lastContactMs }
    }
    const mayUseLease = consistency === 'default' && this.#replica.leaseReads
    const deadline = new Deadline(this.#clock, options)
    for (;;) {
      await this.#awaitLeader(deadline, false)
      try {
        const index = await deadline.race(this.#readIndex(mayUseLease), noLeader)
        await this.#applied(index, deadline)
        return { view: this.#replica.state, knownLeader: true, lastContactMs: 0 }
      } catch (error) {
        await this.#pause(deadline, error)
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
    const { index } = await this.#call(this.#replica.leader, { op: 'readIndex', mayUseLease }, deadline)
    return index
  }

  async renewSession(id: string, options?: CallOptions): Promise<Session | null> {
    const deadline = new Deadline(this.#clock, options)
    for (;;) {
      const leader = await this.#awaitLeader(deadline, false)
      try {
        if (leader === this.#replica.id) return await deadline.race(this.renewHere(id), noLeader)
        const { session, index } = await this.#call(leader, { op: 'renew', session: id }, deadline)
        // "No such session" may only be said of a state at least as new as the leader's.
        if (session === null) await this.#applied(index, deadline)
        return session
      } catch (error) {
        await this.#pause(deadline, error)
      }
    }
  }

  /** Renews on this node, the leader: only after a quorum confirmed that it still leads, else the time given is void. */
  async renewHere(id: string): Promise<Session | null> {
    const index = await this.#replica.confirmRead(false)
    await this.#replica.waitApplied(index).promise
    return this.#replica.renew(id)
  }

  async transferLeadership(to?: string, options?: CallOptions): Promise<string> {
    const deadline = new Deadline(this.#clock, options)
    const { to: heir } = await this.#order({ op: 'transfer', to: to ?? null }, deadline, async () => ({
      to: this.#replica.orders.transfer(to),
    }))
    await this.#awaitLeadershipOf(heir, deadline)
    return heir
  }

  async removePeer(id: string, options?: CallOptions): Promise<void> {
    const deadline = new Deadline(this.#clock, options)
    await this.#order({ op: 'remove', node: id }, deadline, async () => {
      await this.#replica.orders.remove(id)
      return {}
    })
  }

  async addVoter(id: string, options?: CallOptions): Promise<'voter' | 'learner'> {
    const deadline = new Deadline(this.#clock, options)
    const { role } = await this.#order({ op: 'add', node: id }, deadline, async () => ({
      role: await this.#addVoter(id),
    }))
    return role
  }

  async cordon(id: string, name: string, options?: CallOptions): Promise<void> {
    await this.propose(cordonCommand(id, name), options)
  }

  async uncordon(id: string, options?: CallOptions): Promise<void> {
    await this.propose(uncordonCommand(id), options)
  }

  /** Has the leader do something that is not worth repeating once it may have been done; `here`: if this node leads. */
  async #order<R extends RpcRequest>(
    request: R,
    deadline: Deadline,
    here: () => Promise<RpcResponses[R['op']]>,
  ): Promise<RpcResponses[R['op']]> {
    for (;;) {
      const leader = await this.#awaitLeader(deadline, false)
      try {
        if (leader === this.#replica.id) return await deadline.race(here(), outcomeUnknown)
        const { signal } = deadline
        const options = {
          timeoutMs: Math.max(1, deadline.leftMs),
          ...(signal === undefined ? {} : { signal }),
        }
        return await callRpc(this.#transport, leader, request, options)
      } catch (error) {
        if (mayHaveHappened(error)) throw outcomeUnknown(error)
        if (isConsensusError(error) && error.code !== 'CST_NOT_LEADER') throw error
        await this.#pause(deadline, error)
      }
    }
  }

  #awaitLeadershipOf(id: string, deadline: Deadline): Promise<void> {
    if (this.#replica.leader === id) return Promise.resolve()
    let stop = () => {}
    const done = new Promise<void>((resolve) => {
      stop = this.#replica.onStatus(() => {
        if (this.#replica.leader === id) resolve()
      })
    })
    const late = () =>
      new ConsensusError('CST_OUTCOME_UNKNOWN', `${id} was told to take over and does not lead yet`)
    return deadline.race(done, late).finally(() => stop())
  }
}
