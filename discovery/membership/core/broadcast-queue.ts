import type { NodeId, Update } from './types.ts'

interface Broadcast {
  readonly update: Update
  readonly bytes: number
  /** Order of arrival; a later one is newer. */
  readonly order: number
  transmits: number
}

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
  #order = 0

  get size(): number {
    return this.#items.size
  }

  /** Queues an update; an older one about the same member is dropped. */
  push(update: Update): void {
    this.#items.set(update.id, {
      update,
      bytes: JSON.stringify(update).length,
      order: this.#order++,
      transmits: 0,
    })
  }

  /** Takes back what is queued about a member that is forgotten. */
  drop(id: NodeId): void {
    this.#items.delete(id)
  }

  clear(): void {
    this.#items.clear()
  }

  /** Updates for one message of at most `bytesMax`, counted as sent; those sent `limit` times leave the queue. */
  take(bytesMax: number, limit: number): Update[] {
    const sorted = [...this.#items.values()].sort((a, b) => a.transmits - b.transmits || b.order - a.order)
    const out: Update[] = []
    let bytes = 0
    for (const item of sorted) {
      if (bytes + item.bytes > bytesMax) continue
      bytes += item.bytes
      out.push(item.update)
      item.transmits++
      if (item.transmits >= limit) this.#items.delete(item.update.id)
    }
    return out
  }
}
