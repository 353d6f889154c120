/** What a client asked of one key (Consul KV API). `version` is a ModifyIndex; for `cas` 0 means "only if absent". */
export type Call =
  | { readonly f: 'get' }
  | { readonly f: 'put'; readonly value: string }
  | { readonly f: 'cas'; readonly value: string; readonly version: number }
  | { readonly f: 'delete' }
  | { readonly f: 'delete-cas'; readonly version: number }
  /** `mayBeDelayed`: the session has a lock delay, so that a free key may be refused for a while. */
  | {
      readonly f: 'acquire'
      readonly value: string
      readonly session: string
      readonly mayBeDelayed?: boolean
    }
  | { readonly f: 'release'; readonly value: string; readonly session: string }
  /** The session ends, asked or by its TTL. One of unknown outcome, from the last renewal on, stands for an expiry. */
  | { readonly f: 'session-end'; readonly session: string; readonly behavior: 'release' | 'delete' }

/** What the answer said. Fields that a client did not look at are left out and then mean nothing. */
export type Output =
  | {
      readonly kind: 'entry'
      readonly value: string
      readonly version: number
      readonly lockIndex?: number
      readonly session?: string | null
      readonly created?: number
    }
  /** `index`: what X-Consul-Index said of the missing key. */
  | { readonly kind: 'absent'; readonly index?: number }
  | { readonly kind: 'done'; readonly ok: boolean }

/**
 * `ok`: answered. `failed`: certainly without effect. `unknown`: may take effect at any time after the call, or never.
 */
export type Outcome = 'ok' | 'failed' | 'unknown'

/** One call of one client on one key. Times are milliseconds of one monotonic clock. */
export interface Operation {
  readonly client: string
  /** The node that was asked. */
  readonly node: string
  readonly key: string
  readonly call: Call
  readonly calledAt: number
  /** When the client knew the outcome, for the reader only if that is `unknown`. */
  readonly returnedAt: number
  readonly outcome: Outcome
  /** Null unless `ok`. */
  readonly output: Output | null
  /** Why it failed or is unknown, for the reader. */
  readonly note?: string
}

/** True for a call that cannot change anything. */
export function isRead(call: Call): boolean {
  return call.f === 'get'
}

/** The operations of each key, in the order of their calls. */
export function byKey(history: readonly Operation[]): Map<string, Operation[]> {
  const keys = new Map<string, Operation[]>()
  for (const operation of history) {
    const known = keys.get(operation.key)
    if (known === undefined) keys.set(operation.key, [operation])
    else known.push(operation)
  }
  for (const operations of keys.values()) operations.sort((a, b) => a.calledAt - b.calledAt)
  return keys
}
