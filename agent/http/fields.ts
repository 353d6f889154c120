import { formatGoDuration, parseGoDuration } from '../../discovery/health/duration.ts'
import { badRequest } from './errors.ts'

const NANOSECONDS_PER_MS = 1e6

/**
 * The fields of a JSON object as Consul reads them: names in any case and with or without underscores (an exact match
 * wins, of several others the last), null the same as absent, unknown names ignored.
 * Every reader throws HttpError 400 `Request decode failed: …` for a value of the wrong type, and for text that is not valid
 * Unicode: it has no UTF-8, so no request could name it again.
 */
export class Fields {
  readonly #exact: ReadonlyMap<string, unknown>
  readonly #folded: ReadonlyMap<string, unknown>

  constructor(value: unknown, what: string) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw decodeFailed(`${what} must be an object`)
    }
    const entries = Object.entries(value).filter(([, field]) => field !== null)
    this.#exact = new Map(entries)
    this.#folded = new Map(entries.map(([name, field]) => [foldName(name), field]))
  }

  /** True if nothing is set: every value is absent, empty, zero or false. */
  get empty(): boolean {
    return [...this.#exact.values()].every(isZero)
  }

  /** True if one of the names is there with a value that is not empty, zero or false. */
  has(...names: string[]): boolean {
    return names.some((name) => !isZero(this.#get(name)))
  }

  /** True if the name is there with any value but null, an empty or zero one included. */
  isPresent(name: string): boolean {
    return this.#get(name) !== undefined
  }

  /** The value as it was decoded; undefined if absent. */
  value(name: string): unknown {
    return this.#get(name)
  }

  /** The first of the names that is set; "" for none. */
  string(...names: string[]): string {
    for (const name of names) {
      const value = this.#get(name)
      if (value === undefined || value === '') continue
      if (typeof value !== 'string') throw decodeFailed(`${name} must be a string`)
      return unicode(value, name)
    }
    return ''
  }

  /** As `string`, for what a program says to people: what is not valid Unicode in it becomes U+FFFD. */
  prose(name: string): string {
    const value = this.#get(name) ?? ''
    if (typeof value !== 'string') throw decodeFailed(`${name} must be a string`)
    return value.toWellFormed()
  }

  integer(name: string): number | undefined {
    const value = this.#get(name)
    if (value === undefined) return undefined
    if (!Number.isSafeInteger(value)) throw decodeFailed(`${name} must be a whole number`)
    return value as number
  }

  boolean(name: string): boolean {
    const value = this.#get(name) ?? false
    if (typeof value !== 'boolean') throw decodeFailed(`${name} must be true or false`)
    return value
  }

  strings(name: string): readonly string[] {
    const value = this.#get(name) ?? []
    if (!Array.isArray(value) || !value.every((item) => typeof item === 'string')) {
      throw decodeFailed(`${name} must be a list of strings`)
    }
    for (const item of value) unicode(item, name)
    return value
  }

  /** An object of strings. */
  stringMap(name: string): Readonly<Record<string, string>> {
    const map = this.#entries(name)
    for (const [key, value] of map) {
      if (typeof value !== 'string') throw decodeFailed(`${name}.${key} must be a string`)
      unicode(value, `${name}.${key}`)
    }
    return Object.fromEntries(map) as Record<string, string>
  }

  /** An object of lists of strings; a single string counts as a list of one. */
  stringLists(name: string): Readonly<Record<string, readonly string[]>> {
    return Object.fromEntries(
      this.#entries(name).map(([key, value]) => {
        const list: unknown[] = Array.isArray(value) ? value : [value]
        if (!list.every((item) => typeof item === 'string')) {
          throw decodeFailed(`${name}.${key} must be a list of strings`)
        }
        for (const item of list) unicode(item, `${name}.${key}`)
        return [key, list]
      }),
    )
  }

  /** An object of objects, in order. */
  objectMap(name: string): readonly (readonly [string, Fields])[] {
    return this.#entries(name).map(([key, value]) => [key, new Fields(value, `${name}.${key}`)] as const)
  }

  object(name: string): Fields | undefined {
    const value = this.#get(name)
    return value === undefined ? undefined : new Fields(value, name)
  }

  objects(name: string): readonly Fields[] {
    const value = this.#get(name) ?? []
    if (!Array.isArray(value)) throw decodeFailed(`${name} must be a list`)
    return value.filter((item) => item !== null).map((item) => new Fields(item, name))
  }

  /** A duration in milliseconds: Go text ("15.0s") or a number of nanoseconds; undefined if absent, empty or zero. */
  durationMs(name: string): number | undefined {
    const value = this.#get(name)
    if (value === undefined || value === '') return undefined
    let ms: number
    try {
      ms = typeof value === 'string' ? parseGoDuration(value) : numberOf(value) / NANOSECONDS_PER_MS
    } catch {
      throw decodeFailed(`${name} must be a duration such as "10s"`)
    }
    return ms === 0 ? undefined : ms
  }

  /** A duration as text: the one it was given as, or that of the number of nanoseconds; "" if absent. */
  durationText(name: string): string {
    const value = this.#get(name)
    const ms = this.durationMs(name) ?? 0
    if (typeof value !== 'number') return this.string(name)
    if (Math.abs(value) > Number.MAX_SAFE_INTEGER) throw decodeFailed(`${name} is too long a duration`)
    return formatGoDuration(ms)
  }

  #get(name: string): unknown {
    return this.#exact.has(name) ? this.#exact.get(name) : this.#folded.get(foldName(name))
  }

  #entries(name: string): readonly (readonly [string, unknown])[] {
    const value = this.#get(name) ?? {}
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw decodeFailed(`${name} must be an object`)
    }
    const entries = Object.entries(value).filter(([, field]) => field !== null)
    for (const [key] of entries) unicode(key, name)
    return entries
  }
}

function unicode(text: string, name: string): string {
  if (text.isWellFormed()) return text
  throw decodeFailed(`${name} is not valid Unicode: it holds half of a surrogate pair`)
}

function decodeFailed(reason: string): Error {
  return badRequest(`Request decode failed: ${reason}`)
}

/** The name of a field without what does not count in it: case and underscores. */
export function foldName(name: string): string {
  return name.toLowerCase().replaceAll('_', '')
}

function numberOf(value: unknown): number {
  if (typeof value !== 'number' || !Number.isFinite(value)) throw new TypeError('not a number')
  return value
}

function isZero(value: unknown): boolean {
  if (value === undefined || value === null || value === '' || value === 0 || value === false) return true
  return typeof value === 'object' && Object.keys(value).length === 0
}
