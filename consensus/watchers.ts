import type { WatchSelector } from './client.ts'
import type { Changes } from './state/state-machine.ts'

type Listener = () => void

function add(map: Map<string, Set<Listener>>, key: string, listener: Listener): () => void {
  const listeners = map.get(key) ?? new Set()
  map.set(key, listeners)
  listeners.add(listener)
  return () => {
    listeners.delete(listener)
    if (listeners.size === 0) map.delete(key)
  }
}

/**
 * Who waits for which change. Finding whom a changed key concerns costs a look for each length of the watched prefixes,
 * however long the key is and however many watchers there are.
 * A listener that throws is reported and harms neither the others nor the node.
 */
export class Watchers {
  readonly #onError: (error: unknown) => void
  readonly #keys = new Map<string, Set<Listener>>()
  readonly #prefixes = new Map<string, Set<Listener>>()
  /** How many watches have a prefix of this length. */
  readonly #prefixLengths = new Map<number, number>()
  readonly #sessions = new Map<string, Set<Listener>>()

  constructor(onError: (error: unknown) => void) {
    this.#onError = onError
  }

  watch(selector: WatchSelector, listener: Listener): () => void {
    // A wrapper per call: the same function may watch twice and stop once.
    const own = () => listener()
    if (selector.kind === 'key') return add(this.#keys, selector.key, own)
    if (selector.kind === 'prefix') return this.#watchPrefix(selector.prefix, own)
    return add(this.#sessions, '', own)
  }

  #watchPrefix(prefix: string, listener: Listener): () => void {
    const stop = add(this.#prefixes, prefix, listener)
    const count = (by: number) => {
      const left = (this.#prefixLengths.get(prefix.length) ?? 0) + by
      if (left > 0) this.#prefixLengths.set(prefix.length, left)
      else this.#prefixLengths.delete(prefix.length)
    }
    count(1)
    let isOver = false
    return () => {
      if (isOver) return
      isOver = true
      stop()
      count(-1)
    }
  }

  /** Number of watches, for metrics. */
  get size(): number {
    let size = 0
    for (const map of [this.#keys, this.#prefixes, this.#sessions])
      for (const set of map.values()) size += set.size
    return size
  }

  /** Calls every listener concerned, each once. */
  notify(changes: Changes): void {
    const concerned = new Set<Listener>()
    for (const key of changes.keys) {
      for (const listener of this.#keys.get(key) ?? []) concerned.add(listener)
      for (const length of this.#prefixLengths.keys()) {
        if (length > key.length) continue
        for (const listener of this.#prefixes.get(key.slice(0, length)) ?? []) concerned.add(listener)
      }
    }
    if (changes.sessions) for (const listener of this.#sessions.get('') ?? []) concerned.add(listener)
    this.#call(concerned)
  }

  /** Calls everybody: the state was replaced. */
  notifyAll(): void {
    const all = [...this.#keys.values(), ...this.#prefixes.values(), ...this.#sessions.values()].flatMap(
      (set) => [...set],
    )
    this.#call(all)
  }

  #call(listeners: Iterable<Listener>): void {
    for (const listener of listeners) {
      try {
        listener()
      } catch (error) {
        this.#onError(error)
      }
    }
  }
}
