import { decodeBody } from '../../../providers/traefik/strict-decoder.ts'

/** An answer to a poll. `down`: no connection. */
export type PollAnswer = { readonly status: number; readonly body: string } | 'down'

const POLL_MS = 5_000
const BACKOFF_FIRST_MS = 500
const BACKOFF_FACTOR = 1.5
const BACKOFF_MAX_MS = 60_000
const BACKOFF_RESET_MS = 30_000

/**
 * Traefik's HTTP provider as its source describes it: polls at once and then every five seconds, takes status 200 alone,
 * keeps the FNV-64 of the bytes before it decodes them (so a body it refused is not looked at again), and after an
 * error waits longer each time, with half of it at random, up to a minute; the waiting starts over when polling went well
 * for half a minute.
 */
export class SimulatedPoller {
  readonly #release: string
  readonly #random: () => number
  #hash = 0n
  #waitMs = BACKOFF_FIRST_MS
  #workedSince: number | null = null
  /** When it polls next. */
  next = 0
  /** Body of the configuration in force; null before the first. */
  applied: string | null = null
  /** Bodies it refused. */
  readonly refused: string[] = []
  /** Configurations that took every route away. */
  emptied = 0
  /** How often it has built everything anew. */
  reloads = 0

  constructor(release: string, random: () => number) {
    this.#release = release
    this.#random = random
  }

  poll(now: number, answer: PollAnswer): void {
    if (answer === 'down' || answer.status !== 200) {
      this.#fail(now)
      return
    }
    const hash = fnv64(answer.body)
    if (hash !== this.#hash) {
      this.#hash = hash
      const { accepted, empty } = decodeBody(answer.body, { release: this.#release })
      if (!accepted) {
        this.refused.push(answer.body)
        this.#fail(now)
        return
      }
      if (empty) this.emptied += 1
      if (this.applied !== answer.body) this.reloads += 1
      this.applied = answer.body
    }
    this.#workedSince ??= now
    this.next = now + POLL_MS
  }

  #fail(now: number): void {
    if (this.#workedSince !== null && now - this.#workedSince >= BACKOFF_RESET_MS)
      this.#waitMs = BACKOFF_FIRST_MS
    this.#workedSince = null
    this.next = now + this.#waitMs * (0.5 + this.#random())
    this.#waitMs = Math.min(this.#waitMs * BACKOFF_FACTOR, BACKOFF_MAX_MS)
  }
}

/** FNV-1a, 64 bits. */
function fnv64(text: string): bigint {
  let hash = 0xcbf29ce484222325n
  for (const byte of Buffer.from(text)) hash = ((hash ^ BigInt(byte)) * 0x100000001b3n) & 0xffffffffffffffffn
  return hash
}
