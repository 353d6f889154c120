import type { CheckStatus } from '../catalog/types.ts'

/** What a check does. Durations are in milliseconds. */
export type CheckKind =
  | {
      readonly type: 'http'
      readonly url: string
      readonly method: string
      readonly headers: Readonly<Record<string, readonly string[]>>
      readonly body: string
      readonly tlsSkipVerify: boolean
    }
  | { readonly type: 'tcp'; readonly address: string }
  | { readonly type: 'ttl'; readonly ttlMs: number }

/** A check as registered with this node. */
export interface CheckDefinition {
  readonly id: string
  readonly name: string
  readonly notes: string
  /** Id of the local instance it belongs to; "" for a check of the node. */
  readonly serviceId: string
  readonly initialStatus: CheckStatus
  readonly kind: CheckKind
  /** 0 for ttl checks; otherwise at least 1,000. */
  readonly intervalMs: number
  readonly timeoutMs: number
  /** Interval and timeout as registered (Go duration text), shown back to clients. */
  readonly intervalText: string
  readonly timeoutText: string
}

/** Runs the checks of this node and writes their results into the local catalogue record. Definitions survive a restart. */
export interface HealthRunner {
  start(): Promise<void>
  stop(): Promise<void>
  /** Adds or replaces a check and runs it at once. */
  put(definition: CheckDefinition): void
  remove(id: string): boolean
  definitions(): readonly CheckDefinition[]
  /** Result of a ttl check, reported by the program it watches. */
  report(id: string, status: CheckStatus, output: string): 'ok' | 'unknown' | 'not-ttl'
  /** Resolves when every definition so far is on disk. @throws HealthError `HLT_FILE_FAILED` */
  flush(): Promise<void>
}
