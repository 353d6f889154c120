import { type Coordinate, distanceS, isPlaced, isValidCoordinate } from './coordinate.ts'
import type { NodeId } from './types.ts'
import { Vivaldi } from './vivaldi.ts'

interface Heard {
  readonly coordinate: Coordinate
  /** When the node said so, on this node's clock. */
  readonly at: number
}

/** Where this node is, and where every other member was when it was last heard of. Holds members only: see `forget`. */
export class CoordinateBook {
  readonly #selfId: NodeId
  readonly #vivaldi: Vivaldi
  readonly #heard = new Map<NodeId, Heard>()
  #rejected = 0

  constructor(selfId: NodeId, random: () => number) {
    this.#selfId = selfId
    this.#vivaldi = new Vivaldi(random)
  }

  /** What this node says of itself. */
  get own(): Coordinate {
    return this.#vivaldi.coordinate
  }

  /** Coordinates and round trips that no node can have, so far. */
  get rejected(): number {
    return this.#rejected
  }

  /** The place of a node; null for one that is not known or measured nothing yet. */
  get(id: NodeId): Coordinate | null {
    const coordinate = id === this.#selfId ? this.own : this.#heard.get(id)?.coordinate
    return coordinate !== undefined && isPlaced(coordinate) ? coordinate : null
  }

  /** Estimated round trip between two nodes, in ms; null while one of their places is unknown. */
  rttMs(a: NodeId, b: NodeId): number | null {
    const [from, to] = [this.get(a), this.get(b)]
    if (!from || !to) return null
    return a === b ? 0 : distanceS(from, to) * 1000
  }

  /** The node itself answered after `rttMs`, and said where it is. Null: the time measures nothing. */
  answered(id: NodeId, coordinate: Coordinate, rttMs: number | null, now: number): void {
    if (!this.heard(id, coordinate, 0, now) || rttMs === null) return
    if (!this.#vivaldi.observe(id, coordinate, rttMs)) this.#rejected++
  }

  /** The node was there `ageMs` ago. The newest word counts. False if it was there never. */
  heard(id: NodeId, coordinate: Coordinate, ageMs: number, now: number): boolean {
    if (!isValidCoordinate(coordinate)) {
      this.#rejected++
      return false
    }
    const at = now - ageMs
    const known = this.#heard.get(id)
    if (id !== this.#selfId && (!known || known.at <= at)) this.#heard.set(id, { coordinate, at })
    return true
  }

  /** What a full exchange says of a node's place; undefined if it is not known. */
  entry(id: NodeId, now: number): { readonly coordinate: Coordinate; readonly ageMs: number } | undefined {
    if (id === this.#selfId) return { coordinate: this.own, ageMs: 0 }
    const heard = this.#heard.get(id)
    return heard && { coordinate: heard.coordinate, ageMs: Math.max(0, now - heard.at) }
  }

  /** The member is forgotten. */
  forget(id: NodeId): void {
    this.#heard.delete(id)
    this.#vivaldi.forget(id)
  }
}
