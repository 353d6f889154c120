import type { ByteKey, KvEntry } from './types.ts'

/** Where keys are read and written: the table itself, or a draft of a transaction. */
export interface KeyStore {
  get(key: ByteKey): KvEntry | undefined
  list(prefix: ByteKey): KvEntry[]
  put(entry: KvEntry): void
  remove(key: ByteKey): void
}

/** What decides about locks besides the keys. */
export interface LockRules {
  hasSession(id: string): boolean
  /** True while nobody may lock the key. */
  isDelayed(key: ByteKey): boolean
}

/** The part of a write that is the same for all of them. `index`: of the log entry. */
export interface Write {
  readonly index: number
  readonly key: ByteKey
  readonly value: Uint8Array
  readonly flags: bigint
}

/** How an attempt to lock a key went; any other text is an error for the client. */
export type LockOutcome = 'locked' | 'held' | 'delayed' | { readonly error: string }

/**
 * Writes a key, whoever holds it. `cas`: only if its ModifyIndex is this, 0 = only if it does not exist. `ttlMs`: how long it lives
 * unless it is written again with one. False if `cas` lost.
 */
export function setKey(
  store: KeyStore,
  { index, key, value, flags }: Write,
  { cas, ttlMs }: { readonly cas?: number | undefined; readonly ttlMs?: number | undefined } = {},
): boolean {
  const before = store.get(key)
  if (cas === 0 && before !== undefined) return false
  if (cas !== undefined && cas !== 0 && before?.modifyIndex !== cas) return false
  store.put({
    key,
    value,
    flags,
    lockIndex: before?.lockIndex ?? 0,
    session: before?.session ?? null,
    createIndex: before?.createIndex ?? index,
    modifyIndex: index,
    ...(ttlMs === undefined ? {} : { ttl: { ms: ttlMs, renewIndex: index } }),
  })
  return true
}

/** Locks a key for a session, or writes it if that session holds it. */
export function lockKey(
  store: KeyStore,
  rules: LockRules,
  { index, key, value, flags }: Write,
  session: string,
): LockOutcome {
  if (session === '') return { error: 'missing session' }
  if (!rules.hasSession(session)) return { error: `invalid session "${session}"` }
  const before = store.get(key)
  const isHeld = before?.session === session
  if (!isHeld && typeof before?.session === 'string') return 'held'
  if (!isHeld && rules.isDelayed(key)) return 'delayed'
  store.put({
    key,
    value,
    flags,
    lockIndex: (before?.lockIndex ?? 0) + (isHeld ? 0 : 1),
    session,
    createIndex: before?.createIndex ?? index,
    modifyIndex: index,
  })
  return 'locked'
}

/** Unlocks a key and writes it. False if that session does not hold it. */
export function unlockKey(
  store: KeyStore,
  { index, key, value, flags }: Write,
  session: string,
): boolean | { readonly error: string } {
  if (session === '') return { error: 'missing session' }
  const before = store.get(key)
  if (before === undefined || before.session !== session) return false
  const { lockIndex, createIndex } = before
  store.put({ key, value, flags, lockIndex, session: null, createIndex, modifyIndex: index })
  return true
}

/** Deletes a key, whoever holds it; true if there was none. False if `cas` is given and not its ModifyIndex. */
export function deleteKey(store: KeyStore, key: ByteKey, cas?: number): boolean {
  const before = store.get(key)
  if (cas !== undefined && before !== undefined && before.modifyIndex !== cas) return false
  store.remove(key)
  return true
}

/** Deletes every key that begins with `prefix`. */
export function deleteTree(store: KeyStore, prefix: ByteKey): void {
  for (const { key } of store.list(prefix)) store.remove(key)
}
