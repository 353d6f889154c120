import type { PeerId } from '../mesh/types.ts'
import { compareVersions } from './delta.ts'
import type { DigestEntry } from './digest.ts'

const REFUSED_MAX = 256

/**
 * Versions that their owners have signed and that cannot be taken, such as a record that is too large: not asked for again at
 * every comparison, until there is a newer one.
 */
export class Refused {
  /** Oldest first. */
  readonly #versions = new Map<PeerId, DigestEntry>()

  add({ id, incarnation, sequence }: DigestEntry): void {
    this.#versions.delete(id)
    this.#versions.set(id, { id, incarnation, sequence })
    for (const oldest of this.#versions.keys()) {
      if (this.#versions.size <= REFUSED_MAX) break
      this.#versions.delete(oldest)
    }
  }

  wants(version: DigestEntry): boolean {
    const refused = this.#versions.get(version.id)
    return !refused || compareVersions(version, refused) > 0
  }
}
