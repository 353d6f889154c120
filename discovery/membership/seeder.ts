import { setTimeout as wait } from 'node:timers/promises'
import type { Logger } from 'pino'
import { MeshError, NobodyListensError } from '../mesh/errors.ts'
import type { PeerId } from '../mesh/types.ts'

/** Settings of a {@link Seeder}. Durations in milliseconds. */
export interface SeederOptions {
  /** host:port to find the cluster by, as configured. Tried for ever. */
  readonly join: readonly string[]
  /** Addresses of members of an earlier run. Given up some time after others are known. */
  readonly remembered: readonly string[]
  readonly backoffMinMs: number
  readonly backoffMaxMs: number
}

/** An address to find the cluster by, and the peer that was found there; null: none yet. */
export interface Seed {
  readonly address: string
  readonly id: PeerId | null
}

/** What a {@link Seeder} works with. */
export interface SeederCollaborators {
  readonly self: PeerId
  /** host:port others dial this node at. */
  readonly selfAddress: string
  readonly log: Logger
  readonly random: () => number
  dial(address: string, signal: AbortSignal): Promise<PeerId>
  /** True while no other member is known to live. */
  alone(): boolean
  /** Whether another member of this id is known and lives. */
  isLive(id: PeerId): boolean
  /** The living member, not this one, that says it is reached at this address. */
  whoHas(address: string): PeerId | undefined
}

const REMEMBERED_DIALLED_MAX = 64
const REMEMBERED_TRIES_MAX = 30
/** Nodes that start together do not listen at the same moment: so many failures in a row are not worth a warning. */
const QUIET_FAILURES = 2

/**
 * Finds the cluster: dials every address until it answered or belongs to a living member. An address that nobody answers
 * at is tried on even after others are known, or two halves that started apart would never meet; and again when whoever was
 * there is gone, as somebody else may be there now.
 */
export class Seeder {
  readonly #options: SeederOptions
  readonly #with: SeederCollaborators
  readonly #stopped = new AbortController()
  readonly #logged = new Set<string>()
  readonly #answered = new Map<string, PeerId>()
  #loops: Promise<void>[] = []

  constructor(options: SeederOptions, collaborators: SeederCollaborators) {
    this.#options = options
    this.#with = collaborators
  }

  start(): void {
    if (this.#loops.length > 0 || this.#stopped.signal.aborted) return
    const join = new Set(this.#options.join)
    const remembered = this.#options.remembered.filter((address) => !join.has(address))
    this.#loops = [
      ...[...join].map((address) => this.#seek(address, Number.POSITIVE_INFINITY)),
      ...remembered.slice(0, REMEMBERED_DIALLED_MAX).map((a) => this.#seek(a, REMEMBERED_TRIES_MAX)),
    ]
  }

  /** The addresses of `join` in their order, those of this node itself left out. */
  seeds(): readonly Seed[] {
    const { self, selfAddress, whoHas, isLive } = this.#with
    const answeredBy = (address: string): PeerId | null => {
      const id = this.#answered.get(address)
      return id !== undefined && (id === self || isLive(id)) ? id : null
    }
    return [...new Set(this.#options.join)]
      .map((address) => ({ address, id: whoHas(address) ?? answeredBy(address) }))
      .filter(({ address, id }) => id !== self && address !== selfAddress)
  }

  async stop(): Promise<void> {
    this.#stopped.abort()
    await Promise.all(this.#loops)
  }

  /** @param triesMax how often it is tried once others are known; Infinity: for ever, also when whoever was there is gone. */
  async #seek(address: string, triesMax: number): Promise<void> {
    const { signal } = this.#stopped
    let failures = 0
    let tries = 0
    while (!signal.aborted) {
      const alone = this.#with.alone()
      const isFound = this.#isFound(address)
      if (!alone && triesMax !== Number.POSITIVE_INFINITY && (isFound || ++tries > triesMax)) return
      if (alone || !isFound) {
        const answered = await this.#dial(address, { alone, failures })
        if (answered !== undefined) this.#answered.set(address, answered)
        if (answered === this.#with.self) return
        failures = answered === undefined ? failures + 1 : 0
      }
      try {
        await wait(this.#delay(alone, failures), undefined, { signal })
      } catch {
        return
      }
    }
  }

  #isFound(address: string): boolean {
    const { whoHas, isLive } = this.#with
    const answered = this.#answered.get(address)
    return whoHas(address) !== undefined || (answered !== undefined && isLive(answered))
  }

  async #dial(address: string, state: { alone: boolean; failures: number }): Promise<PeerId | undefined> {
    try {
      return await this.#with.dial(address, this.#stopped.signal)
    } catch (error) {
      if (error instanceof MeshError && error.code === 'MSH_SELF') return this.#with.self
      if (!this.#stopped.signal.aborted) {
        const isEarly = error instanceof NobodyListensError && state.failures < QUIET_FAILURES
        this.#report(address, state.alone && !isEarly, error)
      }
      return undefined
    }
  }

  /** One line per kind of failure, not one per attempt. */
  #report(address: string, isTold: boolean, error: unknown): void {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown'
    const text = error instanceof Error ? error.message : String(error)
    if (!isTold || this.#logged.has(code)) {
      this.#with.log.debug({ address, code }, `cannot reach ${address}: ${text}`)
      return
    }
    this.#logged.add(code)
    this.#with.log.warn({ address, code }, `cannot join through ${address} yet, trying on: ${text}`)
  }

  #delay(alone: boolean, failures: number): number {
    const { backoffMinMs, backoffMaxMs } = this.#options
    const jitter = 0.5 + this.#with.random() / 2
    if (!alone) return 2 * backoffMaxMs * jitter
    return Math.min(backoffMaxMs, backoffMinMs * 2 ** Math.min(failures, 16)) * jitter
  }
}
