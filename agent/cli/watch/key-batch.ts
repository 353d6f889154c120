import { type Change, changeLine, contentHash } from './changes.ts'
import type { CommandInput } from './command-runner.ts'

/**
 * Changes of keys that a command was not told yet: of several changes of a key the last one counts, and none if they left it
 * as it was.
 */
export class KeyBatch {
  #pending = new Map<string, Change>()
  /** Hash of the content by key that the command was told. */
  readonly #told = new Map<string, string>()

  add(changes: readonly Change[]): void {
    for (const change of changes) this.#pending.set(change.key, change)
  }

  /** The batch, one line of JSON per key; from now on the command knows it. Null if there is nothing new. */
  take(): CommandInput | null {
    const batch = [...this.#pending.values()].filter((change) => this.#isNews(change))
    this.#pending = new Map()
    return batch.length === 0 ? null : { input: batch.map((change) => `${changeLine(change)}\n`).join('') }
  }

  /** Whether the command knows the key otherwise; from now on it knows it like this. */
  #isNews({ event, key, fields }: Change): boolean {
    if (event === 'delete') return this.#told.delete(key)
    const hash = contentHash(fields)
    if (this.#told.get(key) === hash) return false
    this.#told.set(key, hash)
    return true
  }
}
