import { createHash } from 'node:crypto'
import type { Fields } from '../client-command.ts'
import { parseExact } from '../exact-json.ts'
import { EventStreamError, type StreamEvent } from './event-stream.ts'

/** A key that got another content, or went away. */
export interface Change {
  readonly event: 'put' | 'delete'
  readonly key: string
  /** The entry as in /v1/kv, or `{Key, Index}` of a deletion. */
  readonly fields: Fields
}

/** What an event of the stream means. */
export interface Step {
  readonly changes: readonly Change[]
  /** Everything there was at the start has been seen. */
  readonly ready: boolean
  /** Why the stream began anew, if it did. */
  readonly reset: string | null
}

const NOTHING: Step = { changes: [], ready: false, reset: null }

/**
 * Follows the stream of `GET /api/v1/kv/watch` and says what changed. When the stream begins anew (the first time, after a
 * reset, or because a listing was cut off) everything is sent again; then only what differs from before counts, and what is
 * no longer there counts as deleted.
 */
export class KeyChanges {
  readonly #only: string | null
  /** A hash of the content by key. */
  readonly #known = new Map<string, string>()
  /** Keys seen in the listing that is under way; null outside of one. */
  #listed: Set<string> | null = null

  /** @param only the one key of interest; null = every key the stream tells of. */
  constructor(only: string | null) {
    this.#only = only
  }

  /** A stream begins. @param resumed it goes on where the last one ended, instead of listing everything. */
  begin(resumed: boolean): void {
    this.#listed = resumed ? null : new Set()
  }

  /** Takes one event. @throws EventStreamError when it is none of this stream. Unknown types of events mean nothing. */
  take({ type, data }: StreamEvent): Step {
    switch (type) {
      case 'put':
        return { ...NOTHING, changes: this.#put(fieldsOf(data)) }
      case 'delete':
        return { ...NOTHING, changes: this.#delete(fieldsOf(data)) }
      case 'ready':
        return { ...NOTHING, changes: this.#endListing(fieldsOf(data).Index), ready: true }
      case 'reset':
        this.begin(false)
        return { ...NOTHING, reset: String(fieldsOf(data).Reason ?? 'no reason given') }
      default:
        return NOTHING
    }
  }

  #put(fields: Fields): readonly Change[] {
    const key = keyOf(fields)
    if (!this.#wants(key)) return []
    const hash = contentHash(fields)
    const listing = this.#listed !== null
    this.#listed?.add(key)
    const same = this.#known.get(key) === hash
    this.#known.set(key, hash)
    return listing && same ? [] : [{ event: 'put', key, fields }]
  }

  #delete(fields: Fields): readonly Change[] {
    const key = keyOf(fields)
    if (!this.#wants(key) || !this.#known.delete(key)) return []
    return [{ event: 'delete', key, fields }]
  }

  #endListing(index: unknown): readonly Change[] {
    const listed = this.#listed
    if (listed === null) return []
    this.#listed = null
    const gone = [...this.#known.keys()].filter((key) => !listed.has(key))
    for (const key of gone) this.#known.delete(key)
    return gone.map((key) => ({ event: 'delete', key, fields: { Key: key, Index: index } }))
  }

  #wants(key: string): boolean {
    return this.#only === null || key === this.#only
  }
}

/** What a reader of a key may act on: value, flags and who holds it. Indexes alone are no change. */
export function contentHash({ Value, Flags, Session }: Fields): string {
  return createHash('sha256')
    .update(JSON.stringify([Value, Flags, Session ?? null]))
    .digest('base64')
}

/** The change as one line of JSON. */
export function changeLine({ event, fields }: Change): string {
  return JSON.stringify({ Event: event, ...fields })
}

function keyOf({ Key: key }: Fields): string {
  if (typeof key !== 'string') throw new EventStreamError('an event of the stream names no key')
  return key
}

function fieldsOf(data: string): Fields {
  let parsed: unknown
  try {
    parsed = parseExact(data)
  } catch {
    parsed = null
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw new EventStreamError('an event of the stream is no JSON object')
  }
  return parsed as Fields
}
