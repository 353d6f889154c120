import { setTimeout as delay } from 'node:timers/promises'
import type { Call, Operation } from '../linearizability/history.ts'
import type { Random } from '../sim/random.ts'
import { perform } from './kv-client.ts'
import type { Place } from './nodes.ts'

/** A key is given up for a new one after so many operations, so that each history stays quick to check. */
const OPERATIONS_PER_KEY = 400
const KEYS = 4
const CLIENTS_PER_NODE = 3
const THINK_MS = 20
/** Wait after a refusal, so that a node that is down is not asked in a tight loop. */
const REFUSED_MS = 100
/** A paused or deaf node would otherwise collect a client with an unknown outcome every few milliseconds. */
const UNKNOWN_MS = 300

/** How operations ended. */
export interface Counts {
  ok: number
  failed: number
  unknown: number
}

/** Clients on every node that read and write a few keys at once and record all of it. */
export class Workload {
  readonly counts: Counts = { ok: 0, failed: 0, unknown: 0 }
  /** When each node last answered. */
  readonly lastOkAt = new Map<string, number>()
  /** Answers that were neither success nor a known refusal, by their text. */
  readonly notes = new Map<string, number>()
  readonly #places: readonly Place[]
  readonly #random: Random
  readonly #round: string
  #stop = new AbortController()
  #clients: Promise<void>[] = []
  #history: Operation[] = []
  readonly #keys: { name: string; operations: number }[] = []
  #keysMade = 0
  #values = 0

  constructor(places: readonly Place[], random: Random, round: string) {
    this.#places = places
    this.#random = random
    this.#round = round
    for (let i = 0; i < KEYS; i++) this.#keys.push({ name: this.#newKey(), operations: 0 })
  }

  /** Key that stays for the whole round and is watched. */
  get watchedKey(): string {
    return `${this.#round}/watched`
  }

  get history(): readonly Operation[] {
    return this.#history
  }

  /** Adds what others did to the keys. */
  record(operation: Operation): void {
    this.#history.push(operation)
  }

  start(): void {
    this.#clients = this.#places.flatMap((place) =>
      Array.from({ length: CLIENTS_PER_NODE }, (_, i) => this.#run(place, `${place.name}.${i}`)),
    )
  }

  /** Resolves when the last operation has ended. */
  async stop(): Promise<void> {
    this.#stop.abort()
    await Promise.all(this.#clients)
  }

  #newKey(): string {
    return `${this.#round}/${String(this.#keysMade++).padStart(4, '0')}`
  }

  async #run(place: Place, name: string): Promise<void> {
    const seen = new Map<string, number>()
    const random = this.#random
    // A client whose last call has an unknown outcome is another one from then on.
    for (let life = 0; !this.#stop.signal.aborted; ) {
      const key = this.#drawKey()
      const call = this.#drawCall(seen.get(key) ?? 0)
      const consistent = call.f === 'get' && random.chance(0.3) ? 'consistent' : ''
      const target = { port: place.agent.ports.http, node: place.agent.name, client: `${name}.${life}` }
      const operation = await perform(target, key, call, consistent)
      this.#count(operation)
      this.#history.push(operation)
      const { outcome, output } = operation
      if (output?.kind === 'entry') seen.set(key, output.version)
      if (output?.kind === 'absent') seen.delete(key)
      if (outcome === 'unknown') life++
      const pauseMs =
        outcome === 'ok' ? random.exponential(THINK_MS) : outcome === 'failed' ? REFUSED_MS : UNKNOWN_MS
      await delay(pauseMs, undefined, { signal: this.#stop.signal }).catch(() => {})
    }
  }

  #count({ outcome, note, node, returnedAt }: Operation): void {
    this.counts[outcome]++
    if (outcome === 'ok') this.lastOkAt.set(node, returnedAt)
    if (note !== undefined) this.notes.set(note, (this.notes.get(note) ?? 0) + 1)
  }

  #drawKey(): string {
    const random = this.#random
    if (random.chance(0.08)) return this.watchedKey
    const key = random.pick(this.#keys)
    if (++key.operations > OPERATIONS_PER_KEY) {
      key.name = this.#newKey()
      key.operations = 1
    }
    return key.name
  }

  #drawCall(version: number): Call {
    const drawn = this.#random.next()
    const value = () => `v${++this.#values}`
    if (drawn < 0.4) return { f: 'get' }
    if (drawn < 0.6) return { f: 'put', value: value() }
    if (drawn < 0.87) return { f: 'cas', value: value(), version }
    if (drawn < 0.93 || version === 0) return { f: 'delete' }
    return { f: 'delete-cas', version }
  }
}
