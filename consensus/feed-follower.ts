import type { Logger } from 'pino'
import type { Clock } from './clock.ts'
import { FeedCopy, recordsOf } from './feed-copy.ts'
import {
  type CheckedAnswer,
  checkAnswer,
  type FeedMembers,
  type FollowRequest,
  type FollowSnapshot,
} from './feed-messages.ts'
import type { FeedMetrics } from './feed-metrics.ts'
import { Feeders } from './feeders.ts'
import { callRpc } from './rpc.ts'
import { CodecError } from './state/codec.ts'
import { StateMachine } from './state/state-machine.ts'
import type { Transport } from './transport.ts'
import type { Watchers } from './watchers.ts'

/** Ticks a member lets a client wait when there is nothing new. */
export const FOLLOW_WAIT_TICKS = 10
/** Ticks beyond that wait after which a member does not answer. */
const ANSWER_TICKS = 30
/** Ticks without an answer, or without a leader in the answers, after which the client knows no leader. */
const SILENCE_TICKS = 20
/** Ticks a reader waits for an entry before another member is asked: this one lags, or hangs. */
const READ_TICKS = 5
/** Ticks between two looks for a member that does not lead. */
const MOVE_TICKS = 100
const PART_TIMEOUT_MS = 10_000

/** Settings of a client's feed. */
export interface FeedFollowerOptions {
  readonly nodeId: string
  readonly clusterId: string
  readonly tickMs: number
}

/** What a client's feed works with. `watchers` outlive it. */
export interface FeedFollowerCollaborators {
  readonly transport: Transport
  readonly watchers: Watchers
  readonly clock: Clock
  readonly random: () => number
  readonly log: Logger
  readonly metrics: FeedMetrics | null
  /** Something of `FeedFollower` that a status shows may have changed. */
  readonly onChange: () => void
  /** Entries up to `index` were applied. */
  readonly onApplied: (entries: number, index: number, commitIndex: number) => void
}

/**
 * The client's side of the feed: keeps a copy of the state that some member feeds, and goes to another one when that dies,
 * hangs, refuses, lags or knows no leader. One request is under way at a time.
 */
export class FeedFollower {
  readonly copy: FeedCopy
  readonly #options: FeedFollowerOptions
  readonly #with: FeedFollowerCollaborators
  readonly #feeders: Feeders
  readonly #stopping = new AbortController()
  #request = new AbortController()
  /** When the request under way for entries was sent; null if it is for a part of a state, or there is none. */
  #askedAt: number | null = null
  #running: Promise<void> = Promise.resolve()
  #feeder: string | null = null
  #leader = ''
  #term = 0
  #commitIndex = 0
  #members: FeedMembers = { voters: [], learners: [] }
  #restarts = 0
  #fresh = true
  #answeredAt: number
  #leaderKnownAt: number
  #contactAt = Number.NEGATIVE_INFINITY
  #movedAt: number

  constructor(options: FeedFollowerOptions, collaborators: FeedFollowerCollaborators) {
    this.#options = options
    this.#with = collaborators
    this.copy = new FeedCopy(collaborators.watchers)
    this.#feeders = new Feeders({ ...options, random: collaborators.random })
    const now = collaborators.clock.now()
    this.#answeredAt = now
    this.#leaderKnownAt = now
    this.#movedAt = now
  }

  /** The member that feeds this client, or null. */
  get feeder(): string | null {
    return this.#feeder
  }

  /** Id of the leader as far as the feeder knows, or ''. */
  get leader(): string {
    return this.#leader
  }

  get term(): number {
    return this.#term
  }

