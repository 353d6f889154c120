import type { Command, CommandResult, KvEntry } from '../../consensus/state/types.ts'

/** A write of a client. A repeated try carries the same origin and sequence. */
export interface WriteOperation {
  readonly kind: 'write'
  readonly origin: string
  readonly sequence: number
  readonly command: Command
  /** Largest log index anybody had seen the effect of when the operation began. */
  readonly seenIndex: number
}

/** A linearizable read of one key. */
export interface ReadOperation {
  readonly kind: 'read'
  readonly origin: string
  readonly sequence: number
  readonly key: string
  readonly seenIndex: number
  /** A default read, which a lease of the leader may answer; otherwise a consistent one. */
  readonly mayUseLease: boolean
}

export type Operation = WriteOperation | ReadOperation

/** What a try came to. `retry`: surely nothing happened; `unknown`: it may have happened or may yet. */
export type Outcome =
  | { readonly kind: 'written'; readonly result: CommandResult }
  | { readonly kind: 'read'; readonly appliedIndex: number; readonly entry: KvEntry | undefined }
  | { readonly kind: 'retry' }
  | { readonly kind: 'unknown' }
