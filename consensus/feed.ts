import type { Logger } from 'pino'
import type { Clock } from './clock.ts'
import { ConsensusError } from './errors.ts'
import { type FollowAnswer, type FollowRequest, feedMembers, isFollowRequest } from './feed-messages.ts'
import type { FeedMetrics } from './feed-metrics.ts'
import { FeedTransfers } from './feed-transfers.ts'
import type { Configuration, Entry } from './raft/types.ts'
import { encodeEntry } from './storage/entry-codec.ts'

/** Bounds of what a member does for clients. */
export interface FeedOptions {
  /** Clients fed at once; a further one is refused and asks another member. */
  readonly followersMax: number
  /** Entry bytes in one answer; a single larger entry goes all the same. */
  readonly bytesMax: number
  /** How long a request waits for something new before it is answered without. */
  readonly waitMs: number
}

/** Defaults of everything but the time, which is a number of ticks. */
export const FEED_DEFAULTS = { followersMax: 64, bytesMax: 1 << 20 } as const
/** A client that did not ask for this many waits is gone. */
const FORGOTTEN_WAITS = 5

/** What a member feeds from: its own copy of the log and the state. */
export interface FeedSource {
  /** Null while this node belongs to no cluster. */
  readonly clusterId: string | null
  readonly isMember: boolean
  /** What is committed elsewhere cannot be stored here, and so not be applied. */
  readonly isFull: boolean
  readonly leader: string
  readonly term: number
  readonly commitIndex: number
  readonly lastContactMs: number
  readonly appliedIndex: number
  readonly configuration: Configuration
  /** Undefined if the entry is compacted away or not there yet. */
  termAt(index: number): number | undefined
  /** Entries from `from` to `to` inclusive, none of which is compacted away. */
  entries(from: number, to: number, bytesMax: number): readonly Entry[]
  /** The state as of now, in records. */
  snapshot(): Iterator<Uint8Array>
  waitApplied(index: number): { readonly promise: Promise<void>; readonly cancel: () => void }
  onStatus(listener: () => void): () => void
}

interface Follower {
  index: number
  askedAt: number
  /** The configuration it was told last. */
  told: Configuration | null
  /** Ends its request that waits; it asked anew. */
  wake: () => void
}

/**
 * The member's side of the feed: answers clients, which are not in the Raft configuration, with entries that are committed
 * and applied here. It keeps nothing a client depends on: any other member goes on where this one ended.
 */
export class Feed {
  readonly #options: FeedOptions
  readonly #source: FeedSource
  readonly #clock: Clock
  readonly #log: Logger
  readonly #metrics: FeedMetrics | null
  readonly #followers = new Map<string, Follower>()
  readonly #transfers: FeedTransfers
  #stopped = false

  constructor(
    options: FeedOptions,
    collaborators: { source: FeedSource; clock: Clock; log: Logger; metrics: FeedMetrics | null },
  ) {
    this.#options = options
    this.#source = collaborators.source
    this.#clock = collaborators.clock
    this.#log = collaborators.log
    this.#metrics = collaborators.metrics
    this.#transfers = new FeedTransfers(this.#clock)
  }

