import type { Logger } from 'pino'
import type { Channels } from './channels.ts'
import type { Connections } from './connections.ts'
import type { MeshMetrics } from './metrics.ts'
import type { PeerId } from './types.ts'

/** When connections that nobody needs are closed. Durations in milliseconds. */
export interface PartingOptions {
  /** A connection that is not to be kept is closed after this long without a message. */
  readonly idleMs: number
  /** Connections that are not to be kept; above three quarters of it they are closed sooner. */
  readonly onDemandMax: number
}

/** Channel of the question "do you still need our connection?". */
export const PARTING_CHANNEL = 'part'

const PRESSED_IDLE_MS = 1_000
const PRESSED_FRACTION = 0.75
const ANSWER_TIMEOUT_MS = 2_000
const ASKED_AT_ONCE_MAX = 16
const YES = Uint8Array.of(1)
const NO = Uint8Array.of(0)

/**
 * Closes connections that were made for a message and are not used any more. Both ends have to agree: a connection that
 * simply closed would be taken for the death of the other end, and one that the other end is using would lose what is on it.
 */
export class Parting {
  readonly #options: PartingOptions
  readonly #connections: Connections
  readonly #channels: Channels
  readonly #metrics: MeshMetrics
  readonly #log: Logger
  readonly #now: () => number
  /** Who was asked when, while still connected. */
  readonly #askedAt = new Map<PeerId, number>()
  #asking = 0

  constructor(
    options: PartingOptions,
    collaborators: {
      readonly connections: Connections
      readonly channels: Channels
      readonly metrics: MeshMetrics
      readonly log: Logger
      readonly now: () => number
    },
  ) {
    this.#options = options
    this.#connections = collaborators.connections
    this.#channels = collaborators.channels
    this.#metrics = collaborators.metrics
    this.#log = collaborators.log
    this.#now = collaborators.now
  }

  /** Looks for connections that may be closed, those unused for longest first. */
  tick(): void {
    const idleMs = this.#idleMs()
    const since = this.#now() - idleMs
    const connected = new Set(this.#connections.connected())
    for (const peer of this.#askedAt.keys()) if (!connected.has(peer)) this.#askedAt.delete(peer)
    const idle = [...connected]
      .filter((peer) => this.#isIdle(peer, since) && (this.#askedAt.get(peer) ?? since) <= since)
      .sort((a, b) => this.#connections.usedAt(a) - this.#connections.usedAt(b))
    for (const peer of idle) {
      if (this.#asking >= ASKED_AT_ONCE_MAX) return
      this.#asking += 1
      this.#askedAt.set(peer, this.#now())
      this.#ask(peer)
        .catch((error: unknown) => this.#log.debug({ peer, err: error }, 'a peer did not agree to part'))
        .finally(() => {
          this.#asking -= 1
        })
    }
  }

  /** The other end asks whether this one still needs the connection. */
  answer(peer: PeerId): Uint8Array {
    if (!this.#isIdle(peer, this.#now() - Math.min(this.#idleMs(), this.#options.idleMs / 2))) return NO
    this.#connections.retire(peer)
    this.#channels.park(peer)
    return YES
  }

  #idleMs(): number {
    const { idleMs, onDemandMax } = this.#options
    const pressed = this.#connections.onDemand > onDemandMax * PRESSED_FRACTION
    return pressed ? Math.min(idleMs, PRESSED_IDLE_MS) : idleMs
  }

  #isIdle(peer: PeerId, since: number): boolean {
    if (this.#connections.isKept(peer) || this.#channels.busy(peer)) return false
    return this.#connections.usedAt(peer) <= since
  }

  async #ask(peer: PeerId): Promise<void> {
    const before = this.#connections.usedAt(peer)
    const answer = await this.#channels.request(peer, PARTING_CHANNEL, new Uint8Array(0), {
      timeoutMs: ANSWER_TIMEOUT_MS,
    })
    if (answer[0] !== YES[0]) return
    // Used meanwhile: the other end gives up waiting for the close by itself.
    if (this.#connections.usedAt(peer) !== before || this.#channels.busy(peer)) return
    const retired = this.#connections.retire(peer)
    this.#channels.park(peer)
    this.#metrics.parted.inc()
    await this.#connections.close(retired)
  }
}
