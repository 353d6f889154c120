import { Counter, Gauge, type Registry } from 'prom-client'
import { ClientGoneError, HttpError } from './errors.ts'

/** One look at the data behind a blocking query. */
export interface Pass<T> {
  readonly index: number
  /** Highest index this node has seen in the whole store. */
  readonly storeIndex: number
  /**
   * When given and equal to that of the pass before, the result did not change although its index rose: keep waiting.
   * A missing object has a constant one, so that it wakes a client when it appears or disappears and not in between.
   */
  readonly fingerprint?: string
  /** Rendered when `after` was null or less than `index`. */
  readonly answer: T | undefined
}

/** What a blocking query reads and what wakes it. */
export interface BlockingSource<T> {
  /** Reads, and renders the answer if the index is greater than `after` or `after` is null. `final`: answer from what this node has. */
  read(after: number | null, final: boolean): Promise<Pass<T>>
  watch(listener: () => void): () => void
}

/** Bounds of the waiting of blocking queries. */
export interface ParkingOptions {
  /** How many queries may wait at once; one more is refused with 429. */
  readonly parkedMax: number
  /** Uniform in [0, 1): spreads the deadlines of clients that arrived together. */
  readonly random: () => number
}

/** Consul's default for a query that names no `wait`. */
export const DEFAULT_WAIT_MS = 300_000
/** Longest `wait`; a longer one is shortened. */
export const MAX_WAIT_MS = 600_000
/** Clients allow this share of `wait` on top of it before they give up. */
const JITTER_DIVISOR = 16

/**
 * Where blocking queries wait (the algorithm of Consul's blocking queries). A query ends when its data changes, at its
 * deadline, when its client goes away, or at once when the server closes.
 */
export class ParkingLot {
  readonly #options: ParkingOptions
  readonly #gauge: Gauge
  readonly #wakeUps: Counter
  readonly #closing = new AbortController()
  #parked = 0

  constructor(options: ParkingOptions, collaborators: { readonly metrics: Registry }) {
    this.#options = options
    const name = 'constellation_http_blocking_queries'
    const registered = collaborators.metrics.getSingleMetric(name)
    this.#gauge =
      registered instanceof Gauge
        ? registered
        : new Gauge({
            name,
            help: 'Blocking queries and event streams that wait now.',
            registers: [collaborators.metrics],
          })
    const wakeUps = 'constellation_http_wake_ups_total'
    const known = collaborators.metrics.getSingleMetric(wakeUps)
    this.#wakeUps =
      known instanceof Counter
        ? known
        : new Counter({
            name: wakeUps,
            help: 'How often a change made a blocking query look again.',
            registers: [collaborators.metrics],
          })
  }

  /** Queries that wait now. */
  get parked(): number {
    return this.#parked
  }

  /** Ends every wait with the answer of the moment; later queries do not wait. */
  close(): void {
    this.#closing.abort()
  }

  /** Aborts with `close`. */
  get closing(): AbortSignal {
    return this.#closing.signal
  }

  /** True after `close`. */
  get closed(): boolean {
    return this.#closing.signal.aborted
  }

  /**
   * Answers as soon as the index is greater than `query.index`, or after `query.waitMs` and up to a sixteenth more.
   * Index 0 answers at once. So does one that is greater than anything in the store: the client knows another store.
   * @throws ClientGoneError when `signal` aborts; HttpError 429 when too many wait.
   */
  async answer<T>(
    query: { readonly index: number; readonly waitMs: number },
    source: BlockingSource<T>,
    signal: AbortSignal,
  ): Promise<T> {
    if (query.index === 0) return rendered(await source.read(null, false))
    const waiter = new Waiter(signal, this.#closing.signal)
    // Watch before the first read, or a change between the two is missed.
    const unwatch = source.watch(() => {
      this.#wakeUps.inc()
      waiter.wake()
    })
    try {
      return await this.#loop(query, source, waiter)
    } finally {
      unwatch()
      waiter.end()
    }
  }

  async #loop<T>(
    query: { readonly index: number; readonly waitMs: number },
    source: BlockingSource<T>,
    waiter: Waiter,
  ): Promise<T> {
    let after = query.index
    let previous: string | undefined
    waiter.start(query.waitMs + this.#options.random() * (query.waitMs / JITTER_DIVISOR))
    for (let passes = 0; ; passes++) {
      const pass = await source.read(after, false)
      if (passes === 0 && after > pass.storeIndex) break
      const unchanged = passes > 0 && pass.fingerprint !== undefined && pass.fingerprint === previous
      if (pass.index > after && !unchanged) return rendered(pass)
      if (unchanged) after = Math.max(after, pass.index)
      previous = pass.fingerprint
      if (!(await this.#park(waiter))) break
    }
    return rendered(await source.read(null, true))
  }

  async #park(waiter: Waiter): Promise<boolean> {
    const leave = this.enter()
    try {
      return await waiter.wait()
    } finally {
      leave()
    }
  }

  /**
   * Takes a place for something that waits on its own, such as a stream. Answers the way to give it back.
   * @throws HttpError 429 when all are taken.
   */
  enter(): () => void {
    if (this.#parked >= this.#options.parkedMax) {
      throw new HttpError('HTTP_TOO_MANY_WAITING', 429, 'Too many blocking queries wait on this node')
    }
    this.#gauge.set(++this.#parked)
    return () => this.#gauge.set(--this.#parked)
  }
}

/** One query's wait: woken by a change, ended by its deadline or the server, broken off by its client. */
class Waiter {
  readonly #client: AbortSignal
  readonly #server: AbortSignal
  #dirty = false
  #over = false
  #timer: NodeJS.Timeout | undefined
  #notify: (() => void) | null = null

  constructor(client: AbortSignal, server: AbortSignal) {
    this.#client = client
    this.#server = server
    client.addEventListener('abort', this.#signalled, { once: true })
    server.addEventListener('abort', this.#signalled, { once: true })
  }

  readonly #signalled = (): void => this.#notify?.()

  start(deadlineMs: number): void {
    this.#timer = setTimeout(() => {
      this.#over = true
      this.#notify?.()
    }, deadlineMs)
  }

  wake(): void {
    this.#dirty = true
    this.#notify?.()
  }

  /** True after a change, false at the deadline or when the server closes. */
  async wait(): Promise<boolean> {
    if (!this.#dirty && !this.#over && !this.#client.aborted && !this.#server.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#notify = resolve
      await promise
      this.#notify = null
    }
    if (this.#client.aborted) throw new ClientGoneError()
    if (this.#over || this.#server.aborted) return false
    this.#dirty = false
    return true
  }

  end(): void {
    clearTimeout(this.#timer)
    this.#client.removeEventListener('abort', this.#signalled)
    this.#server.removeEventListener('abort', this.#signalled)
  }
}

function rendered<T>(pass: Pass<T>): T {
  if (pass.answer === undefined) throw new Error('a pass that must answer rendered nothing')
  return pass.answer
}
