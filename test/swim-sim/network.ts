import type { EventQueue } from '../sim/event-queue.ts'
import type { Random } from '../sim/random.ts'

/**
 * How a message that the network loses shows itself. `stream`: as on one TCP connection per pair, it arrives later, and
 * what was sent after it waits with it. `datagram`: it never arrives.
 */
export type Transport = 'stream' | 'datagram'

const RTO_MIN_MS = 200
const RTO_MAX_MS = 30_000
/** Messages a stalled connection holds; the mesh drops what does not fit its queue. */
const HELD_MAX = 1024
const DIAL_TIMEOUT_MS = 3000
/** Round trips of a connection: TCP, noise, the choice of a multiplexer, the proof of membership. */
const DIAL_ROUND_TRIPS = 5
/** A verdict that was due while two were cut off may come this much after the first word since. */
const JUST_NOW_MS = 2000

interface Stall {
  rtoMs: number
  readonly held: (() => void)[]
}

/** What the network works with. */
export interface NetworkCollaborators {
  readonly queue: EventQueue
  readonly random: Random
  readonly now: () => number
}

/** The links between hosts, by index: how long a message travels, which are lossy and which are cut. */
export class SimNetwork {
  /** Chance that one packet is lost, on links without one of their own. */
  loss = 0
  readonly #transport: Transport
  readonly #with: NetworkCollaborators
  readonly #seed: number
  /** Which side of the partition a host is on; all on side 0: no partition. */
  readonly #sides = new Map<number, number>()
  /** The sides of the last partition that ended, and when pairs across it first heard from each other since. */
  #formerSides: ReadonlyMap<number, number> = new Map()
  readonly #metAt = new Map<number, number>()
  readonly #cuts = new Set<number>()
  readonly #lossOf = new Map<number, number>()
  readonly #stalls = new Map<number, Stall>()

  constructor(transport: Transport, collaborators: NetworkCollaborators) {
    this.#transport = transport
    this.#with = collaborators
    this.#seed = collaborators.random.below(2 ** 30)
  }

