import { randomUUID } from 'node:crypto'
import type { Logger } from 'pino'
import type { CallOptions, ConsensusClient } from './client.ts'
import type { Clock } from './clock.ts'
import type { SessionBehavior } from './state/types.ts'

/** What a session that leases are held with is like. */
export interface LeaseSessionOptions {
  /** Name of the node it belongs to. */
  readonly node: string
  readonly name: string
  /** Time after which it ends unless it is renewed. */
  readonly ttlMs: number
  /** What becomes of the keys it holds when it ends. */
  readonly behavior: SessionBehavior
  /** How long after its end by expiry nobody may lock what it held. */
  readonly lockDelayMs: number
  /**
   * Go on with a session of this name and node that an earlier run of this agent left, if it is still alive. The name must be one
   * that no other node uses. Default false.
   */
  readonly adopt?: boolean
}

/** The holder stops this part of the TTL early: what clocks may drift apart in one TTL, and the work that is under way. */
const SAFETY_FRACTION = 0.2
/** The session is renewed this often per TTL, so that two lost renewals do no harm. */
const RENEWALS_PER_TTL = 3

/**
 * A session that one node keeps alive. The node counts from the moment it *sent* the renewal, on its own monotonic clock, and the
 * leader from the moment it confirmed it, which is later: the session is invalid here before it can end anywhere else.
 */
export class LeaseSession {
  readonly #options: LeaseSessionOptions
  readonly #client: ConsensusClient
  readonly #clock: Clock
  readonly #log: Logger
  #id: string | null = null
  #validUntil = Number.NEGATIVE_INFINITY
  #validUntilWall = Number.NEGATIVE_INFINITY
  #renewAt = 0
  #adopts: boolean

  constructor(
    options: LeaseSessionOptions,
    collaborators: { client: ConsensusClient; clock: Clock; log: Logger },
  ) {
    this.#options = options
    this.#client = collaborators.client
    this.#clock = collaborators.clock
    this.#log = collaborators.log
    this.#adopts = options.adopt ?? false
  }

  /** Null before it was made, and after it was lost. */
  get id(): string | null {
    return this.#id
  }

  /** How long until it should be renewed; 0 = now. Milliseconds. */
  get renewInMs(): number {
    return Math.max(0, this.#renewAt - this.#clock.now())
  }

  /** How long it surely lives if nothing more is heard; 0 if it may have ended. Milliseconds. */
  get validForMs(): number {
    // The monotonic clock stands still while the machine sleeps, the wall clock does not; set back, it errs the other way.
    const leftMs = Math.min(this.#validUntil - this.#clock.now(), this.#validUntilWall - this.#clock.wall())
    return Math.max(0, leftMs)
  }

  /** No call may take so long that the next renewal comes too late. */
  callOptions(signal: AbortSignal): CallOptions {
    return { signal, timeoutMs: this.#options.ttlMs / RENEWALS_PER_TTL }
  }

  /** Makes it, or renews it if that is due. False if it turned out to have ended. @throws ConsensusError if nothing was decided */
  async keep(signal: AbortSignal): Promise<boolean> {
    if (this.#adopts) await this.#adopt(signal)
    if (this.#id === null) await this.#create(signal)
    else if (this.renewInMs === 0) return this.#renew(this.#id, signal)
    return true
  }

  /** It is not used any more; where it is alive, it ends by itself. */
  forget(): void {
    this.#id = null
    this.#validUntil = Number.NEGATIVE_INFINITY
    this.#validUntilWall = Number.NEGATIVE_INFINITY
    this.#renewAt = 0
  }

  /** Ends it for everybody. Never rejects. */
  async end(): Promise<void> {
    const id = this.#id
    this.forget()
    if (id === null) return
    try {
      await this.#client.propose({ type: 'session.destroy', id }, { timeoutMs: 2000 })
    } catch (error) {
      this.#log.warn({ err: error }, 'the leases could not be given back; they end with their session')
    }
  }

  async #adopt(signal: AbortSignal): Promise<void> {
    const { view } = await this.#client.read('default', this.callOptions(signal))
    const { node, name } = this.#options
    const left = view.sessions().find((session) => session.node === node && session.name === name)
    const sentAt = this.#now()
    const found =
      left === undefined ? null : await this.#client.renewSession(left.id, this.callOptions(signal))
    this.#adopts = false
    if (found === null) return
    this.#id = found.id
    this.#renewed(sentAt)
    this.#log.info({ session: found.id }, 'going on with the lease session of the run before')
  }

  async #create(signal: AbortSignal): Promise<void> {
    const { node, name, ttlMs, behavior, lockDelayMs } = this.#options
    const id = randomUUID()
    const sentAt = this.#now()
    const result = await this.#client.propose(
      {
        type: 'session.create',
        session: {
          id,
          name,
          node,
          behavior,
          lockDelayMs,
          ttl: `${ttlMs / 1000}s`,
          expiresAfterMs: ttlMs,
          // No serfHealth: gossip's verdict must not free a lease before its holder has surely stopped.
          nodeChecks: [],
          serviceChecks: null,
        },
      },
      this.callOptions(signal),
    )
    if (!result.ok) throw new Error(result.error ?? 'the session was refused')
    this.#id = id
    this.#renewed(sentAt)
  }

  async #renew(id: string, signal: AbortSignal): Promise<boolean> {
    const sentAt = this.#now()
    const session = await this.#client.renewSession(id, this.callOptions(signal))
    if (session !== null) {
      this.#renewed(sentAt)
      return true
    }
    this.#log.warn('the lease session of this node expired; starting a new one')
    this.forget()
    return false
  }

  #now(): { readonly now: number; readonly wall: number } {
    return { now: this.#clock.now(), wall: this.#clock.wall() }
  }

  #renewed(sentAt: { readonly now: number; readonly wall: number }): void {
    const { ttlMs } = this.#options
    const validMs = ttlMs * (1 - SAFETY_FRACTION)
    this.#validUntil = sentAt.now + validMs
    this.#validUntilWall = sentAt.wall + validMs
    this.#renewAt = sentAt.now + ttlMs / RENEWALS_PER_TTL
  }
}
