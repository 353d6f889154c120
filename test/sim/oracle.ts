import { crc32 } from 'node:zlib'
import type { LogRecord } from '../../consensus/state/codec.ts'
import type { StateMachine } from '../../consensus/state/state-machine.ts'
import type { ByteKey, CommandResult, KvEntry } from '../../consensus/state/types.ts'
import { Model, type ModelEntry, valueText } from './model.ts'
import type { Operation, Outcome, ReadOperation, WriteOperation } from './operation.ts'
import { check, type World } from './world.ts'

/** Every so many entries the whole state is compared, not only the keys that changed. */
const DIGEST_EVERY = 32

interface Applied {
  readonly record: LogRecord | null
  readonly result: CommandResult | null
  readonly key: ByteKey | null
  readonly after: ModelEntry | undefined
}

function keyOf({ command }: LogRecord): ByteKey | null {
  return 'key' in command ? command.key : null
}

function digest(records: Iterable<Uint8Array>): number {
  let crc = 0
  for (const record of records) crc = crc32(record, crc)
  return crc
}

function sameEntry(actual: KvEntry | undefined, expected: ModelEntry | undefined): boolean {
  if (actual === undefined || expected === undefined) return actual === expected
  return (
    valueText(actual.value) === expected.value &&
    actual.session === expected.session &&
    actual.lockIndex === expected.lockIndex &&
    actual.modifyIndex === expected.modifyIndex
  )
}

function sameResult(a: CommandResult, b: CommandResult): boolean {
  return a.index === b.index && a.ok === b.ok && a.error === b.error
}

/**
 * What clients may see. Every operation is one log index, so the history is linearizable if the state at each index is
 * the model's, a write is applied once, and whatever begins after an answer has an index behind that answer's.
 */
export class Oracle {
  readonly #world: World
  readonly #mayRead: () => Iterable<{ readonly id: string; readonly index: number }>
  readonly #model = new Model()
  readonly #applied: Applied[] = []
  readonly #digests = new Map<number, number>()
  /** Per key its entries by index, oldest first. */
  readonly #history = new Map<ByteKey, { index: number; entry: ModelEntry | undefined }[]>()
  #seenIndex = 0
  acknowledgedWrites = 0
  answeredReads = 0
  #acknowledgedIndex = 0

  /** `mayRead`: nodes that would answer a read by themselves now, with the index they would answer. */
  constructor(world: World, mayRead: () => Iterable<{ readonly id: string; readonly index: number }>) {
    this.#world = world
    this.#mayRead = mayRead
  }

  /** Largest log index an answered operation has shown to anybody. */
  get seenIndex(): number {
    return this.#seenIndex
  }

  /** Largest index of an acknowledged write. */
  get acknowledgedIndex(): number {
    return this.#acknowledgedIndex
  }

  /** Latest version of a key, for clients that compare and set. */
  versionOf(key: ByteKey): number {
    return this.#model.entries.get(key)?.modifyIndex ?? 0
  }

  /** A node applied an entry; `record` is null for one without a command. */
  applied(
    node: string,
    state: StateMachine,
    index: number,
    record: LogRecord | null,
    result: CommandResult | null,
  ): void {
    check(
      state.appliedIndex === index,
      'applied in order',
      () => `${node} at ${index}: ${state.appliedIndex}`,
    )
    const known = this.#applied[index] ?? this.#applyFirst(index, record)
    if (record !== null && result !== null && known.result !== null) {
      const expected = known.result
      check(
        sameResult(result, expected),
        'results agree',
        () =>
          `${node} at ${index}: ${JSON.stringify(result)}, expected ${JSON.stringify(expected)} for ${JSON.stringify(record.command)}`,
      )
    }
    if (known.key !== null) {
      const { key, after } = known
      check(
        sameEntry(state.kvGet(key), after),
        'state agrees',
        () => `${node} at ${index}, key ${key}: expected ${JSON.stringify(after)}`,
      )
    }
    if (index % DIGEST_EVERY === 0) this.compareState(node, state)
  }

  #applyFirst(index: number, record: LogRecord | null): Applied {
    const before = new Map(this.#model.entries)
    const result = record === null ? null : this.#model.apply(index, record)
    for (const key of new Set([...before.keys(), ...this.#model.entries.keys()])) {
      const entry = this.#model.entries.get(key)
      if (entry === before.get(key)) continue
      const lockIndex = before.get(key)?.lockIndex ?? 0
      check(entry === undefined || entry.lockIndex >= lockIndex, 'LockIndex never falls', () => key)
      const history = this.#history.get(key) ?? []
      history.push({ index, entry })
      this.#history.set(key, history)
    }
    const key = record === null ? null : keyOf(record)
    const after = key === null ? undefined : this.#model.entries.get(key)
    const applied = { record, result, key, after }
    this.#applied[index] = applied
    return applied
  }

  /** The whole state must be the same bytes on every node that has applied the same entries. */
  compareState(node: string, state: StateMachine): void {
    this.compareRecords(node, state.appliedIndex, state.snapshot())
  }

  compareRecords(node: string, index: number, records: Iterable<Uint8Array>): void {
    const own = digest(records)
    const first = this.#digests.get(index)
    if (first === undefined) this.#digests.set(index, own)
    else check(own === first, 'states are identical', () => `${node} differs at ${index}`)
  }

  /** An operation was answered. Throws SimFailure if that answer could not be. */
  answered(operation: Operation, outcome: Outcome): void {
    if (operation.kind === 'write' && outcome.kind === 'written') this.#written(operation, outcome.result)
    if (operation.kind === 'read' && outcome.kind === 'read') {
      this.#read(operation, outcome.appliedIndex, outcome.entry)
    }
  }

  #written(operation: WriteOperation, result: CommandResult): void {
    const { origin, sequence, seenIndex } = operation
    const about = () => `${origin}#${sequence} answered ${JSON.stringify(result)}`
    const entry = this.#applied[result.index]
    const { record } = entry ?? { record: null }
    check(
      record?.origin === origin && record.sequence === sequence,
      'an acknowledged write is in the log',
      about,
    )
    check(
      entry?.result?.ok === result.ok && entry.result.index === result.index,
      'an answer is what was applied',
      about,
    )
    check(result.index > seenIndex, 'a write comes after what was seen before it began', about)
    for (const { id, index } of this.#mayRead())
      check(
        index >= result.index,
        'nothing is acknowledged behind a lease',
        () => `${id} has ${index}; ${about()}`,
      )
    this.#acknowledgedIndex = Math.max(this.#acknowledgedIndex, result.index)
    this.#seenIndex = Math.max(this.#seenIndex, result.index)
    this.acknowledgedWrites++
  }

  #read({ origin, key, seenIndex }: ReadOperation, appliedIndex: number, entry: KvEntry | undefined): void {
    check(
      appliedIndex >= seenIndex,
      'reads are linearizable',
      () => `${origin} read ${key} as of ${appliedIndex}, but ${seenIndex} had been seen before it began`,
    )
    const expected = this.#history.get(key)?.findLast(({ index }) => index <= appliedIndex)?.entry
    check(
      sameEntry(entry, expected),
      'reads see the state',
      () => `${origin} read ${key} as of ${appliedIndex}: expected ${JSON.stringify(expected)}`,
    )
    this.#seenIndex = Math.max(this.#seenIndex, appliedIndex)
    this.answeredReads++
  }

  /** One line about the traffic, for the trace. */
  report(): void {
    this.#world.log('oracle', 'traffic', this.acknowledgedWrites, this.answeredReads, this.#seenIndex)
  }
}
