import type { CommandResult } from './types.ts'

/** Proposers remembered at most; the one that was silent longest goes first. */
const ORIGINS_MAX = 1024

interface Origin {
  acknowledged: number
  lastIndex: number
  readonly results: Map<number, CommandResult>
}

/** One proposer in a snapshot. */
export interface OriginRecord {
  readonly origin: string
  readonly acknowledged: number
  readonly lastIndex: number
  readonly results: readonly (readonly [number, CommandResult])[]
}

/** Drops the results below `acknowledged`, in as many steps as there are: most of the time one. */
function forget(entry: Origin, acknowledged: number): void {
  if (acknowledged - entry.acknowledged <= entry.results.size) {
    for (let known = entry.acknowledged; known < acknowledged; known++) entry.results.delete(known)
  } else {
    for (const known of entry.results.keys()) if (known < acknowledged) entry.results.delete(known)
  }
  entry.acknowledged = acknowledged
}

/**
 * Results of proposals whose proposer may ask again, so that a repeated proposal is applied once and answered the same
 * (thesis §6.3, catalogue B28). Part of the replicated state: the same on every node.
 */
export class Deduplication {
  readonly #origins = new Map<string, Origin>()

  /** The result of an earlier application, or undefined if the proposal is new. */
  find(origin: string, sequence: number): CommandResult | undefined {
    return this.#origins.get(origin)?.results.get(sequence)
  }

  /** True if the proposer said that it has this result, so it cannot be asking for it: a stray copy. */
  isSettled(origin: string, sequence: number): boolean {
    return sequence < (this.#origins.get(origin)?.acknowledged ?? 0)
  }

  record(origin: string, sequence: number, acknowledged: number, result: CommandResult): void {
    const entry = this.#origins.get(origin) ?? { acknowledged: 0, lastIndex: 0, results: new Map() }
    // Re-inserting keeps the map ordered by last use.
    this.#origins.delete(origin)
    this.#origins.set(origin, entry)
    entry.lastIndex = result.index
    entry.results.set(sequence, result)
    if (acknowledged > entry.acknowledged) forget(entry, acknowledged)
    if (this.#origins.size > ORIGINS_MAX) {
      const oldest = this.#origins.keys().next().value
      if (oldest !== undefined) this.#origins.delete(oldest)
    }
  }

  records(): OriginRecord[] {
    return [...this.#origins].map(([origin, { acknowledged, lastIndex, results }]) => ({
      origin,
      acknowledged,
      lastIndex,
      results: [...results],
    }))
  }

  restore(record: OriginRecord): void {
    const { origin, acknowledged, lastIndex, results } = record
    this.#origins.set(origin, { acknowledged, lastIndex, results: new Map(results) })
  }
}
