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
  /** Set on a key that goes when it is not written again in time. */
  readonly ttl?: {
    readonly ms: number
    /** Log index of the write that last gave it its full time. */
    readonly renewIndex: number
  }
}

/** One key changed by one log entry. */
export interface KvChange {
  readonly index: number
  /** Counts the changes of that entry from 1; null for the last one, behind which is all of the entry. */
  readonly ordinal: number | null
  readonly key: ByteKey
  /** What the key is since; null = deleted. */
  readonly entry: KvEntry | null
}

/** How far somebody followed the changes of keys: behind one of them, or (`ordinal` null) behind all of a log entry. */
export interface ChangePosition {
  readonly index: number
  readonly ordinal: number | null
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
      /** The key goes when it is not written again with a TTL for this long. */
      readonly ttlMs?: number
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
  /** Ends a key whose time is over, unless it was written again after `renewIndex`. */
  | { readonly type: 'kv.expire'; readonly key: ByteKey; readonly renewIndex: number }
  /** All of them or none. */
  | { readonly type: 'kv.txn'; readonly operations: readonly KvOperation[] }
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

/** One operation of a transaction, with the verbs of Consul's transaction API. `get-tree` and `delete-tree`: `key` is a prefix. */
export type KvOperation =
  | {
      readonly verb: 'set'
      readonly key: ByteKey
      readonly value: Uint8Array
      readonly flags: bigint
    }
  | {
      readonly verb: 'cas'
      readonly key: ByteKey
      readonly value: Uint8Array
      readonly flags: bigint
      readonly index: number
    }
  | {
      readonly verb: 'lock' | 'unlock'
      readonly key: ByteKey
      readonly value: Uint8Array
      readonly flags: bigint
      readonly session: string
    }
  | { readonly verb: 'check-index' | 'delete-cas'; readonly key: ByteKey; readonly index: number }
  | { readonly verb: 'check-session'; readonly key: ByteKey; readonly session: string }
  | {
      readonly verb: 'get' | 'get-or-empty' | 'get-tree' | 'check-not-exists' | 'delete' | 'delete-tree'
      readonly key: ByteKey
    }

/** What a transaction answered: results if it was carried out, errors if not. */
export interface TransactionOutcome {
  /** Entries in the order of the operations; without their value where the client has it. */
  readonly results: readonly KvEntry[]
  /** The operations that failed, counted from 0. Empty if the transaction was carried out. */
  readonly errors: readonly { readonly operation: number; readonly what: string }[]
}

/** What applying a command answered, the same on every replica. */
export interface CommandResult {
  /** Log index of the entry that carried the command. */
  readonly index: number
  /** False for a lost compare-and-set or lock: the command was applied and changed nothing. */
  readonly ok: boolean
  /** Set when the command was refused as invalid, with the text clients match on, e.g. `invalid session "…"`. */
  readonly error?: string
  /** Set for a transaction. */
  readonly transaction?: TransactionOutcome
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
  /**
   * Up to `limit` changes below `prefix` behind a position, one for each key and log entry, and the position to go on from. Null
   * if this copy does not know all of them any more.
   */
  kvChanges(
    after: ChangePosition,
    prefix: ByteKey,
    limit: number,
  ): { readonly changes: readonly KvChange[]; readonly position: ChangePosition } | null
  /** Evaluates a transaction that writes nothing. */
  readTransaction(operations: readonly KvOperation[]): TransactionOutcome
  session(id: string): Session | undefined
  sessions(): Session[]
  /** Index of the last change of the sessions table. At least 1. */
  readonly sessionsIndex: number
}
