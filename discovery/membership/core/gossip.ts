import { type BroadcastQueue, retransmitLimit } from './broadcast-queue.ts'
import type { Links } from './links.ts'
import type { MemberTable } from './member-table.ts'
import { isLive } from './roster.ts'
import type { CoreContext, NodeId, Update } from './types.ts'

/** What news goes with each message, and the messages that carry nothing else (SWIM §4.1). */
export class Gossip {
  readonly #ctx: CoreContext
  readonly #queue: BroadcastQueue
  readonly #table: MemberTable
  readonly #links: Links
  #lastAt: number

  constructor(
    now: number,
    ctx: CoreContext,
    parts: { readonly queue: BroadcastQueue; readonly table: MemberTable; readonly links: Links },
  ) {
    this.#lastAt = now
    this.#ctx = ctx
    this.#queue = parts.queue
    this.#table = parts.table
    this.#links = parts.links
  }

  /** News for a message to `to`: first what it must refute itself, then what is said about `about`, then the queue. */
  news(to: NodeId, now: number, about?: NodeId): Update[] {
    const first: Update[] = []
    for (const id of about === undefined ? [to] : [to, about]) {
      const verdict = this.#table.verdictOn(id, now)
      if (verdict) first.push(verdict)
    }
    const { updatesBytesMax, retransmitMult } = this.#ctx.timings
    return first.concat(
      this.#queue.take(updatesBytesMax, retransmitLimit(retransmitMult, this.#table.liveCount)),
    )
  }

  /** Tells some members what is in the queue, if it is time. */
  tick(now: number): void {
    const { gossipNodes, gossipToDeadMs } = this.#ctx.timings
    if (now < this.deadline) return
    this.#lastAt = now
    const targets = this.#links.pick(
      gossipNodes,
      (m, since) =>
        (isLive(m) && this.#links.keeps(m.id)) || (m.status === 'failed' && now - since <= gossipToDeadMs),
    )
    // Whoever is lost is suspected, and whoever connects then compares everything: without anybody to tell, there is nothing to keep.
    if (targets.length === 0) this.#queue.clear()
    for (const { id } of targets) {
      const updates = this.news(id, now)
      if (updates.length > 0) this.#ctx.emit({ type: 'send', to: id, message: { type: 'gossip', updates } })
    }
  }

  /** When `tick` has something to do; Infinity while there is no news. */
  get deadline(): number {
    return this.#queue.size > 0 ? this.#lastAt + this.#ctx.timings.gossipIntervalMs : Number.POSITIVE_INFINITY
  }
}
