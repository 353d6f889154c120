import type { EventEmitter } from 'node:events'
import Consul from 'consul'

/** Options that any read takes. */
interface ReadOptions {
  readonly consistent?: boolean
  readonly stale?: boolean
  readonly index?: string
  readonly wait?: string
  readonly dc?: string
  readonly token?: string
}

/** A key as the client gives it: the value is decoded, and null if it is empty. */
export interface NpmEntry {
  readonly LockIndex: number
  readonly Key: string
  readonly Flags: number
  readonly Value: string | Buffer | null
  readonly Session?: string
  readonly CreateIndex: number
  readonly ModifyIndex: number
}

/** A session as the client gives it. */
export interface NpmSession {
  readonly ID: string
  readonly Name: string
  readonly Node: string
  readonly LockDelay: number
  readonly Behavior: string
  readonly TTL: string
  readonly Checks?: readonly string[]
  readonly NodeChecks: readonly string[]
  readonly ServiceChecks: null
  readonly CreateIndex: number
  readonly ModifyIndex: number
}

/** An event as the client gives it: the payload is decoded. */
export interface NpmEvent {
  readonly ID: string
  readonly Name: string
  readonly Payload: string | Buffer | null
  readonly NodeFilter: string
  readonly ServiceFilter: string
  readonly TagFilter: string
  readonly Version: number
  readonly LTime: number
}

/** What a transaction answers. */
export interface NpmResults {
  readonly Results: readonly { readonly KV: NpmEntry }[] | null
  readonly Errors: readonly { readonly OpIndex: number; readonly What: string }[] | null
}

/** A check as the client gives it. */
export interface NpmCheck {
  readonly CheckID: string
  readonly Status: string
}

/** An instance as `health.service` gives it. */
export interface NpmEntryOfService {
  readonly Node: { readonly Node: string }
  readonly Service: { readonly ID: string }
  readonly Checks: readonly NpmCheck[]
}

interface FilterOptions extends ReadOptions {
  readonly filter?: string
  readonly near?: string
}

interface ServiceCheckOptions {
  readonly name?: string
  readonly ttl: string
  readonly status?: string
}

type Service = string | (FilterOptions & { readonly service: string; readonly tag?: string })

/** What the client rejects with. */
export interface NpmError extends Error {
  readonly statusCode?: number
  readonly response?: { readonly body?: unknown }
}

/** A watch: emits `change` (the data), `error` and `end`. */
export interface NpmWatch extends EventEmitter {
  end(): void
  /** When the last answer came, milliseconds since 1970; undefined before the first. */
  updateTime(): number | undefined
}

type Key = string | (ReadOptions & { readonly key?: string })

/** The methods of npm `consul` 2 that are driven here. Its own types leave out most of the options its manual lists. */
export interface NpmConsul {
  readonly kv: {
    get(options: Key & (string | { readonly recurse?: false })): Promise<NpmEntry | undefined>
    get(
      options: ReadOptions & { readonly key: string; readonly recurse: true },
    ): Promise<NpmEntry[] | undefined>
    get(options: ReadOptions & { readonly key: string; readonly raw: true }): Promise<Buffer | undefined>
    get(options: { readonly key: string; readonly buffer: true }): Promise<NpmEntry | undefined>
    keys(
      options: string | (ReadOptions & { readonly key: string; readonly separator?: string }),
    ): Promise<string[]>
    set(key: string, value: string | Buffer): Promise<boolean>
    set(options: {
      readonly key: string
      readonly value: string | Buffer
      readonly cas?: number
      readonly flags?: number | string
      readonly acquire?: string
      readonly release?: string
      readonly token?: string
    }): Promise<boolean>
    del(
      options: string | { readonly key: string; readonly recurse?: boolean; readonly cas?: number },
    ): Promise<boolean>
    delete(options: string): Promise<boolean>
  }
  readonly session: {
    create(options?: {
      readonly name?: string
      readonly node?: string
      readonly checks?: readonly string[]
      readonly lockdelay?: string
      readonly behavior?: string
      readonly ttl?: string
    }): Promise<{ readonly ID: string }>
    destroy(id: string): Promise<void>
    info(id: string): Promise<NpmSession | undefined>
    get(id: string): Promise<NpmSession | undefined>
    node(node: string): Promise<NpmSession[]>
    list(options?: ReadOptions): Promise<NpmSession[]>
    renew(id: string): Promise<NpmSession[]>
  }
  readonly event: {
    fire(
      options:
        | string
        | {
            readonly name: string
            readonly payload: string
            readonly node?: string
            readonly service?: string
            readonly tag?: string
          },
    ): Promise<NpmEvent>
    fire(name: string, payload: Buffer): Promise<NpmEvent>
    list(options?: string | { readonly name: string }): Promise<NpmEvent[]>
  }
  readonly agent: {
    readonly service: {
      list(options?: FilterOptions): Promise<Record<string, unknown>>
      register(
        options:
          | string
          | {
              readonly id?: string
              readonly name: string
              readonly tags?: readonly string[]
              readonly address?: string
              readonly port?: number
              readonly meta?: Readonly<Record<string, string>>
              readonly check?: ServiceCheckOptions
              readonly checks?: readonly ServiceCheckOptions[]
            },
      ): Promise<void>
      deregister(id: string): Promise<void>
    }
    readonly check: {
      register(
        options: ServiceCheckOptions & { readonly id: string; readonly serviceid: string },
      ): Promise<void>
      deregister(id: string): Promise<void>
      pass(options: string | { readonly id: string; readonly note: string }): Promise<void>
      warn(id: string): Promise<void>
      fail(id: string): Promise<void>
    }
    services(options?: FilterOptions): Promise<Record<string, unknown>>
    checks(options?: FilterOptions): Promise<Record<string, NpmCheck>>
    members(): Promise<readonly { readonly Name: string; readonly Status: number }[]>
    self(): Promise<{ readonly Config: { readonly NodeName: string } }>
  }
  readonly catalog: {
    datacenters(): Promise<string[]>
    nodes(options?: FilterOptions): Promise<{ readonly Node: string }[]>
    readonly node: {
      list(options?: FilterOptions): Promise<{ readonly Node: string }[]>
      services(node: string): Promise<unknown>
    }
    readonly service: {
      list(options?: FilterOptions): Promise<Record<string, readonly string[]>>
      nodes(options: Service): Promise<unknown[]>
    }
    readonly connect: { nodes(service: string): Promise<unknown[]> }
  }
  readonly health: {
    node(node: string): Promise<NpmCheck[]>
    checks(service: string): Promise<NpmCheck[]>
    service(options: Service | (Service & { readonly passing: boolean })): Promise<NpmEntryOfService[]>
    state(options: string | (FilterOptions & { readonly state: string })): Promise<NpmCheck[]>
  }
  readonly status: { leader(): Promise<string>; peers(): Promise<string[]> }
  readonly transaction: {
    create(operations: readonly unknown[], options?: Record<string, unknown>): Promise<NpmResults>
  }
  watch(options: {
    readonly method: unknown
    readonly options: Record<string, unknown>
    readonly backoffFactor?: number
    readonly maxAttempts?: number
  }): NpmWatch
  destroy(): void
}

/** The client, unchanged, of the agent on this port. Call `destroy` at the end. */
export function npmConsul(port: number): NpmConsul {
  return new Consul({ host: '127.0.0.1', port }) as unknown as NpmConsul
}
