import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
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
  /** Id of the process of each place, by its name; null while none runs. */
  readonly #pids: () => ReadonlyMap<string, number>
  readonly #random: Random
  readonly #servers: Server[] = []
  readonly #flows = new Set<Flow>()
  readonly #blocked = new Set<string>()
  #slowness: Slowness | null = null
  #heldBytes = 0
  #delayedChunks = 0
  #resets = 0

  constructor(pids: () => ReadonlyMap<string, number>, random: Random) {
    this.#pids = pids
    this.#random = random
  }

  get counts(): LinkCounts {
    return { heldBytes: this.#heldBytes, delayedChunks: this.#delayedChunks, resets: this.#resets }
  }

  /** Listens on `port` for what is meant for the place `name` at its mesh port. */
  listen(port: number, name: string, meshPort: number): Promise<void> {
    const server = createServer({ pauseOnConnect: true }, (from) => this.#accept(from, port, name, meshPort))
    this.#servers.push(server)
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen(port, '127.0.0.1', () => resolve())
    })
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
    for (const { from, to, source, sink } of this.#flows) {
      if (!((from === a && to === b) || (from === b && to === a))) continue
      this.#resets++
      source.resetAndDestroy()
      sink.resetAndDestroy()
    }
  }

  /** Lets everybody talk again; what was held back arrives late. */
  heal(): void {
    this.#blocked.clear()
    for (const flow of this.#flows) this.#resume(flow)
  }

  async close(): Promise<void> {
    for (const { source } of this.#flows) source.destroy()
    await Promise.all(this.#servers.map((server) => new Promise((resolve) => server.close(resolve))))
  }

  #accept(from: Socket, port: number, name: string, meshPort: number): void {
    const caller = this.#callerOf(from.remotePort ?? 0, port)
    const to = connect({ host: '127.0.0.1', port: meshPort, noDelay: true })
    from.setNoDelay(true)
    const base = { delayedBytes: 0, isFull: false }
    const flows: Flow[] = [
      { from: caller, to: name, source: from, sink: to, delayed: [], ...base },
      { from: name, to: caller, source: to, sink: from, delayed: [], ...base },
    ]
    const end = (): void => {
      for (const flow of flows) this.#flows.delete(flow)
      from.destroy()
      to.destroy()
    }
    for (const flow of flows) {
      this.#flows.add(flow)
      flow.source.on('error', end).on('close', end)
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

  /** The place whose process opened the connection from `localPort` to `remotePort`; '' if it is gone already. */
  #callerOf(localPort: number, remotePort: number): string {
    const hex = (port: number): string => port.toString(16).toUpperCase().padStart(4, '0')
    const inode = readFileSync('/proc/net/tcp', 'utf8')
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .find(
        ([, local, remote]) =>
          local?.endsWith(`:${hex(localPort)}`) && remote?.endsWith(`:${hex(remotePort)}`),
      )?.[9]
    for (const [name, pid] of this.#pids()) if (ownsSocket(pid, inode)) return name
    return ''
  }
}

function ownsSocket(pid: number, inode: string | undefined): boolean {
  try {
    const folder = `/proc/${pid}/fd`
    return readdirSync(folder).some((fd) => linkTarget(`${folder}/${fd}`) === `socket:[${inode}]`)
  } catch {
    return false
  }
}

function linkTarget(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    // Closed while it was looked at.
    return ''
  }
}
