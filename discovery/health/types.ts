import type { CheckStatus } from '../catalog/types.ts'

/** How a check that speaks TLS looks at the certificate of its target. */
export interface TlsTarget {
  readonly tlsSkipVerify: boolean
  /** Name sent to the target and looked for in its certificate; "" = the host of the address. */
  readonly tlsServerName: string
}

/** What a check does. Durations are in milliseconds. */
export type CheckKind =
  | ({
      readonly type: 'http'
      readonly url: string
      readonly method: string
      readonly headers: Readonly<Record<string, readonly string[]>>
      readonly body: string
      readonly disableRedirects: boolean
    } & TlsTarget)
  | ({ readonly type: 'tcp'; readonly address: string; readonly useTls: boolean } & TlsTarget)
  | { readonly type: 'udp'; readonly address: string }
  /** `target` is `host:port` or `host:port/service`. */
  | ({ readonly type: 'grpc'; readonly target: string; readonly useTls: boolean } & TlsTarget)
  | ({ readonly type: 'h2ping'; readonly address: string; readonly useTls: boolean } & TlsTarget)
  /** The program and its arguments; no shell reads them. */
  | { readonly type: 'script'; readonly args: readonly string[] }
  /** `shell` "" = the arguments are run as they are, else they are one command line for it. */
  | {
      readonly type: 'docker'
      readonly container: string
      readonly shell: string
      readonly args: readonly string[]
    }
  | { readonly type: 'ttl'; readonly ttlMs: number }
  /** Follows the service with this id on this node ("" = the node of the check), or that node if `service` is "". */
  | { readonly type: 'alias'; readonly node: string; readonly service: string }

/** A kind that is run every interval. */
export type PolledKind = Exclude<CheckKind, { readonly type: 'ttl' | 'alias' }>

/** How many equal results in a row it takes to change the status of a polled check; 0 and 1 = one. */
export interface CheckThresholds {
  readonly successBeforePassing: number
  /** 0 = as `failuresBeforeCritical`: the check never warns on its way to critical. */
  readonly failuresBeforeWarning: number
  readonly failuresBeforeCritical: number
}

/** A check as registered with this node. */
export interface CheckDefinition {
  readonly id: string
  readonly name: string
  readonly notes: string
  /** Id of the local instance it belongs to; "" for a check of the node. */
  readonly serviceId: string
  readonly initialStatus: CheckStatus
  readonly kind: CheckKind
  /** 0 for ttl and alias checks; otherwise at least 1,000. */
  readonly intervalMs: number
  readonly timeoutMs: number
  /** Interval and timeout as registered (Go duration text), shown back to clients. */
  readonly intervalText: string
  readonly timeoutText: string
  readonly thresholds: CheckThresholds
  /** A service that has been critical for as long is deregistered; 0 = never. */
  readonly deregisterAfterMs: number
  /** Most characters of its output that are kept: 1 to 4,096. */
  readonly outputMax: number
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
  /** The newest output of a check; the catalogue may show an older one for up to a minute. Undefined if unknown. */
  output(id: string): string | undefined
  /** Resolves when every definition so far is on disk. @throws HealthError `HLT_FILE_FAILED` */
  flush(): Promise<void>
}
