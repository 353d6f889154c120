/** A body that several replies send. */
export interface SharedRender {
  readonly text: string
  readonly bytes: Buffer
}

/** Bounds of what is kept. */
export interface SharedRendersOptions {
  /** How long a body may be sent again. Milliseconds. */
  readonly keptMs: number
  /** Bodies kept at once. */
  readonly entriesMax: number
  /** Of all of them together; a body that is longer than this is not kept. Bytes. */
  readonly bytesMax: number
  /** A clock that never goes back. Milliseconds. */
  readonly now: () => number
}

interface Entry extends SharedRender {
  readonly index: number
  readonly madeAt: number
}

/** What the server keeps: of each list the last, for as long as a wave of answers takes. */
export const SHARED_RENDERS = { keptMs: 1_000, entriesMax: 256, bytesMax: 32 * 1024 * 1024 } as const

/** No part of what is answered: when, and by whom. */
const IMMATERIAL = [
  'index',
  'wait',
  'stale',
  'consistent',
  'cached',
  'max_stale',
  'token',
  'dc',
  'datacenter',
]

/**
 * Bodies of catalogue reads, so that those who wait for the same list share one rendering and its memory: a hundred clients of
 * a list of 15,000 checks would otherwise hold up everything else for half a minute each time one of the checks turns.
 */
export class SharedRenders {
  readonly #options: SharedRendersOptions
  readonly #entries = new Map<string, Entry>()
  #bytes = 0

  constructor(options: SharedRendersOptions) {
    this.#options = options
  }

  /** The body of this URL as of `index`, which rises with every change. `render` makes it unless it was just made. */
  get(url: string, index: number, render: () => string): SharedRender {
    const key = material(url)
    const now = this.#options.now()
    const known = this.#entries.get(key)
    if (known !== undefined && known.index === index && now - known.madeAt < this.#options.keptMs)
      return known
    const text = render()
    const entry = { text, bytes: Buffer.from(text), index, madeAt: now }
    this.#keep(key, entry)
    return entry
  }

  #keep(key: string, entry: Entry): void {
    this.#forget(key)
    if (entry.bytes.length > this.#options.bytesMax) return
    this.#entries.set(key, entry)
    this.#bytes += entry.bytes.length
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= this.#options.entriesMax && this.#bytes <= this.#options.bytesMax) break
      this.#forget(oldest)
    }
  }

  #forget(key: string): void {
    this.#bytes -= this.#entries.get(key)?.bytes.length ?? 0
    this.#entries.delete(key)
  }
}

/** The URL without what does not change its answer. */
function material(url: string): string {
  const at = url.indexOf('?')
  if (at < 0) return url
  const params = new URLSearchParams(url.slice(at + 1))
  for (const name of IMMATERIAL) params.delete(name)
  return params.size === 0 ? url.slice(0, at) : `${url.slice(0, at)}?${params}`
}
