import type { Logger } from 'pino'
import { CORDONS, type ConsensusClient } from './client.ts'
import type { Clock } from './clock.ts'
import { LeaseSession } from './lease-session.ts'
import { Rounds } from './rounds.ts'
import { keyToText, LEASE_PREFIX, textToKey } from './state/keys.ts'

/** A lease as every node sees it. */
export interface LeaseInfo {
  readonly name: string
  /** Name of the node that holds it, or null. */
  readonly holder: string | null
  /** Log index of the acquisition: larger for each later holder. Null while nobody holds it. */
  readonly fencingToken: number | null
  readonly session: string | null
  /** This node holds it and may act on it now. */
  readonly heldBySelf: boolean
}

/** Settings of the lease keeper. */
export interface LeaseKeeperOptions {
  readonly node: string
  /** Leases this node is willing to hold. */
  readonly names: readonly string[]
  /** Time after which a dead holder's leases are free: the failover time. Default 3,000. */
  readonly ttlMs?: number
  /**
   * How many living nodes are preferred over this one as holders. A free lease is left to them for a moment each, so
   * that the preferred node gets it if it lives. Default: none.
   */
  readonly rank?: () => number
  /** Whether this node may hold leases now; when it may not, it gives back what it holds. Default: always. */
  readonly mayHold?: () => boolean
}

const RETRY_MS = 300
/** Who may hold none looks again after this time whether it may: the others may have gone. */
const STANDING_MS = 1000
/** Head start of each preferred node when a lease is free, and the most that all of them together get. */
const HEAD_START_MS = 150
const HEAD_START_MS_MAX = 1000

/**
 * Keeps a session of this node alive and with it the leases it holds. A lease is the lock of a key with that session, so
 * it is fenced by the log, and as the session is invalid here before it ends, the holder has always stopped before anybody
 * else is granted the lease.
 */
export class LeaseKeeper {
  readonly #node: string
  readonly #names: readonly string[]
  readonly #session: LeaseSession
  readonly #client: ConsensusClient
  readonly #clock: Clock
  readonly #log: Logger
  readonly #rank: () => number
  readonly #mayHold: () => boolean
  readonly #held = new Set<string>()
  /** Since when a lease has been seen free. */
  readonly #freeSince = new Map<string, number>()
  readonly #listeners = new Set<() => void>()
  #leases: readonly Omit<LeaseInfo, 'heldBySelf'>[]
  readonly #rounds: Rounds

