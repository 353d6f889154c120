import type { NodeId, Update } from './types.ts'

interface Broadcast {
  readonly update: Update
  /** Order of arrival; a later one is newer. */
  readonly order: number
  /** 0: not measured yet. Most updates of a large exchange are never sent. */
  bytes: number
  transmits: number
}

/** No update is shorter than this as JSON: less room than this need not be filled. */
const UPDATE_BYTES_MIN = 40

/** How often one update is sent by each node: mult × ceil(log10(n + 1)). */
export function retransmitLimit(mult: number, n: number): number {
  return mult * Math.ceil(Math.log10(n + 1))
}

/**
 * News waiting to be piggybacked. Holds at most one update per member (the last one wins), so it is bounded by the
 * number of members. The least sent go first, among those the newest.
 */
export class BroadcastQueue {
  readonly #items = new Map<NodeId, Broadcast>()
  /** By how often they were sent; each in order of arrival. */
  readonly #levels: Broadcast[][] = []
  #order = 0

  get size(): number {
    return this.#items.size
  }

  /** Queues an update; an older one about the same member is dropped. */
  push(update: Update): void {
    this.drop(update.id)
    const item: Broadcast = { update, bytes: 0, order: this.#order++, transmits: 0 }
    this.#items.set(update.id, item)
    this.#insert(item)
  }

  /** Takes back what is queued about a member that is forgotten. */
  drop(id: NodeId): void {
    const item = this.#items.get(id)
    if (!item) return
    this.#items.delete(id)
    this.#remove(item)
  }

  clear(): void {
    this.#items.clear()
    this.#levels.length = 0
  }

  /** Updates for one message of at most `bytesMax`, counted as sent; those sent `limit` times leave the queue. */
  take(bytesMax: number, limit: number): Update[] {
    if (this.#items.size === 0) return []
    const chosen = this.#choose(bytesMax)
    for (const item of chosen) {
      this.#remove(item)
      item.transmits++
      if (item.transmits >= limit) this.#items.delete(item.update.id)
      else this.#insert(item)
    }
    return chosen.map(({ update }) => update)
  }

  #choose(bytesMax: number): Broadcast[] {
    const chosen: Broadcast[] = []
    let room = bytesMax
    for (const level of this.#levels) {
      for (let i = level.length - 1; i >= 0; i--) {
        if (room < UPDATE_BYTES_MIN) return chosen
        const item = level[i] as Broadcast
        if (item.bytes === 0) item.bytes = JSON.stringify(item.update).length
        if (item.bytes > room) continue
        room -= item.bytes
        chosen.push(item)
      }
    }
    return chosen
  }

  #insert(item: Broadcast): void {
    while (this.#levels.length <= item.transmits) this.#levels.push([])
    const level = this.#levels[item.transmits] as Broadcast[]
    level.splice(placeOf(level, item.order), 0, item)
  }

  #remove(item: Broadcast): void {
    const level = this.#levels[item.transmits] as Broadcast[]
    level.splice(placeOf(level, item.order), 1)
  }
}

/** Where in a list that is sorted by `order` the item with this one is, or belongs. */
function placeOf(level: readonly Broadcast[], order: number): number {
  let low = 0
  let high = level.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((level[middle] as Broadcast).order < order) low = middle + 1
    else high = middle
  }
  return low
}
