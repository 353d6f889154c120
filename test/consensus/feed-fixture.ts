import { systemClock } from '../../consensus/clock.ts'
import { Feed, type FeedOptions, type FeedSource } from '../../consensus/feed.ts'
import { FeedFollower } from '../../consensus/feed-follower.ts'
import type { FeedMembers, FollowAnswer, FollowRequest } from '../../consensus/feed-messages.ts'
import { initialConfiguration } from '../../consensus/raft/configuration.ts'
import type { Entry } from '../../consensus/raft/types.ts'
import { answerRpc } from '../../consensus/rpc.ts'
import { decodeLogRecord, decodeRecord, encodeLogRecord, encodeRecord } from '../../consensus/state/codec.ts'
import { textToKey } from '../../consensus/state/keys.ts'
import { StateMachine } from '../../consensus/state/state-machine.ts'
import type { Command } from '../../consensus/state/types.ts'
import { type Transport, TransportError } from '../../consensus/transport.ts'
import { Watchers } from '../../consensus/watchers.ts'
import { eventually, set, silent } from './cluster.ts'

export const MEMBERS: FeedMembers = { voters: ['a', 'b', 'c'], learners: [] }

/** A clock that stands still until it is moved. */
export class ManualClock {
  ms = 1000

  now(): number {
    return this.ms
  }

  wall(): number {
    return this.ms
  }
}

/** The log that all members of a test share: a member has applied a part of it. */
export class SharedLog {
  readonly entries: Entry[] = [{ index: 1, term: 1, type: 'normal', data: new Uint8Array() }]
  #sequence = 0

  add(command: Command, term = this.entries.at(-1)?.term ?? 1): number {
    const index = this.entries.length + 1
    const sequence = ++this.#sequence
    const data = encodeLogRecord({ at: 0, origin: 'o', sequence, acknowledged: sequence, command })
    this.entries.push({ index, term, type: 'normal', data })
    return index
  }

  /** Adds `count` keys `k/<index>` whose value is the index. */
  fill(count: number): void {
    for (let i = 0; i < count; i++)
      this.add(set(`k/${this.entries.length + 1}`, `${this.entries.length + 1}`))
  }
}

/** A member that has applied a part of a log and has forgotten a part of what it applied. */
export class FakeMember implements FeedSource {
  clusterId: string | null = 'home'
  isMember = true
  isFull = false
  leader = 'a'
  term = 1
  lastContactMs = 3
  compactedTo = 0
  state = new StateMachine()
  readonly configuration = initialConfiguration(MEMBERS.voters)
  readonly log: SharedLog
  readonly feed: Feed
  readonly #waiters = new Set<{ index: number; resolve: () => void }>()
  readonly #listeners = new Set<() => void>()

  constructor(log: SharedLog, clock: ManualClock, options: Partial<FeedOptions> = {}) {
    this.log = log
    this.feed = new Feed(
      { followersMax: 8, bytesMax: 1 << 16, waitMs: 30, ...options },
      { source: this, clock, log: silent, metrics: null },
    )
  }

  get commitIndex(): number {
    return this.log.entries.length
  }

  get appliedIndex(): number {
    return this.state.appliedIndex
  }

  get waiting(): number {
    return this.#waiters.size
  }

