import { isDeepStrictEqual } from 'node:util'
import type { Logger } from 'pino'
import { CORDONS, type ConsensusClient, type StateView } from './client.ts'
import type { Clock } from './clock.ts'
import { LeaseSession } from './lease-session.ts'
import { Rounds } from './rounds.ts'
import { CLAIM_PREFIX, keyToText, LEASE_PREFIX, textToKey } from './state/keys.ts'

/** A lease that nodes claim, as this node sees it. */
export interface ClaimedLease {
  readonly name: string
  /** Name of the node that holds it, or null. */
  readonly holder: string | null
  /** Log index of the acquisition: larger for each later holder. Null while nobody holds it. */
  readonly fencingToken: number | null
  /** This node holds it and may act on it now. */
  readonly heldBySelf: boolean
  /** Ids of the nodes that want it or have it, sorted. */
  readonly claimants: readonly string[]
}

/** Settings of the claims. */
export interface LeaseClaimsOptions {
  /** Name of this node. */
  readonly node: string
  readonly nodeId: string
  /** The leases are those below `constellation/lease/` with this prefix, such as `run-once/`. */
  readonly prefix: string
  /** After this time the session of a holder that is silent ends. Default 10,000. */
  readonly ttlMs?: number
  /** Behind that nobody is granted what it held for so long. Default 15,000. */
  readonly lockDelayMs?: number
  /** A claim is as old as this before its lease is taken, so that those who start together know of each other. Default 2,000. */
  readonly settleMs?: number
  /** How many of these nodes (ids) are preferred over this one: a free lease is left to them for a moment each. */
  readonly rank: (claimants: readonly string[]) => number
  /** Whether this node may take a lease that these nodes (ids) claim. */
  readonly mayHold: (claimants: readonly string[]) => boolean
}

const CLAIM_TTL_MS = 10_000
/** Long enough for the work of a holder to end that stopped a fifth of the TTL before the end of its session. */
const CLAIM_LOCK_DELAY_MS = 15_000
const SETTLE_MS = 2_000
const RETRY_MS = 500
/** An attempt that was refused, as the lease is delayed or was taken, is made again after this time; not later than the next look. */
const AGAIN_MS = 1_000
/** Who may hold what is looked at again after this time: others may have come and gone. */
const LOOK_MS = 1_000
/** Nothing is to be done before something is claimed. */
const IDLE_MS = 60_000
const GIVE_BACK_MS_MAX = 2_000
/** Head start of each preferred node when a lease is free, and the most that all of them together get. */
const HEAD_START_MS = 300
const HEAD_START_MS_MAX = 2_000

/**
 * Leases for what takes time to stop. A node says which leases it could use: its claim is a key of the log, held with a session, so
 * that everybody knows who else could. A lease stays with its holder until that gives it back. When the session of a holder
 * ends, its leases are free only after a delay, in which it has to end what it was doing.
 */
export class LeaseClaims {
  readonly #options: Required<LeaseClaimsOptions>
  readonly #client: ConsensusClient
  readonly #clock: Clock
  readonly #log: Logger
  readonly #session: LeaseSession
  readonly #listeners = new Set<() => void>()
  /** When each lease was claimed, as far as that was committed. */
  readonly #claimedAt = new Map<string, number>()
  readonly #freeSince = new Map<string, number>()
  readonly #notBefore = new Map<string, number>()
  /** Fencing tokens of what is given back, until the log says so. */
  readonly #releasing = new Map<string, number>()
  #wanted: ReadonlySet<string> = new Set()
  #leases = new Map<string, Omit<ClaimedLease, 'heldBySelf'>>()
  #held = new Set<string>()
  #known = false
  #expiry: NodeJS.Timeout | undefined
  readonly #rounds: Rounds

