import { createHash } from 'node:crypto'
import { record } from '../client-command.ts'

/** What was seen and not told yet. */
export interface News {
  add(value: unknown): void
  /** What there is to tell, which counts as told from now on; undefined if nothing. */
  take(): unknown
}

/** Events that wait for a command that runs; more than an agent keeps. */
const EVENTS_MAX = 1024
const IDS_MAX = 4096
/** Change without a change of what they belong to, and start anew with the agent. */
const INDEXES: ReadonlySet<string> = new Set(['CreateIndex', 'ModifyIndex'])

/** Something that is one way or another: the latest counts, if it is not as it was told before. */
export class StateNews implements News {
  #told = ''
  #latest: unknown

  add(value: unknown): void {
    this.#latest = value
  }

  take(): unknown {
    const hash = contentHash(this.#latest)
    if (hash === this.#told) return undefined
    this.#told = hash
    return this.#latest
  }
}

/** Things that happened: each counts once. */
export class EventNews implements News {
  readonly #seen = new Set<string>()
  /** Take the first list for known. */
  #skip: boolean
  #pending: unknown[] = []

  constructor({ newOnly }: { readonly newOnly: boolean }) {
    this.#skip = newOnly
  }

  add(value: unknown): void {
    const listed = Array.isArray(value) ? value : []
    for (const event of listed) {
      const id = String(record(event).ID)
      if (this.#seen.has(id)) continue
      this.#seen.add(id)
      if (!this.#skip) this.#pending.push(event)
    }
    this.#skip = false
    this.#pending = this.#pending.slice(-EVENTS_MAX)
    for (const oldest of this.#seen) {
      if (this.#seen.size <= IDS_MAX) break
      this.#seen.delete(oldest)
    }
  }

  take(): unknown {
    if (this.#pending.length === 0) return undefined
    const told = this.#pending
    this.#pending = []
    return told
  }
}

function contentHash(value: unknown): string {
  const text = JSON.stringify(value, (name, each: unknown) =>
    INDEXES.has(name) && typeof each === 'number' ? undefined : each,
  )
  return createHash('sha256')
    .update(text ?? '')
    .digest('base64')
}