  /** Applies up to `index`, by default everything. */
  apply(index = this.log.entries.length): this {
    for (const entry of this.log.entries.slice(this.state.appliedIndex, index)) applyEntry(this.state, entry)
    for (const waiter of [...this.#waiters]) if (waiter.index <= index) waiter.resolve()
    return this
  }

  statusChanged(): void {
    for (const listener of [...this.#listeners]) listener()
  }

  termAt(index: number): number | undefined {
    return index < this.compactedTo ? undefined : this.log.entries[index - 1]?.term
  }

  entries(from: number, to: number, bytesMax: number): readonly Entry[] {
    const result: Entry[] = []
    let bytes = 0
    for (const entry of this.log.entries.slice(from - 1, to)) {
      bytes += entry.data.length
      if (result.length > 0 && bytes > bytesMax) break
      result.push(entry)
    }
    return result
  }

  snapshot(): Iterator<Uint8Array> {
    return this.state.snapshot()
  }

  waitApplied(index: number): { promise: Promise<void>; cancel: () => void } {
    const { promise, resolve } = Promise.withResolvers<void>()
    const waiter = { index, resolve }
    this.#waiters.add(waiter)
    return { promise, cancel: () => this.#waiters.delete(waiter) }
  }

  onStatus(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
}

function applyEntry(state: StateMachine, { index, data }: Entry): void {
  if (data.length === 0) state.skip(index)
  else state.apply(index, decodeLogRecord(data))
}

/** What passes between the client and the members of a test. */
export interface Exchange {
  readonly to: string
  readonly request: FollowRequest
}

/** A client and the members it may ask, with everything that passes in the hands of the test. */
export class Fleet {
  readonly members = new Map<string, FakeMember>()
  readonly watchers = new Watchers((error) => {
    throw error
  })
  readonly follower: FeedFollower
  /** Every request, oldest first. */
  readonly asked: Exchange[] = []
  /** What it throws for a request is thrown instead of delivering it. */
  before: (exchange: Exchange) => void = () => {}
  /** Changes an answer on its way back; may throw as if it were lost. */
  after: (exchange: Exchange, answer: FollowAnswer) => unknown = (_, answer) => answer

  constructor(t: { teardown(fn: () => Promise<void>): void }, settings: { readonly tickMs?: number } = {}) {
    const { tickMs = 5 } = settings
    this.follower = new FeedFollower(
      { nodeId: 'x', clusterId: 'home', tickMs },
      {
        transport: this.#transport(),
        watchers: this.watchers,
        clock: systemClock,
        random: Math.random,
        log: silent,
        metrics: null,
        onChange: () => {},
        onApplied: () => {},
      },
    )
    t.teardown(async () => {
      for (const { feed } of this.members.values()) feed.stop()
      await this.follower.stop()
    })
  }

  /** Ids asked so far, without repetitions in a row. */
  get path(): readonly string[] {
    return this.asked.map(({ to }) => to).filter((id, i, all) => id !== all[i - 1])
  }

  value(key: string): string | undefined {
    const entry = this.follower.copy.state.kvGet(textToKey(key))
    return entry === undefined ? undefined : new TextDecoder().decode(entry.value)
  }

  /** Waits until the client has applied exactly `index`. */
  async reaches(index: number): Promise<void> {
    await eventually(`the client is at ${index}`, () => {
      const { position } = this.follower.copy
      if (position.index !== index) throw new Error(`it is at ${position.index}`)
      return true
    })
  }

  #transport(): Transport {
    return {
      send: () => false,
      onMessage: () => {},
      onRequest: () => {},
      isConnected: () => true,
      request: async (to, payload, { timeoutMs, signal }) => {
        const exchange = { to, request: decodeRecord(payload) as FollowRequest }
        this.asked.push(exchange)
        await new Promise((resolve) => setImmediate(resolve))
        this.before(exchange)
        const member = this.members.get(to)
        if (member === undefined) throw new TransportError('not-sent', `${to} is unreachable`)
        const given = Promise.withResolvers<never>()
        const giveUp = () => given.reject(new TransportError('unknown', 'given up'))
        if (signal?.aborted === true) giveUp()
        signal?.addEventListener('abort', giveUp)
        const answered = answerRpc(
          payload,
          () => 'a',
          (request) => member.feed.answer('x', request as FollowRequest),
        )
        const timer = setTimeout(giveUp, timeoutMs)
        const answer = await Promise.race([answered, given.promise]).finally(() => clearTimeout(timer))
        const envelope = decodeRecord(answer) as { ok: boolean; value: FollowAnswer }
        if (!envelope.ok) return encodeRecord(envelope)
        return encodeRecord({ ok: true, value: this.after(exchange, envelope.value) })
      },
    }
  }
}
