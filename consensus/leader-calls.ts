import type { Logger } from 'pino'
import type { Deadline } from './deadline.ts'
import { ConsensusError, isConsensusError, noLeader, outcomeUnknown } from './errors.ts'
import type { LocalReplica } from './local-copy.ts'
import { callRpc, mayHaveHappened, type RpcRequest, type RpcResponses } from './rpc.ts'
import { type Transport, TransportError } from './transport.ts'

/** Wait between two tries, so that a cluster without a leader is not asked in a tight loop. */
const RETRY_MS = 25

/** What the leader is found and asked with. */
export interface LeaderCallsCollaborators {
  readonly replica: Pick<LocalReplica, 'id' | 'leader' | 'ended' | 'onStatus'>
  readonly transport: Transport
  readonly log: Logger
}

/** Finds the leader and asks it: how long to wait for one, when to give a call up, when to try again. */
export class LeaderCalls {
  readonly #replica: LeaderCallsCollaborators['replica']
  readonly #transport: Transport
  readonly #log: Logger

  constructor(collaborators: LeaderCallsCollaborators) {
    this.#replica = collaborators.replica
    this.#transport = collaborators.transport
    this.#log = collaborators.log
  }

  /** Waits for a leader. What it throws when there is none says whether the write may have happened. */
  find(deadline: Deadline, uncertain: boolean, reason: ConsensusError | null = null): Promise<string> {
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

  /** Asks the leader. Given up as soon as it leads no more: it may hang, and another one can answer. */
  async call<R extends RpcRequest>(
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

  /** Has the leader do something that is not worth repeating once it may have been done; `here`: if this node leads. */
  async order<R extends RpcRequest>(
    request: R,
    deadline: Deadline,
    here: () => Promise<RpcResponses[R['op']]>,
  ): Promise<RpcResponses[R['op']]> {
    for (;;) {
      const leader = await this.find(deadline, false)
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
        await this.pause(deadline, error)
      }
    }
  }

  /** Waits a little before the next try; `error` says why the last one failed. */
  async pause(deadline: Deadline, error: unknown): Promise<void> {
    this.#log.debug({ err: error }, 'a request to the leader failed; trying again')
    const wait = Math.min(RETRY_MS, deadline.leftMs)
    await new Promise((resolve) => setTimeout(resolve, wait))
  }

  /** Waits until `id` leads as far as this node knows. @throws ConsensusError `CST_OUTCOME_UNKNOWN` when the time is over */
  awaitLeadershipOf(id: string, deadline: Deadline): Promise<void> {
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