  get commitIndex(): number {
    return Math.max(this.#commitIndex, this.copy.position.index)
  }

  get members(): FeedMembers {
    return this.#members
  }

  /** How often a whole state was taken over. */
  get restarts(): number {
    return this.#restarts
  }

  /** Milliseconds since the leader was heard of, by the member and then by this client. */
  get lastContactMs(): number {
    return this.#with.clock.now() - this.#contactAt
  }

  start(members: FeedMembers, leader: string): void {
    this.setMembers(members, leader)
    this.#running = this.#run()
  }

  /** The leader said who belongs to the cluster. */
  setMembers(members: FeedMembers, leader: string): void {
    this.#members = members
    this.#feeders.setMembers(members)
    this.#feeders.setLeader(leader)
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    this.#request.abort()
    this.copy.end()
    this.#with.metrics?.lag(0)
    await this.#running
  }

  /** Resolves once `index`, which is committed, is applied. Who waits in vain for a while makes the client look elsewhere. */
  waitApplied(index: number): ReturnType<FeedCopy['waitApplied']> {
    if (this.copy.position.index >= index) return this.copy.waitApplied(index)
    const { promise, cancel } = this.copy.waitApplied(index)
    const readMs = READ_TICKS * this.#options.tickMs
    // The request under way may be younger than this wait: it has as long to be answered.
    const look = () => {
      const restMs = this.#askedAt === null ? readMs : readMs - (this.#with.clock.now() - this.#askedAt)
      if (restMs <= 0) this.#request.abort()
      else timer = setTimeout(look, restMs + 1)
    }
    let timer = setTimeout(look, readMs)
    const stop = () => clearTimeout(timer)
    promise.then(stop, stop)
    return {
      promise,
      cancel: () => {
        stop()
        cancel()
      },
    }
  }

  /** The connection to a node broke, or the failure detector gave it up. */
  peerLost(peer: string): void {
    if (peer === this.#feeder) this.#request.abort()
  }

  get #stopped(): boolean {
    return this.#stopping.signal.aborted
  }

  async #run(): Promise<void> {
    const { clock, log, metrics } = this.#with
    while (!this.#stopped) {
      const next = this.#feeders.pick(clock.now())
      if (next !== null) {
        if (next !== this.#feeder) metrics?.feederChanged()
        this.#feeder = next
        this.#fresh = true
        try {
          await this.#follow(next)
        } catch (error) {
          if (this.#stopped) return
          log.debug({ feeder: next, err: error }, 'this member does not feed')
          this.#feeders.failed(next, clock.now())
        }
      }
      if (clock.now() - this.#answeredAt > SILENCE_TICKS * this.#options.tickMs) this.#lostLeader()
      await this.#pause()
    }
  }

  /** Nobody answers, or nobody knows: a leader that was known has to be called unknown. */
  #lostLeader(): void {
    if (this.#leader === '' && this.#feeder === null) return
    this.#leader = ''
    this.#feeder = null
    this.#with.onChange()
  }

  #pause(): Promise<void> {
    const ms = this.#options.tickMs * (0.5 + this.#with.random())
    return new Promise((resolve) => {
      const { signal } = this.#stopping
      const finish = () => {
        clearTimeout(timer)
        signal.removeEventListener('abort', finish)
        resolve()
      }
      const timer = setTimeout(finish, ms)
      signal.addEventListener('abort', finish, { once: true })
    })
  }

  /** Is fed by one member for as long as that does well. @throws what a request or a bad answer throws */
  async #follow(feeder: string): Promise<void> {
    const { clock, random } = this.#with
    const { tickMs } = this.#options
    const moveMs = MOVE_TICKS * tickMs * (0.5 + random())
    for (;;) {
      const answer = await this.#ask(feeder, null)
      if (answer.body.kind === 'behind') throw new Error(`${feeder} has not got as far as this client`)
      if (answer.body.kind === 'snapshot') await this.#restart(feeder, answer.body)
      else this.#apply(answer.body.entries)
      this.#took(answer)
      const now = clock.now()
      if (now - this.#leaderKnownAt > SILENCE_TICKS * tickMs) {
        this.#leaderKnownAt = now
        throw new Error(`${feeder} knows no leader`)
      }
      if (now - this.#movedAt > moveMs) {
        this.#movedAt = now
        if (this.#feeders.isBetterThan(feeder, now)) return
      }
    }
  }

  async #ask(feeder: string, transfer: FollowRequest['transfer']): Promise<CheckedAnswer> {
    const { transport, clock } = this.#with
    const { clusterId, tickMs } = this.#options
    const position = this.copy.isTrusted ? this.copy.position : { index: 0, term: 0 }
    const request: FollowRequest = { op: 'follow', clusterId, ...position, fresh: this.#fresh, transfer }
    const timeoutMs = transfer === null ? (FOLLOW_WAIT_TICKS + ANSWER_TICKS) * tickMs : PART_TIMEOUT_MS
    this.#request = new AbortController()
    if (this.#stopped) this.#request.abort()
    const { signal } = this.#request
    this.#askedAt = transfer === null ? clock.now() : null
    const call = callRpc(transport, feeder, request, { timeoutMs, signal })
    const answer = checkAnswer(
      await call.finally(() => {
        this.#askedAt = null
      }),
      position,
    )
    if (this.#stopped) throw new Error('the feed is stopping')
    this.#fresh = false
    this.#answeredAt = clock.now()
    this.#feeders.worked(feeder)
    return answer
  }

  /** Takes a whole state over, part by part. */
  async #restart(feeder: string, first: FollowSnapshot): Promise<void> {
    const { log, metrics } = this.#with
    const { transfer, index, term } = first
    const next = async ({ part }: FollowSnapshot) => {
      const { body } = await this.#ask(feeder, { id: transfer, part: part + 1 })
      const fits = body.kind === 'snapshot' && body.transfer === transfer && body.index === index
      if (!fits || body.part !== part + 1) throw new CodecError('this part of a snapshot was not expected')
      return body
    }
    if (first.part !== 0) throw new CodecError('a snapshot begins with its first part')
    const state = await StateMachine.restore(recordsOf(first, next))
    if (this.#stopped) throw new Error('the feed is stopping')
    this.copy.replace(state, { index, term })
    this.#restarts++
    metrics?.restarted()
    log.info({ feeder, index }, 'took over the whole state from a member')
  }

  #apply(entries: Parameters<FeedCopy['apply']>[0]): void {
    if (entries.length === 0) return
    try {
      this.copy.apply(entries)
    } catch (error) {
      this.#with.log.error({ err: error }, 'an entry could not be applied; taking the whole state again')
      this.copy.distrust()
      throw error
    }
    this.#with.onApplied(entries.length, this.copy.position.index, this.commitIndex)
  }

  #took(answer: CheckedAnswer): void {
    const { clock, metrics, onChange } = this.#with
    const { leader, term, commitIndex, lastContactMs, members } = answer
    const now = clock.now()
    if (members !== null) this.setMembers(members, leader)
    this.#feeders.setLeader(leader)
    this.#leader = leader
    this.#term = Math.max(this.#term, term)
    this.#commitIndex = commitIndex
    if (leader !== '') this.#leaderKnownAt = now
    if (lastContactMs !== null) this.#contactAt = Math.max(this.#contactAt, now - lastContactMs)
    metrics?.lag(this.commitIndex - this.copy.position.index)
    onChange()
  }
}
