/**
 * A key as a byte string: one UTF-16 code unit (0–255) per byte. JavaScript's string order is then the bytewise order
 * of Consul, and any byte string is a key. Convert with `bytesToKey`/`keyToBytes` in `keys.ts`.
 */
export type ByteKey = string

/** One key of the KV store (Consul's KVPair). Indexes are Raft log indexes. */
export interface KvEntry {
  readonly key: ByteKey
  readonly value: Uint8Array
  /** Opaque to us, 0 … 2^64−1. */
  readonly flags: bigint
  /** How often the key was locked. */
  readonly lockIndex: number
  /** Id of the session that holds the lock, or null. */
  readonly session: string | null
  readonly createIndex: number
  readonly modifyIndex: number
}

/** A key as a backup holds it: without indexes and locks, which mean something in one log only. */
export type KeyRecord = Pick<KvEntry, 'key' | 'value' | 'flags'>

/** What happens to the keys a session holds when it ends: the lock is freed, or the key goes. */
export type SessionBehavior = 'release' | 'delete'

/** The part of a session its creator chooses. */
export interface SessionSpec {
  /** UUID v4, drawn by the proposer so that every replica applies the same one. */
  readonly id: string
  readonly name: string
  /** Name of the node the session belongs to. */
  readonly node: string
  readonly behavior: SessionBehavior
  /** How long after an invalidation nobody may lock the keys it held. */
  readonly lockDelayMs: number
  /** Time to live as its creator wrote it ("15.0s"); "" for none. */
  readonly ttl: string
  /** The leader ends the session when it was not renewed for this long; 0 = never. Already multiplied (×2 for /v1, ×1 for leases). */
  readonly expiresAfterMs: number
  readonly nodeChecks: readonly string[]
  readonly serviceChecks: readonly { readonly id: string; readonly namespace: string }[] | null
}

/** A session in the state machine. */
export interface Session extends SessionSpec {
  readonly createIndex: number
  readonly modifyIndex: number
}

/** A write. Times and ids are in it or in the log entry that carries it, never drawn while it is applied. */
export type Command =
  | {
      readonly type: 'kv.set'
      readonly key: ByteKey
      readonly value: Uint8Array
      readonly flags: bigint
      readonly cas?: number
    }
  | {
      readonly type: 'kv.acquire'
      readonly key: ByteKey
      readonly value: Uint8Array
      readonly flags: bigint
      readonly session: string
    }
  | {
      readonly type: 'kv.release'
      readonly key: ByteKey
      readonly value: Uint8Array
      readonly flags: bigint
      readonly session: string
    }
  | { readonly type: 'kv.delete'; readonly key: ByteKey; readonly cas?: number }
  | { readonly type: 'kv.deleteTree'; readonly prefix: ByteKey }
  | { readonly type: 'session.create'; readonly session: SessionSpec }
  | { readonly type: 'session.destroy'; readonly id: string }
  /** Begins to bring the keys of a backup; they are staged until `restore.commit` and replace those there are at once. */
  | { readonly type: 'restore.begin'; readonly id: string }
  /** `part` counts from 0. */
  | {
      readonly type: 'restore.part'
      readonly id: string
      readonly part: number
      readonly records: readonly KeyRecord[]
    }
  /** `crc`: `restoreCrc` over all parts. */
  | { readonly type: 'restore.commit'; readonly id: string; readonly parts: number; readonly crc: number }

/** What applying a command answered, the same on every replica. */
export interface CommandResult {
  /** Log index of the entry that carried the command. */
  readonly index: number
  /** False for a lost compare-and-set or lock: the command was applied and changed nothing. */
  readonly ok: boolean
  /** Set when the command was refused as invalid, with the text clients match on, e.g. `invalid session "…"`. */
  readonly error?: string
}

/** Read-only door to the replicated state. Valid until the caller yields to the event loop. */
export interface StateView {
  /** Index of the last applied log entry. */
  readonly appliedIndex: number
  kvGet(key: ByteKey): KvEntry | undefined
  /** Entries whose key starts with `prefix`, in bytewise order. */
  kvList(prefix: ByteKey): KvEntry[]
  /** Index for a read of a missing key or of a prefix: the largest ModifyIndex or tombstone below `prefix`, else of the table. At least 1. */
  kvPrefixIndex(prefix: ByteKey): number
  session(id: string): Session | undefined
  sessions(): Session[]
  /** Index of the last change of the sessions table. At least 1. */
  readonly sessionsIndex: number
}
