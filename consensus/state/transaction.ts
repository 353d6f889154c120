import {
  deleteKey,
  type KeyStore,
  type LockRules,
  lockKey,
  setKey,
  unlockKey,
  type Write,
} from './key-operations.ts'
import { keyToText } from './keys.ts'
import type { ByteKey, KvEntry, KvOperation, StateView, TransactionOutcome } from './types.ts'

/** Bytes of keys and values a transaction that writes may answer: its result goes through the log's memory and the network. */
export const RESULT_BYTES_MAX = 4 << 20
/** The same of a transaction that only reads: it becomes one answer of this node. */
export const READ_BYTES_MAX = 64 << 20
/** Keys that the operations on trees may look at in one transaction, all together: nothing else happens meanwhile. */
export const TREE_KEYS_MAX = 1_000_000
/** Approximate bytes of a result beside its key and value. */
const RESULT_OVERHEAD_BYTES = 128

const NO_VALUE = new Uint8Array()

/** Where an operation of a transaction reads. */
type KeyReader = Pick<KeyStore, 'get' | 'list'>

/** Keys as they would be after the operations so far. The table below is not touched before `commit`. */
export class Draft implements KeyStore {
  readonly #below: KeyReader
  /** Undefined = deleted. In the order of the first change. */
  readonly #changed = new Map<ByteKey, KvEntry | undefined>()
  #listed = 0

  constructor(below: KeyReader) {
    this.#below = below
  }

  get(key: ByteKey): KvEntry | undefined {
    return this.#changed.has(key) ? this.#changed.get(key) : this.#below.get(key)
  }

  /** How many keys all listings together looked at. */
  get listed(): number {
    return this.#listed
  }

