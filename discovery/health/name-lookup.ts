import type { LookupAddress } from 'node:dns'
import { lookup as systemLookup } from 'node:dns/promises'
import { isIP, type LookupFunction } from 'node:net'
import { HostsFile } from './hosts-file.ts'
import { systemTimers, type Timers } from './timers.ts'

/** Bounds of the lookups of names. */
export interface NameLookupOptions {
  /** Lookups under way. Each holds a thread, and more than half the pool are not given to them. Default 6. */
  readonly lookupsMax?: number
  /** Those of them that are for names whose last lookup was slow. Default 3. */
  readonly slowMax?: number
  /** A lookup that takes longer is slow, and the last good answer stands in for its own. Default 500. */
  readonly slowAfterMs?: number
  /** How long an answer may stand in for a later one. Default 600,000. */
  readonly staleMaxMs?: number
  /** Names whose answer is kept. Default 1,024. */
  readonly namesMax?: number
}

/** What the lookups work with. Each defaults to the machine's. */
export interface NameLookupCollaborators {
  readonly timers?: Timers
  readonly hosts?: Pick<HostsFile, 'find'>
  /** Asks the system for all addresses of a name. It cannot be ended. */
  readonly resolve?: (name: string) => Promise<readonly LookupAddress[]>
}

/** Turns names into addresses for probes. */
export interface Names {
  /** All addresses of a host, at least one. @throws the reason of the signal, or the error of the system */
  addresses(host: string, signal: AbortSignal): Promise<readonly LookupAddress[]>
}

/** What is known of a name that a name server was asked for. */
interface Name {
  readonly text: string
  waiters: number
  /** The lookup that waits or runs: all that ask for the name meanwhile share it. */
  pending: { readonly promise: Promise<readonly LookupAddress[]>; readonly begin: () => void } | null
  slow: boolean
  answer: readonly LookupAddress[] | null
  answeredAtMs: number
}

/**
 * Looks names up so that one whose name server is silent delays no other. IP addresses and what the hosts file says need no lookup;
 * others are asked of the system, each at most once at a time, and of those that were slow only so many together. While an answer does not come, and when
 * the servers fail, the last good one counts for a while; that there is no such name counts at once.
 */
export class NameLookup implements Names {
  readonly #lookupsMax: number
  readonly #slowMax: number
  readonly #slowAfterMs: number
  readonly #staleMaxMs: number
  readonly #namesMax: number
  readonly #timers: Timers
  readonly #hosts: Pick<HostsFile, 'find'>
  readonly #resolve: (name: string) => Promise<readonly LookupAddress[]>
  readonly #names = new Map<string, Name>()
  readonly #waiting = new Set<Name>()
  #running = 0
  #runningSlow = 0

  constructor(options: NameLookupOptions = {}, collaborators: NameLookupCollaborators = {}) {
    this.#lookupsMax = options.lookupsMax ?? 6
    this.#slowMax = options.slowMax ?? 3
    this.#slowAfterMs = options.slowAfterMs ?? 500
    this.#staleMaxMs = options.staleMaxMs ?? 600_000
    this.#namesMax = options.namesMax ?? 1_024
    this.#timers = collaborators.timers ?? systemTimers
    this.#hosts = collaborators.hosts ?? new HostsFile()
    this.#resolve = collaborators.resolve ?? ((name) => systemLookup(name, { all: true }))
  }

  async addresses(host: string, signal: AbortSignal): Promise<readonly LookupAddress[]> {
    signal.throwIfAborted()
    const family = isIP(host)
    if (family !== 0) return [{ address: host, family }]
    return this.#hosts.find(host) ?? this.#wait(this.#name(host), signal)
  }

  async #wait(name: Name, signal: AbortSignal): Promise<readonly LookupAddress[]> {
    const { promise, resolve, reject } = Promise.withResolvers<readonly LookupAddress[]>()
    const standIn = () => {
      const answer = this.#staleAnswer(name)
      if (answer !== null) resolve(answer)
    }
    const onAbort = () => reject(signal.reason)
    const timer = this.#timers.after(this.#slowAfterMs, standIn)
    signal.addEventListener('abort', onAbort, { once: true })
    name.waiters += 1
    this.#lookup(name).then(resolve, (error: unknown) => {
      if (isServerFailure(error)) standIn()
      reject(error)
    })
    try {
      return await promise
    } finally {
      timer.cancel()
      signal.removeEventListener('abort', onAbort)
      name.waiters -= 1
      // Nobody wants it any more, as its check was removed.
      if (name.waiters === 0 && this.#waiting.delete(name)) name.pending = null
    }
  }

  #staleAnswer(name: Name): readonly LookupAddress[] | null {
    return this.#timers.now() - name.answeredAtMs <= this.#staleMaxMs ? name.answer : null
  }

  #lookup(name: Name): Promise<readonly LookupAddress[]> {
    if (name.pending !== null) return name.pending.promise
    const { promise, resolve } = Promise.withResolvers<readonly LookupAddress[]>()
    name.pending = { promise, begin: () => resolve(this.#run(name)) }
    this.#waiting.add(name)
    this.#drain()
    return promise
  }

  #drain(): void {
    for (const name of this.#waiting) {
      if (this.#running >= this.#lookupsMax) return
      if (name.slow && this.#runningSlow >= this.#slowMax) continue
      this.#waiting.delete(name)
      name.pending?.begin()
    }
  }

  async #run(name: Name): Promise<readonly LookupAddress[]> {
    const startedAtMs = this.#timers.now()
    const { slow } = name
    this.#running += 1
    if (slow) this.#runningSlow += 1
    try {
      const answer = await this.#resolve(name.text)
      name.answer = answer
      name.answeredAtMs = this.#timers.now()
      return answer
    } catch (error) {
      if (!isServerFailure(error)) name.answer = null
      throw error
    } finally {
      this.#running -= 1
      if (slow) this.#runningSlow -= 1
      name.slow = this.#timers.now() - startedAtMs > this.#slowAfterMs
      name.pending = null
      this.#drain()
    }
  }

  /** The entry of a name; of too many those go that were not asked for the longest. */
  #name(text: string): Name {
    const known = this.#names.get(text)
    const name = known ?? {
      text,
      waiters: 0,
      pending: null,
      slow: false,
      answer: null,
      answeredAtMs: Number.NEGATIVE_INFINITY,
    }
    this.#names.delete(text)
    this.#names.set(text, name)
    for (const [other, { pending, waiters }] of this.#names) {
      if (this.#names.size <= this.#namesMax) break
      if (other !== text && pending === null && waiters === 0) this.#names.delete(other)
    }
    return name
  }
}

/** The name servers gave no usable answer, which says nothing of the name. */
function isServerFailure(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'EAI_AGAIN'
}

/** These lookups in the form that Node's sockets take. */
export function socketLookup(names: Names, signal: AbortSignal): LookupFunction {
  return (host, options, callback) => {
    names.addresses(host, signal).then(
      (addresses) => {
        if (options.all) return callback(null, [...addresses])
        const [first] = addresses
        callback(null, first?.address ?? '', first?.family)
      },
      (error: NodeJS.ErrnoException) => callback(error, []),
    )
  }
}
