import type { Socket } from 'node:net'
import { MeshProxy, type Proxied } from '../real/mesh-proxy.ts'
import type { Random } from '../sim/random.ts'

/** Bytes of a slowed direction that may be on their way at once; beyond it the sender is not read from. */
const DELAYED_BYTES_MAX = 4 << 20

/** How a slow link behaves. Milliseconds. */
export interface Slowness {
  readonly minMs: number
  readonly maxMs: number
  /** Share of the chunks that take `stallMs` more, as a packet does that was lost and sent again. */
  readonly loss: number
  readonly stallMs: number
}

/** What happened to the traffic since the start. */
export interface LinkCounts {
  readonly heldBytes: number
  readonly delayedChunks: number
  readonly resets: number
}

/** One direction of a connection. */
interface Flow {
  readonly from: string
  readonly to: string
  readonly source: Socket
  readonly sink: Socket
  /** What is on its way, oldest first. */
  readonly delayed: { readonly chunk: Buffer; readonly at: number }[]
  delayedBytes: number
  isFull: boolean
}

/**
 * Proxies in front of the mesh ports of all nodes. What one node says to another can be held back, in one direction or
 * both, delayed, or broken off: connections that are held back stay open and fall silent, as when a cable is cut. Linux
 * only: /proc tells which process opened a connection.
 */
export class Links {
  readonly #random: Random
  readonly #proxy: MeshProxy
  readonly #flows = new Map<Proxied, readonly Flow[]>()
  readonly #blocked = new Set<string>()
  #slowness: Slowness | null = null
  #heldBytes = 0
  #delayedChunks = 0
  #resets = 0

  /** `pids`: id of the process of each place that runs one, by its name. */
  constructor(pids: () => ReadonlyMap<string, number>, random: Random) {
    this.#random = random
    this.#proxy = new MeshProxy({
      pids,
      onOpen: (connection) => this.#opened(connection),
      onEnd: (connection) => this.#flows.delete(connection),
    })
  }

  get counts(): LinkCounts {
    return { heldBytes: this.#heldBytes, delayedChunks: this.#delayedChunks, resets: this.#resets }
  }

  /** Listens on `port` for what is meant for the place `name` at its mesh port. */
  listen(port: number, name: string, meshPort: number): Promise<void> {
    return this.#proxy.listen(port, name, meshPort)
  }

  /** Holds back what `from` says to `to`. */
  block(from: string, to: string): void {
    this.#blocked.add(`${from} ${to}`)
  }

  /** Holds back what these say to each other. */
  cut(a: string, b: string): void {
    this.block(a, b)
    this.block(b, a)
  }

  /** Delays everything from now on; null: nothing any more. */
  slow(slowness: Slowness | null): void {
    this.#slowness = slowness
  }

  /** Breaks all connections between two nodes off. */
  reset(a: string, b: string): void {
    for (const { from, to, source, sink } of [...this.#flows.values()].flat()) {
      if (!((from === a && to === b) || (from === b && to === a))) continue
      this.#resets++
      source.resetAndDestroy()
      sink.resetAndDestroy()
    }
  }

  /** Lets everybody talk again; what was held back arrives late. */
  heal(): void {
    this.#blocked.clear()
    for (const flow of [...this.#flows.values()].flat()) this.#resume(flow)
  }

  close(): Promise<void> {
    return this.#proxy.close()
  }

  #opened(connection: Proxied): void {
    const { caller, callee, fromCaller, toCallee } = connection
    const base = { delayedBytes: 0, isFull: false }
    const flows: Flow[] = [
      { from: caller, to: callee, source: fromCaller, sink: toCallee, delayed: [], ...base },
      { from: callee, to: caller, source: toCallee, sink: fromCaller, delayed: [], ...base },
    ]
    this.#flows.set(connection, flows)
    for (const flow of flows) {
      flow.source.on('data', (chunk: Buffer) => this.#handle(flow, chunk))
      flow.sink.on('drain', () => {
        flow.isFull = false
        this.#resume(flow)
      })
      flow.source.resume()
    }
  }

  #handle(flow: Flow, chunk: Buffer): void {
    if (this.#blocked.has(`${flow.from} ${flow.to}`)) {
      this.#heldBytes += chunk.length
      flow.source.pause()
      // Read already, so it is put back and read again when the link heals.
      flow.source.unshift(chunk)
      return
    }
    const delayMs = this.#drawDelay()
    if (delayMs === 0 && flow.delayed.length === 0) {
      this.#pass(flow, chunk)
      return
    }
    this.#delayedChunks++
    const now = performance.now()
    flow.delayedBytes += chunk.length
    flow.delayed.push({ chunk, at: Math.max(flow.delayed.at(-1)?.at ?? 0, now + delayMs) })
    if (flow.delayedBytes > DELAYED_BYTES_MAX) flow.source.pause()
    if (flow.delayed.length === 1) this.#passLater(flow)
  }

  /** One timer per flow: two would not fire in the order of their times, and a stream must keep its order. */
  #passLater(flow: Flow): void {
    const [first] = flow.delayed
    if (first === undefined || flow.sink.destroyed) return
    setTimeout(
      () => {
        const now = performance.now()
        for (let next = flow.delayed[0]; next !== undefined && next.at <= now; next = flow.delayed[0]) {
          flow.delayed.shift()
          flow.delayedBytes -= next.chunk.length
          this.#pass(flow, next.chunk)
        }
        this.#resume(flow)
        this.#passLater(flow)
      },
      Math.max(0, first.at - performance.now()),
    )
  }

  #drawDelay(): number {
    if (this.#slowness === null) return 0
    const { minMs, maxMs, loss, stallMs } = this.#slowness
    return this.#random.between(minMs, maxMs) + (this.#random.chance(loss) ? stallMs : 0)
  }

  #pass(flow: Flow, chunk: Buffer): void {
    if (flow.sink.destroyed || flow.sink.write(chunk)) return
    flow.isFull = true
    flow.source.pause()
  }

  #resume(flow: Flow): void {
    const isBlocked = this.#blocked.has(`${flow.from} ${flow.to}`)
    if (!isBlocked && !flow.isFull && flow.delayedBytes <= DELAYED_BYTES_MAX) flow.source.resume()
  }
}