  constructor(
    options: LeaseKeeperOptions,
    collaborators: { client: ConsensusClient; clock: Clock; log: Logger },
  ) {
    const { node, ttlMs = 3000 } = options
    this.#node = node
    this.#names = [...options.names].sort()
    this.#session = new LeaseSession(
      { node, name: 'constellation agent', ttlMs, behavior: 'release', lockDelayMs: 0 },
      collaborators,
    )
    this.#rank = options.rank ?? (() => 0)
    this.#mayHold = options.mayHold ?? (() => true)
    this.#client = collaborators.client
    this.#clock = collaborators.clock
    this.#log = collaborators.log
    this.#leases = this.#names.map((name) => ({ name, holder: null, fencingToken: null, session: null }))
    this.#rounds = new Rounds(
      { retryMs: RETRY_MS },
      {
        watch: (notice) => [
          this.#client.watch({ kind: 'prefix', prefix: textToKey(LEASE_PREFIX) }, notice),
          this.#client.watch({ kind: 'sessions' }, notice),
          // Whoever may not hold leases is told by what is cordoned.
          this.#client.watch(CORDONS, notice),
        ],
        step: (signal) => this.#step(signal),
        failed: (error) =>
          this.#log.debug({ err: error }, 'the lease session could not be kept; trying again'),
      },
    )
  }

  async start(): Promise<void> {
    this.#rounds.start()
  }

  /** Gives every lease back at once by ending the session, so that another node takes over without waiting. */
  async stop(): Promise<void> {
    if (!this.#rounds.isRunning) return
    await this.#rounds.stop()
    this.#held.clear()
    await this.#session.end()
  }

  /** Every lease, sorted by name, as this node's state has it. */
  list(): readonly LeaseInfo[] {
    return this.#leases.map((lease) => ({ ...lease, heldBySelf: this.holds(lease.name) }))
  }

  /** Fires after a lease got another holder, as this node's state has it. Returns the way to stop. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** True while this node may act as the holder. Ask again before every step that must happen once. */
  holds(name: string): boolean {
    return this.#session.validForMs > 0 && this.#held.has(name)
  }

  /** One look at session and locks. Answers how long nothing needs to be done, in milliseconds. */
  async #step(signal: AbortSignal): Promise<number> {
    await this.#refresh()
    if (!(await this.#session.keep(signal))) {
      this.#held.clear()
      this.#rounds.ask()
    }
    if (!this.#mayHold()) {
      await this.#giveBack(signal)
      return Math.min(this.#session.renewInMs, STANDING_MS)
    }
    const headStartMs = Math.min(this.#rank() * HEAD_START_MS, HEAD_START_MS_MAX)
    let nextMs = this.#session.renewInMs
    for (const [name, since] of this.#freeSince) {
      const leftMs = since + headStartMs - this.#clock.now()
      if (signal.aborted || !this.#names.includes(name)) continue
      if (leftMs <= 0) await this.#acquire(name, signal)
      else nextMs = Math.min(nextMs, leftMs)
    }
    return Math.max(0, nextMs)
  }

  /** Frees every lease this node holds. It stops acting on one before the others can hear of it. */
  async #giveBack(signal: AbortSignal): Promise<void> {
    const session = this.#session.id
    for (const name of [...this.#held]) {
      this.#held.delete(name)
      if (session === null) return
      this.#log.info({ lease: name }, 'this node may hold no leases now and gives it back')
      const key = textToKey(LEASE_PREFIX + name)
      const command = { type: 'kv.release' as const, key, value: new Uint8Array(), flags: 0n, session }
      await this.#client.propose(command, this.#session.callOptions(signal))
    }
  }

  async #refresh(): Promise<void> {
    const { view } = await this.#client.read('stale')
    const leases = new Map<string, Omit<LeaseInfo, 'heldBySelf'>>()
    for (const name of this.#names)
      leases.set(name, { name, holder: null, fencingToken: null, session: null })
    for (const entry of view.kvList(textToKey(LEASE_PREFIX))) {
      const name = keyToText(entry.key).slice(LEASE_PREFIX.length)
      const session = entry.session === null ? undefined : view.session(entry.session)
      if (session === undefined) leases.set(name, { name, holder: null, fencingToken: null, session: null })
      else
        leases.set(name, { name, holder: session.node, fencingToken: entry.modifyIndex, session: session.id })
    }
    const before = this.#leases
    this.#leases = [...leases.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
    for (const { name, session } of this.#leases) {
      if (session !== null) this.#freeSince.delete(name)
      else if (!this.#freeSince.has(name)) this.#freeSince.set(name, this.#clock.now())
      const isOurs = session !== null && session === this.#session.id
      if (isOurs && !this.#held.has(name)) this.#log.info({ lease: name }, 'this node holds a lease')
      if (!isOurs && this.#held.has(name)) this.#log.info({ lease: name }, 'this node lost a lease')
      if (isOurs) this.#held.add(name)
      else this.#held.delete(name)
    }
    const moved =
      before.length !== this.#leases.length ||
      this.#leases.some(({ name, session }, i) => before[i]?.name !== name || before[i].session !== session)
    if (moved) for (const listener of this.#listeners) listener()
  }

  async #acquire(name: string, signal: AbortSignal): Promise<void> {
    const session = this.#session.id
    if (session === null) return
    await this.#client.propose(
      {
        type: 'kv.acquire',
        key: textToKey(LEASE_PREFIX + name),
        value: new TextEncoder().encode(this.#node),
        flags: 0n,
        session,
      },
      this.#session.callOptions(signal),
    )
  }
}
