import { Suspicion, suspicionMinMs } from './suspicion.ts'
import type { NodeId, SwimTimings } from './types.ts'

/** The suspicions that are open, by suspect. All times in ms. */
export class Suspicions {
  readonly #timings: SwimTimings
  readonly #open = new Map<NodeId, Suspicion>()
  /** When the next one is due; null: to be found out. */
  #nextAt: number | null = Number.POSITIVE_INFINITY

  constructor(timings: SwimTimings) {
    this.#timings = timings
  }

  has(suspect: NodeId): boolean {
    return this.#open.has(suspect)
  }

  /** Begins one in a cluster of `n` living members. */
  begin(suspect: NodeId, from: NodeId, n: number, now: number): void {
    const { suspicionMult, suspicionMaxMult, probeIntervalMs } = this.#timings
    const wanted = suspicionMult - 2
    // Neither this node nor the suspect can confirm: in a smaller cluster nobody is left who could.
    const k = n - 2 < wanted ? 0 : wanted
    const minMs = suspicionMinMs(this.#timings, n)
    this.#open.set(suspect, new Suspicion(from, now, k, minMs, minMs * suspicionMaxMult, probeIntervalMs))
    this.#nextAt = null
  }

  /** Counts an accuser, see {@link Suspicion.confirm}. */
  confirm(suspect: NodeId, from: NodeId): boolean {
    const isNew = this.#open.get(suspect)?.confirm(from) ?? false
    if (isNew) this.#nextAt = null
    return isNew
  }

  /** Another node gave the suspect up, see {@link Suspicion.conclude}. */
  conclude(suspect: NodeId, now: number): void {
    if (this.#open.get(suspect)?.conclude(now)) this.#nextAt = null
  }

  end(suspect: NodeId): void {
    if (this.#open.delete(suspect)) this.#nextAt = null
  }

  /** Suspects whose time is nearly over and whom this node has not looked at for it; each is named once. */
  toLookAt(now: number): NodeId[] {
    const out: NodeId[] = []
    if (this.deadline > now) return out
    for (const [id, suspicion] of this.#open) if (suspicion.takeLook(now)) out.push(id)
    this.#nextAt = null
    return out
  }

  /** Suspects whose time is over. */
  expired(now: number): NodeId[] {
    if (this.deadline > now) return []
    return [...this.#open].filter(([, suspicion]) => suspicion.deadline <= now).map(([id]) => id)
  }

  /** When something is due; Infinity if there is none. */
  get deadline(): number {
    if (this.#nextAt !== null) return this.#nextAt
    let next = Number.POSITIVE_INFINITY
    for (const suspicion of this.#open.values()) next = Math.min(next, suspicion.nextAt)
    this.#nextAt = next
    return next
  }

  /** This process stood still for `ms`: nobody may be given up for it. */
  shift(ms: number): void {
    for (const suspicion of this.#open.values()) suspicion.shift(ms)
    this.#nextAt = null
  }
}
