import type { CommandResult } from './types.ts'

/** Proposers remembered at most; the one that was silent longest goes first. */
const ORIGINS_MAX = 1024
/** A record of a snapshot holds results up to about this size and one more, so that it fits a network frame. */
const RECORD_BYTES = 1 << 20
const RESULT_OVERHEAD_BYTES = 128

interface Origin {
  acknowledged: number
  lastIndex: number
  readonly results: Map<number, CommandResult>
}

/** One proposer in a snapshot, with all of its results or a part of them. */
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
    return [...this.#origins].flatMap(([origin, { acknowledged, lastIndex, results }]) =>
      inParts([...results]).map((part) => ({ origin, acknowledged, lastIndex, results: part })),
    )
  }

  restore(record: OriginRecord): void {
    const { origin, acknowledged, lastIndex } = record
    const results = this.#origins.get(origin)?.results ?? new Map<number, CommandResult>()
    for (const [sequence, result] of record.results) results.set(sequence, result)
    this.#origins.set(origin, { acknowledged, lastIndex, results })
  }
}

/** At least one part, also of nothing: a proposer without results is remembered too. */
function inParts(results: OriginRecord['results']): OriginRecord['results'][] {
  let part: (readonly [number, CommandResult])[] = []
  const parts = [part]
  let bytes = 0
  for (const result of results) {
    if (bytes >= RECORD_BYTES) {
      part = []
      parts.push(part)
      bytes = 0
    }
    part.push(result)
    bytes += sizeOf(result[1])
  }
  return parts
}

function sizeOf({ error, transaction }: CommandResult): number {
  let bytes = RESULT_OVERHEAD_BYTES + (error?.length ?? 0)
  for (const { key, value } of transaction?.results ?? [])
    bytes += key.length + value.length + RESULT_OVERHEAD_BYTES
  for (const { what } of transaction?.errors ?? []) bytes += what.length + RESULT_OVERHEAD_BYTES
  return bytes
}
