import type { PeerId } from '../mesh/types.ts'
import { compareVersions } from './delta.ts'
import type { Stamp } from './stamp.ts'
import type { RecordVersion } from './types.ts'

/** How long the news of a node that left or was forgotten is refused, in ms. */
export const GRAVE_KEPT_MS = 24 * 3_600_000
/** Nodes remembered that way; the oldest is forgotten first. */
export const GRAVES_MAX = 4096

interface Grave {
  readonly stamp: Stamp
  readonly until: number
}

/**
 * The last known version of each node that left or was forgotten. A node that comes back does so with a higher incarnation, so
 * whatever is of the same one or an older one is old news, from somebody who has not heard of the end.
 */
export class Graves {
  /** Oldest first. */
  readonly #graves = new Map<PeerId, Grave>()

  get size(): number {
    return this.#graves.size
  }

  /** `now`: monotonic ms. */
  bury(stamp: Stamp, now: number): void {
    const before = this.#graves.get(stamp.id)?.stamp
    const last = before && compareVersions(before, stamp) > 0 ? before : stamp
    this.#graves.delete(stamp.id)
    this.#graves.set(stamp.id, { stamp: last, until: now + GRAVE_KEPT_MS })
    for (const oldest of this.#graves.keys()) {
      if (this.#graves.size <= GRAVES_MAX) break
      this.#graves.delete(oldest)
    }
  }

  /** The stamp that this version of the node does not go beyond. */
  over(id: PeerId, version: RecordVersion): Stamp | undefined {
    const stamp = this.#graves.get(id)?.stamp
    return stamp && version.incarnation <= stamp.incarnation ? stamp : undefined
  }

  /** The node is back, with something newer. */
  open(id: PeerId): void {
    this.#graves.delete(id)
  }

  /** Forgets what is old enough. */
  prune(now: number): void {
    for (const [id, { until }] of this.#graves) if (until <= now) this.#graves.delete(id)
  }
}
