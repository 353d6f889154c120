import type { Logger } from 'pino'
import type { ClusterEventType } from './event-types.ts'

/** Something that happened. */
export interface ClusterEvent {
  /** Counts the events of this run of the agent from 1. */
  readonly sequence: number
  readonly type: ClusterEventType
  /** Wall clock of this node, RFC 3339; for people. */
  readonly time: string
  readonly data: Readonly<Record<string, unknown>>
}

/** Events that are remembered. */
export const EVENTS_KEPT = 1024

/** The latest events of the cluster as this node saw them, and who is told of the next. Nothing of it outlives the agent. */
export class ClusterEventLog {
  readonly #wall: () => number
  readonly #log: Logger
  readonly #listeners = new Set<() => void>()
  #events: ClusterEvent[] = []
  #sequence = 0

  constructor(collaborators: { readonly wall: () => number; readonly log: Logger }) {
    this.#wall = collaborators.wall
    this.#log = collaborators.log
  }

  /** Sequence of the newest event; 0 before the first. */
  get sequence(): number {
    return this.#sequence
  }

  add(type: ClusterEventType, data: ClusterEvent['data']): void {
    this.#sequence++
    this.#events.push({
      sequence: this.#sequence,
      type,
      time: new Date(this.#wall()).toISOString(),
      data,
    })
    // Cut off in pieces: each cut costs what is left.
    if (this.#events.length >= 2 * EVENTS_KEPT) this.#events = this.#events.slice(-EVENTS_KEPT)
    for (const listener of [...this.#listeners]) {
      try {
        listener()
      } catch (error) {
        this.#log.error({ err: error }, 'a listener of cluster events failed')
      }
    }
  }

  /** Up to `limit` events behind a sequence, in order. Null if those that follow it are not all remembered. */
  after(sequence: number, limit: number): readonly ClusterEvent[] | null {
    const kept = this.#events.slice(-EVENTS_KEPT)
    const first = kept[0]?.sequence ?? this.#sequence + 1
    if (sequence > this.#sequence || sequence < first - 1) return null
    return kept.slice(sequence - first + 1, sequence - first + 1 + limit)
  }

  /** The newest events, in order. */
  latest(limit: number): readonly ClusterEvent[] {
    return limit <= 0 ? [] : this.#events.slice(-Math.min(limit, EVENTS_KEPT))
  }

  /** Fires after each event. Returns the way to stop. */
  onEvent(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
}