  /** Whom this member feeds, and up to which index each has told to be. */
  followers(): readonly { readonly id: string; readonly index: number }[] {
    this.#forget()
    return [...this.#followers].map(([id, { index }]) => ({ id, index }))
  }

  /** Answers everybody who waits; nobody is fed any more. */
  stop(): void {
    this.#stopped = true
    for (const { wake } of this.#followers.values()) wake()
    this.#followers.clear()
  }

  /**
   * Answers one request of a client. @throws ConsensusError `CST_NOT_INITIALISED` if this node is no member of that
   *   cluster, `CST_REFUSED` if it feeds enough clients, `CST_PROPOSAL_DROPPED` for a malformed request
   */
  async answer(from: string, request: FollowRequest): Promise<FollowAnswer> {
    if (!isFollowRequest(request))
      throw new ConsensusError('CST_PROPOSAL_DROPPED', 'the request to follow is malformed')
    this.#check(request)
    const follower = this.#admit(from, request)
    if (request.transfer !== null)
      return this.#compose(follower, this.#transfers.part(from, request.transfer))
    const { index } = request
    // A client that comes from a member which is further waits like one that has everything.
    if (index > 0 && index >= this.#source.appliedIndex && !this.#contradicts(request))
      await this.#news(follower, index)
    this.#check(request)
    return this.#next(from, follower, request)
  }

  #check({ clusterId }: FollowRequest): void {
    const { clusterId: own, isMember, appliedIndex } = this.#source
    if (this.#stopped) throw new ConsensusError('CST_STOPPED', 'the node is stopping', { retryable: true })
    if (clusterId !== own || !isMember || appliedIndex === 0)
      throw new ConsensusError('CST_NOT_INITIALISED', 'this node is no member of that cluster')
  }

  #admit(from: string, request: FollowRequest): Follower {
    this.#forget()
    let follower = this.#followers.get(from)
    if (follower === undefined) {
      if (this.#followers.size >= this.#options.followersMax) {
        this.#metrics?.refused()
        throw new ConsensusError('CST_REFUSED', `this node feeds ${this.#followers.size} clients already`, {
          retryable: true,
        })
      }
      follower = { index: 0, askedAt: 0, told: null, wake: () => {} }
      this.#followers.set(from, follower)
      this.#metrics?.followers(this.#followers.size)
      this.#log.debug({ client: from }, 'feeding a client')
    }
    follower.wake()
    follower.index = request.index
    follower.askedAt = this.#clock.now()
    if (request.fresh) follower.told = null
    return follower
  }

  #forget(): void {
    const oldest = this.#clock.now() - FORGOTTEN_WAITS * this.#options.waitMs
    for (const [id, { askedAt }] of this.#followers) {
      if (askedAt >= oldest) continue
      this.#followers.delete(id)
      this.#transfers.end(id)
    }
    this.#metrics?.followers(this.#followers.size)
  }

  /** True if the client's last entry is not the one this member has applied there. */
  #contradicts({ index, term }: FollowRequest): boolean {
    return index <= this.#source.appliedIndex && this.#source.termAt(index) !== term
  }

  /** Waits until something after `index` is applied, the status changes, the client asks anew, or the time is over. */
  #news(follower: Follower, index: number): Promise<void> {
    return new Promise((resolve) => {
      const { promise, cancel } = this.#source.waitApplied(index + 1)
      const finish = () => {
        clearTimeout(timer)
        cancel()
        stop()
        follower.wake = () => {}
        resolve()
      }
      const timer = setTimeout(finish, this.#options.waitMs)
      const stop = this.#source.onStatus(finish)
      follower.wake = finish
      promise.then(finish, finish)
    })
  }

  #next(from: string, follower: Follower, request: FollowRequest): FollowAnswer {
    const { index } = request
    const { appliedIndex } = this.#source
    if (index > appliedIndex) return this.#compose(follower, { kind: 'behind' })
    if (index === 0 || this.#contradicts(request)) return this.#compose(follower, this.#begin(from))
    this.#transfers.end(from)
    const entries = this.#source
      .entries(index + 1, appliedIndex, this.#options.bytesMax)
      .map((entry) => encodeEntry(entry))
    if (entries.length === 0 && this.#source.isFull) return this.#compose(follower, { kind: 'behind' })
    const bytes = entries.reduce((sum, { length }) => sum + length, 0)
    this.#metrics?.fed(entries.length, bytes)
    return this.#compose(follower, { kind: 'entries', entries })
  }

  #begin(from: string): FollowAnswer['body'] {
    const { appliedIndex: index } = this.#source
    const term = this.#source.termAt(index)
    if (term === undefined) throw new ConsensusError('CST_NOT_INITIALISED', 'this node holds no state yet')
    this.#log.info({ to: from, index }, 'feeding a client the whole state')
    this.#metrics?.snapshotFed()
    return this.#transfers.begin(from, { index, term, records: this.#source.snapshot() })
  }

  #compose(follower: Follower, body: FollowAnswer['body']): FollowAnswer {
    const { leader, term, commitIndex, lastContactMs, configuration } = this.#source
    if (body.kind === 'snapshot')
      this.#metrics?.fed(
        0,
        body.records.reduce((sum, { length }) => sum + length, 0),
      )
    const members = follower.told === configuration ? null : feedMembers(configuration)
    follower.told = configuration
    return {
      leader,
      term,
      commitIndex,
      lastContactMs: Number.isFinite(lastContactMs) ? lastContactMs : null,
      members,
      body,
    }
  }
}