  /** Sends one message; `arrive` runs when and if it comes. `reliable` ones come late rather than never on any transport. */
  send(from: number, to: number, deliver: () => void, reliable = false): void {
    const arrive = this.#wereParted(from, to) ? () => this.#meet(from, to, deliver) : deliver
    if (this.#transport === 'stream' || reliable) {
      this.#sendOnStream(from, to, arrive)
      return
    }
    if (this.isCut(from, to) || this.#isLost(from, to)) return
    this.#at(this.latencyMs(from, to) + this.#with.random.exponential(1), arrive)
  }

  /** What was sent between the two and has not left yet is gone: the connection is. */
  drop(a: number, b: number): void {
    for (const key of [keyOf(a, b), keyOf(b, a)]) {
      const stall = this.#stalls.get(key)
      if (stall) stall.held.length = 0
    }
  }

  /** How long a new connection takes; null if it does not come about within the time a dialler waits. */
  dialMs(from: number, to: number): number | null {
    if (this.isCut(from, to) || this.isCut(to, from)) return null
    let ms = 0
    for (let trip = 0; trip < DIAL_ROUND_TRIPS; trip++) {
      ms += this.latencyMs(from, to) + this.latencyMs(to, from)
      let rtoMs = trip === 0 ? 1000 : RTO_MIN_MS
      while (this.#isLost(from, to) || this.#isLost(to, from)) {
        ms += rtoMs
        rtoMs *= 2
      }
    }
    return ms < DIAL_TIMEOUT_MS ? ms : null
  }

  get dialTimeoutMs(): number {
    return DIAL_TIMEOUT_MS
  }

  /** One way, in ms. Most pairs are neighbours, one in ten lies far apart; fixed for a pair, so that a link keeps order. */
  latencyMs(a: number, b: number): number {
    const mixed = mix(
      this.#seed ^ Math.imul(Math.min(a, b), 0x9e3779b1) ^ Math.imul(Math.max(a, b), 0x85ebca6b),
    )
    const fraction = (mixed & 0xffff) / 0x10000
    return mixed >>> 16 < 0x10000 / 10 ? 10 + 40 * fraction : 0.2 + 2.8 * fraction
  }

  isCut(from: number, to: number): boolean {
    if (this.#sides.size > 0 && (this.#sides.get(from) ?? 0) !== (this.#sides.get(to) ?? 0)) return true
    return this.#cuts.size > 0 && this.#cuts.has(keyOf(from, to))
  }

  /** Whether the two are cut off from each other, or were, and the first word since has passed between them just now at the earliest. */
  isOutOfTouch(a: number, b: number): boolean {
    if (this.isCut(a, b) || this.isCut(b, a)) return true
    if (!this.#wereParted(a, b)) return false
    const metAt = this.#metAt.get(keyOf(Math.min(a, b), Math.max(a, b)))
    return metAt === undefined || this.#with.now() - metAt < JUST_NOW_MS
  }

  /** Moves hosts to another side of a partition. */
  part(hosts: readonly number[], side: number): void {
    for (const host of hosts) this.#sides.set(host, side)
  }

  /** Nothing from `from` reaches `to` any more. */
  cut(from: number, to: number): void {
    this.#cuts.add(keyOf(from, to))
  }

  /** Packets from `from` to `to` are lost with this chance. */
  worsen(from: number, to: number, loss: number): void {
    this.#lossOf.set(keyOf(from, to), loss)
  }

  /** Ends partitions and cuts. */
  heal(): void {
    this.#formerSides = new Map(this.#sides)
    this.#metAt.clear()
    this.#sides.clear()
    this.#cuts.clear()
  }

  /** Ends everything, loss too. */
  healAll(): void {
    this.heal()
    this.#lossOf.clear()
    this.loss = 0
  }

  #wereParted(a: number, b: number): boolean {
    const former = this.#formerSides
    return former.size > 0 && (former.get(a) ?? 0) !== (former.get(b) ?? 0)
  }

  #meet(from: number, to: number, deliver: () => void): void {
    const key = keyOf(Math.min(from, to), Math.max(from, to))
    if (!this.#metAt.has(key)) this.#metAt.set(key, this.#with.now())
    deliver()
  }

  #sendOnStream(from: number, to: number, arrive: () => void): void {
    const key = keyOf(from, to)
    const stall = this.#stalls.get(key)
    if (stall) {
      if (stall.held.length < HELD_MAX) stall.held.push(arrive)
    } else if (this.isCut(from, to) || this.#isLost(from, to)) {
      this.#stalls.set(key, { rtoMs: RTO_MIN_MS, held: [arrive] })
      this.#at(RTO_MIN_MS, () => this.#retransmit(from, to))
    } else this.#at(this.latencyMs(from, to), arrive)
  }

  #retransmit(from: number, to: number): void {
    const key = keyOf(from, to)
    const stall = this.#stalls.get(key)
    if (!stall) return
    if (stall.held.length > 0 && (this.isCut(from, to) || this.#isLost(from, to))) {
      stall.rtoMs = Math.min(RTO_MAX_MS, stall.rtoMs * 2)
      this.#at(stall.rtoMs, () => this.#retransmit(from, to))
      return
    }
    this.#stalls.delete(key)
    if (stall.held.length === 0) return
    this.#at(this.latencyMs(from, to), () => {
      for (const arrive of stall.held) arrive()
    })
  }

  #isLost(from: number, to: number): boolean {
    const loss = (this.#lossOf.size > 0 ? this.#lossOf.get(keyOf(from, to)) : undefined) ?? this.loss
    return loss > 0 && this.#with.random.chance(loss)
  }

  #at(delayMs: number, run: () => void): void {
    this.#with.queue.push(this.#with.now() + delayMs, run)
  }
}

function keyOf(a: number, b: number): number {
  return a * 2 ** 20 + b
}

function mix(value: number): number {
  let x = value
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d)
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b)
  return (x ^ (x >>> 16)) >>> 0
}