  list(prefix: ByteKey): KvEntry[] {
    const below = this.#below.list(prefix)
    this.#listed += below.length + this.#changed.size
    const changed = [...this.#changed].filter(([key]) => key.startsWith(prefix))
    if (changed.length === 0) return below
    const entries = new Map(below.map((entry) => [entry.key, entry]))
    for (const [key, entry] of changed) {
      if (entry === undefined) entries.delete(key)
      else entries.set(key, entry)
    }
    return [...entries.values()].sort((a, b) => (a.key < b.key ? -1 : 1))
  }

  put(entry: KvEntry): void {
    const before = this.get(entry.key)
    // As in the table, or a later check of the same transaction would see an index that never comes to be.
    this.#changed.set(entry.key, before !== undefined && isSame(before, entry) ? before : entry)
  }

  remove(key: ByteKey): void {
    this.#changed.set(key, undefined)
  }

  /**
   * Carries the changes out, in order. `replace` writes also what equals the entry below: a key that was changed and changed
   * back, or deleted and written again, has the index that the client was told.
   */
  commit(store: { replace(entry: KvEntry): void } & Pick<KeyStore, 'remove'>): void {
    for (const [key, entry] of this.#changed) {
      if (entry === undefined) store.remove(key)
      else if (entry !== this.#below.get(key)) store.replace(entry)
    }
  }
}

/** True if writing `entry` over `before` changes nothing anybody can see, so that the index of the key stays. */
export function isSame(before: KvEntry, entry: KvEntry): boolean {
  return (
    before.flags === entry.flags &&
    before.session === entry.session &&
    before.lockIndex === entry.lockIndex &&
    before.ttl?.ms === entry.ttl?.ms &&
    sameBytes(before.value, entry.value)
  )
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

/** Evaluates a transaction without writes. Changes of operations that are writes go nowhere. */
export function readTransaction(
  view: Pick<StateView, 'kvGet' | 'kvList'>,
  operations: readonly KvOperation[],
): TransactionOutcome {
  const store = {
    get: (key: ByteKey) => view.kvGet(key),
    list: (prefix: ByteKey) => view.kvList(prefix),
  }
  const rules: LockRules = { hasSession: () => false, isDelayed: () => false }
  return new Evaluation(new Draft(store), rules, 0, READ_BYTES_MAX).run(operations)
}

/**
 * Evaluates the operations in order on `draft`; each sees what those before it did. Every one that fails is listed, and then
 * nothing may be committed (Consul transaction API).
 */
export function evaluateTransaction(
  draft: Draft,
  rules: LockRules,
  index: number,
  operations: readonly KvOperation[],
): TransactionOutcome {
  return new Evaluation(draft, rules, index, RESULT_BYTES_MAX).run(operations)
}

class Evaluation {
  readonly #draft: Draft
  readonly #rules: LockRules
  readonly #index: number
  readonly #bytesMax: number
  readonly #results: KvEntry[] = []
  #bytes = 0
  /** It is refused as too large: no further operation is looked at. */
  #isTooLarge = false

  constructor(draft: Draft, rules: LockRules, index: number, bytesMax: number) {
    this.#draft = draft
    this.#rules = rules
    this.#index = index
    this.#bytesMax = bytesMax
  }

  run(operations: readonly KvOperation[]): TransactionOutcome {
    const errors: { operation: number; what: string }[] = []
    for (const [at, operation] of operations.entries()) {
      const what = this.#execute(operation)
      if (what !== null) errors.push({ operation: at, what })
      if (this.#isTooLarge) break
    }
    return errors.length > 0 ? { results: [], errors } : { results: this.#results, errors }
  }

  /** Answers why it failed, null if it did not. */
  #execute(operation: KvOperation): string | null {
    const { key } = operation
    const name = `key "${keyToText(key)}"`
    const before = this.#draft.get(key)
    switch (operation.verb) {
      case 'set':
        setKey(this.#draft, this.#write(operation))
        return this.#answerWritten(key)
      case 'cas':
        if (!setKey(this.#draft, this.#write(operation), { cas: operation.index }))
          return `failed to set ${name}, index is stale`
        return this.#answerWritten(key)
      case 'lock':
        return this.#lock(operation, name)
      case 'unlock': {
        const done = unlockKey(this.#draft, this.#write(operation), operation.session)
        if (typeof done === 'object') return done.error
        if (!done) return `failed to unlock ${name}, lock isn't held, or is held by another session`
        return this.#answerWritten(key)
      }
      case 'get':
        return before === undefined ? `${name} doesn't exist` : this.#answer(before)
      case 'get-or-empty':
        return this.#answer(before ?? emptyEntry(key))
      case 'get-tree':
        return this.#tree(key, (entry) => this.#answer(entry))
      case 'check-index':
        if (before === undefined) return `failed to check index, ${name} doesn't exist`
        if (before.modifyIndex !== operation.index)
          return `failed index check for ${name}, current modify index ${before.modifyIndex} != ${operation.index}`
        return this.#answerWritten(key)
      case 'check-session':
        if (before === undefined) return `failed to check session, ${name} doesn't exist`
        if ((before.session ?? '') !== operation.session)
          return `failed session check for ${name}, current session "${before.session ?? ''}" != "${operation.session}"`
        return this.#answerWritten(key)
      case 'check-not-exists':
        return before === undefined ? null : `${name} exists`
      case 'delete':
        deleteKey(this.#draft, key)
        return null
      case 'delete-cas':
        return deleteKey(this.#draft, key, operation.index)
          ? null
          : `failed to delete ${name}, index is stale`
      case 'delete-tree':
        return this.#tree(key, (entry) => {
          this.#draft.remove(entry.key)
          return null
        })
      default:
        return `unknown verb ${(operation as { verb: string }).verb}`
    }
  }

  #lock(
    operation: Extract<KvOperation, { value: Uint8Array; session: string }>,
    name: string,
  ): string | null {
    const outcome = lockKey(this.#draft, this.#rules, this.#write(operation), operation.session)
    if (typeof outcome === 'object') return outcome.error
    if (outcome === 'held') return `failed to lock ${name}, lock is already held`
    if (outcome === 'delayed') return `failed to lock ${name} due to lock delay`
    return this.#answerWritten(operation.key)
  }

  /** Does something with every key of a tree, until that fails. */
  #tree(prefix: ByteKey, each: (entry: KvEntry) => string | null): string | null {
    const entries = this.#draft.list(prefix)
    if (this.#draft.listed > TREE_KEYS_MAX)
      return this.#tooLarge(`the transaction looks at more than ${TREE_KEYS_MAX} keys`)
    for (const entry of entries) {
      const error = each(entry)
      if (error !== null) return error
    }
    return null
  }

  #tooLarge(what: string): string {
    this.#isTooLarge = true
    return what
  }

  #write({ key, value, flags }: Extract<KvOperation, { value: Uint8Array }>): Write {
    return { index: this.#index, key, value, flags }
  }

  /** Answers the entry without its value: the client has it. */
  #answerWritten(key: ByteKey): string | null {
    const entry = this.#draft.get(key)
    return entry === undefined ? null : this.#answer({ ...entry, value: NO_VALUE })
  }

  #answer(entry: KvEntry): string | null {
    this.#bytes += entry.key.length + entry.value.length + RESULT_OVERHEAD_BYTES
    if (this.#bytes > this.#bytesMax)
      return this.#tooLarge(`the results of the transaction are larger than ${this.#bytesMax} bytes`)
    this.#results.push(entry)
    return null
  }
}

function emptyEntry(key: ByteKey): KvEntry {
  return { key, value: NO_VALUE, flags: 0n, lockIndex: 0, session: null, createIndex: 0, modifyIndex: 0 }
}