  constructor(
    options: LeaseClaimsOptions,
    collaborators: { client: ConsensusClient; clock: Clock; log: Logger },
  ) {
    const { node, nodeId, prefix, ttlMs = CLAIM_TTL_MS, lockDelayMs = CLAIM_LOCK_DELAY_MS } = options
    this.#options = { ...options, ttlMs, lockDelayMs, settleMs: options.settleMs ?? SETTLE_MS }
    this.#client = collaborators.client
    this.#clock = collaborators.clock
    this.#log = collaborators.log
    // Named by the id, so that a run after a crash finds the session of the run before and nobody else does.
    const name = `constellation ${prefix.replace(/\/$/, '')} ${nodeId}`
    const behavior = 'delete'
    this.#session = new LeaseSession({ node, name, ttlMs, behavior, lockDelayMs, adopt: true }, collaborators)
    this.#rounds = new Rounds(
      { retryMs: RETRY_MS },
      {
        watch: (notice) => [
          this.#client.watch({ kind: 'prefix', prefix: textToKey(LEASE_PREFIX + prefix) }, notice),
          this.#client.watch({ kind: 'prefix', prefix: textToKey(CLAIM_PREFIX + prefix) }, notice),
          this.#client.watch({ kind: 'sessions' }, notice),
          this.#client.watch(CORDONS, notice),
        ],
        step: (signal) => this.#step(signal),
        failed: (error) =>
          this.#log.debug({ err: error }, 'the leases could not be looked after; trying again'),
      },
    )
  }

  async start(): Promise<void> {
    this.#rounds.start()
  }

  /**
   * Stops claiming and renewing. What is still held then ends with the session, and the delay behind it: give back first what can
   * be given back.
   */
  async stop(): Promise<void> {
    if (!this.#rounds.isRunning) return
    await this.#rounds.stop()
    // Not before: the step that was under way may have set it.
    clearTimeout(this.#expiry)
    const { size } = this.#held
    this.#held = new Set()
    this.#known = false
    if (size > 0) return this.#session.forget()
    try {
      // The end of the session alone would have the others wait.
      await this.#giveBack(AbortSignal.timeout(GIVE_BACK_MS_MAX))
    } catch (error) {
      this.#log.warn({ err: error }, 'the leases could not be given back; they end with their session')
    }
    await this.#session.end()
  }

  /** Whether this node has a session and has seen since who holds what. */
  get known(): boolean {
    return this.#known
  }

  /** Says which leases this node could use. It keeps those it holds until they are released. */
  claim(names: ReadonlySet<string>): void {
    if (isDeepStrictEqual(names, this.#wanted)) return
    this.#wanted = new Set(names)
    this.#rounds.ask()
  }

  /** Every lease that is held or claimed, sorted by name, as this node's state has it. */
  list(): readonly ClaimedLease[] {
    return [...this.#leases.values()].map((lease) => ({ ...lease, heldBySelf: this.holds(lease.name) }))
  }

  /** Null if nobody holds or claims it. */
  get(name: string): ClaimedLease | null {
    const lease = this.#leases.get(name)
    return lease === undefined ? null : { ...lease, heldBySelf: this.holds(name) }
  }

  /** True while this node may act as the holder. Ask again before every step that must happen once. */
  holds(name: string): boolean {
    return this.#session.validForMs > 0 && this.#held.has(name)
  }

  /** Gives a lease back, from now on. What was done with it must have ended. Tried until it is done. */
  release(name: string): void {
    const token = this.#leases.get(name)?.fencingToken
    if (!this.#held.delete(name) || typeof token !== 'number') return
    this.#log.info({ lease: this.#options.prefix + name }, 'this node gives a lease back')
    this.#releasing.set(name, token)
    this.#rounds.ask()
  }

  /** Fires when anything of what is asked here may have another answer. Returns the way to stop. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** One look at everything. Answers how long nothing needs to be done, in milliseconds. */
  async #step(signal: AbortSignal): Promise<number> {
    if (this.#wanted.size === 0 && this.#session.id === null) return IDLE_MS
    if (!(await this.#session.keep(signal))) {
      this.#held = new Set()
      this.#rounds.ask()
      return 0
    }
    this.#tellExpiry()
    const { view } = await this.#client.read('stale')
    const claimed = this.#refresh(view)
    this.#known = true
    this.#tell()
    await this.#giveBack(signal)
    await this.#claim(claimed, signal)
    for (const names of [this.#freeSince, this.#notBefore])
      for (const name of names.keys()) if (!this.#wanted.has(name)) names.delete(name)
    let nextMs = Math.min(this.#session.renewInMs, LOOK_MS)
    for (const name of this.#wanted) {
      if (signal.aborted || this.#mustRenew()) break
      const leftMs = this.#takenInMs(name)
      if (leftMs <= 0) await this.#acquire(name, signal)
      else nextMs = Math.min(nextMs, leftMs)
    }
    return nextMs
  }

  /** Many proposals one after the other take longer than the session lasts: the step is left, and the next one renews first. */
  #mustRenew(): boolean {
    if (!this.#rounds.isRunning || this.#session.renewInMs > 0) return false
    this.#rounds.ask()
    return true
  }

  /** A call that takes long does not delay the end of what this node may do. */
  #tellExpiry(): void {
    clearTimeout(this.#expiry)
    const leftMs = this.#session.validForMs
    // A timer may fire before its time on the clock.
    if (leftMs > 0) this.#expiry = setTimeout(() => this.#tellExpiry(), leftMs + 1)
    else this.#tell()
  }

  /** Takes in who holds and claims what. Answers what this node itself claims. */
  #refresh(view: StateView): ReadonlySet<string> {
    const { prefix } = this.#options
    const own = this.#session.id
    const names = new Map<string, { claimants: Set<string>; holder: string | null; token: number | null }>()
    const entryOf = (name: string) => {
      const known = names.get(name) ?? { claimants: new Set<string>(), holder: null, token: null }
      names.set(name, known)
      return known
    }
    const claimed = new Set<string>()
    for (const { key, session, value } of view.kvList(textToKey(CLAIM_PREFIX + prefix))) {
      if (session === null) continue
      const [name = ''] = keyToText(key)
        .slice(CLAIM_PREFIX.length + prefix.length)
        .split('/')
      entryOf(decoded(name)).claimants.add(new TextDecoder().decode(value))
      if (session === own) claimed.add(decoded(name))
    }
    const held = new Set<string>()
    for (const { key, session: id, modifyIndex } of view.kvList(textToKey(LEASE_PREFIX + prefix))) {
      const session = id === null ? undefined : view.session(id)
      if (session === undefined) continue
      const name = decoded(keyToText(key).slice(LEASE_PREFIX.length + prefix.length))
      const lease = entryOf(name)
      lease.holder = session.node
      lease.token = modifyIndex
      if (session.id === own && this.#releasing.get(name) !== modifyIndex) held.add(name)
    }
    for (const name of this.#releasing.keys()) {
      if (names.get(name)?.token !== this.#releasing.get(name)) this.#releasing.delete(name)
    }
    this.#held = held
    this.#leases = new Map(
      [...names]
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([name, { claimants, holder, token }]) => [
          name,
          { name, holder, fencingToken: token, claimants: [...claimants].sort() },
        ]),
    )
    return claimed
  }

  /** Makes the claims of this node in the log those it has. */
  async #claim(claimed: ReadonlySet<string>, signal: AbortSignal): Promise<void> {
    const session = this.#session.id ?? ''
    const value = new TextEncoder().encode(this.#options.nodeId)
    const now = this.#clock.now()
    for (const name of claimed) {
      if (!this.#claimedAt.has(name)) this.#claimedAt.set(name, now)
      if (this.#wanted.has(name)) continue
      if (this.#mustRenew()) return
      const key = this.#claimKey(name, session)
      await this.#client.propose({ type: 'kv.delete', key }, this.#session.callOptions(signal))
    }
    for (const name of this.#claimedAt.keys()) if (!claimed.has(name)) this.#claimedAt.delete(name)
    for (const name of this.#wanted) {
      if (claimed.has(name)) continue
      if (this.#mustRenew()) return
      const key = this.#claimKey(name, session)
      const command = { type: 'kv.acquire' as const, key, value, flags: 0n, session }
      await this.#client.propose(command, this.#session.callOptions(signal))
    }
  }

  async #giveBack(signal: AbortSignal): Promise<void> {
    const session = this.#session.id
    if (session === null) return
    for (const name of this.#releasing.keys()) {
      if (this.#mustRenew()) return
      const key = this.#leaseKey(name)
      const operations = [
        { verb: 'check-session' as const, key, session },
        { verb: 'delete' as const, key },
      ]
      await this.#client.propose({ type: 'kv.txn', operations }, this.#session.callOptions(signal))
    }
  }

  /** How long this node leaves a lease it wants to others; Infinity while somebody holds it. Milliseconds. */
  #takenInMs(name: string): number {
    const { rank, mayHold, settleMs } = this.#options
    const lease = this.#leases.get(name)
    const claimedAt = this.#claimedAt.get(name)
    const now = this.#clock.now()
    if (lease === undefined || claimedAt === undefined || lease.holder !== null) {
      this.#freeSince.delete(name)
      this.#notBefore.delete(name)
      return Number.POSITIVE_INFINITY
    }
    const since = this.#freeSince.get(name) ?? now
    this.#freeSince.set(name, since)
    if (!mayHold(lease.claimants)) return Number.POSITIVE_INFINITY
    const headStartMs = Math.min(rank(lease.claimants) * HEAD_START_MS, HEAD_START_MS_MAX)
    const at = Math.max(claimedAt + settleMs, since) + headStartMs
    return Math.max(at, this.#notBefore.get(name) ?? 0) - now
  }

  async #acquire(name: string, signal: AbortSignal): Promise<void> {
    const session = this.#session.id
    if (session === null) return
    await this.#client.propose(
      {
        type: 'kv.acquire',
        key: this.#leaseKey(name),
        value: new TextEncoder().encode(this.#options.node),
        flags: 0n,
        session,
      },
      this.#session.callOptions(signal),
    )
    // Also if it was granted: the own copy of the state may be late to say so.
    this.#notBefore.set(name, this.#clock.now() + AGAIN_MS)
  }

  #leaseKey(name: string): string {
    return textToKey(LEASE_PREFIX + this.#options.prefix + encodeURIComponent(name))
  }

  #claimKey(name: string, session: string): string {
    return textToKey(`${CLAIM_PREFIX}${this.#options.prefix}${encodeURIComponent(name)}/${session}`)
  }

  #tell(): void {
    for (const listener of [...this.#listeners]) {
      try {
        listener()
      } catch (error) {
        this.#log.error({ err: error }, 'a listener of leases failed')
      }
    }
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    // Written by hand.
    return text
  }
}
