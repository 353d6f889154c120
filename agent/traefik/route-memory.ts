import type { Logger } from 'pino'
import type { ByteKey, ConsensusClient, KvEntry } from '../../consensus/client.ts'
import { keyToText, textToKey } from '../../consensus/state/keys.ts'
import { type Remembered, readRemembered } from '../../providers/traefik/remembered.ts'

/** Keys of remembered services, one each, the name percent-encoded. */
export const MEMORY_PREFIX = 'constellation/traefik/service/'

/** How long and how often. */
export interface RouteMemoryOptions {
  /** How long a service is remembered after its last instance went; 0 = not at all. */
  readonly graceMs: number
  /** Default 2 s. */
  readonly everyMs?: number
}

/** What {@link RouteMemory} works with. */
export interface RouteMemoryCollaborators {
  readonly client: Pick<ConsensusClient, 'read' | 'watch' | 'propose'>
  /**
   * Text to remember by service name, of the services with routes; the same map while nothing has changed, null while the
   * catalogue is not to be trusted.
   */
  readonly wanted: () => ReadonlyMap<string, string> | null
  /** Whether the catalogue has an instance of the service. */
  readonly isPresent: (service: string) => boolean
  /** True on the one node that writes. Asked again before each write. */
  readonly mayWrite: () => boolean
  readonly log: Logger
}

/** A step of the writer. `ttlMs`: the key goes by itself after that. */
export type MemoryStep =
  | { readonly type: 'set'; readonly service: string; readonly text: string; readonly ttlMs?: number }
  | { readonly type: 'forget'; readonly service: string }

const PREFIX = textToKey(MEMORY_PREFIX)
const EVERY_MS = 2_000
const STEPS_MAX = 50
/** Services beyond this are not remembered. */
const SERVICES_MAX = 4_096

/**
 * What there is to write: services with routes as they are, those that lost their last instance with a time to live, and
 * nothing of those that want no routes any more.
 */
export function planMemory(
  remembered: ReadonlyMap<string, Remembered>,
  wanted: ReadonlyMap<string, string>,
  isPresent: (service: string) => boolean,
  graceMs: number,
): readonly MemoryStep[] {
  const steps: MemoryStep[] = []
  let room = SERVICES_MAX - remembered.size
  for (const [service, text] of graceMs === 0 ? [] : wanted) {
    const known = remembered.get(service)
    if (known?.text === text && !known.leaving) continue
    if (known === undefined && room-- <= 0) continue
    steps.push({ type: 'set', service, text })
  }
  for (const [service, { text, leaving }] of remembered) {
    if (graceMs > 0 && wanted.has(service)) continue
    if (graceMs === 0 || isPresent(service)) steps.push({ type: 'forget', service })
    else if (!leaving) steps.push({ type: 'set', service, text, ttlMs: graceMs })
  }
  return steps
}

/**
 * Remembers which services have routes, as a decision: so a router outlives the last instance of its service on every
 * node alike, on those that were restarted or joined since as well. One node writes; every node reads its own copy.
 */
export class RouteMemory {
  readonly #with: RouteMemoryCollaborators
  readonly #everyMs: number
  #graceMs: number
  #remembered: ReadonlyMap<string, Remembered> = new Map()
  #version = 0
  #steps = ''
  /** What the last round that had nothing to do was about. */
  #done: { readonly texts: ReadonlyMap<string, string>; readonly version: number } | null = null
  #stopWatching: (() => void) | null = null
  #timer: NodeJS.Timeout | null = null
  #work: Promise<void> = Promise.resolve()
  #stopped = new AbortController()

  constructor({ graceMs, everyMs = EVERY_MS }: RouteMemoryOptions, collaborators: RouteMemoryCollaborators) {
    this.#graceMs = graceMs
    this.#everyMs = everyMs
    this.#with = collaborators
  }

  configure({ graceMs }: Pick<RouteMemoryOptions, 'graceMs'>): void {
    this.#graceMs = graceMs
    this.#done = null
  }

  /** By service name. */
  get remembered(): ReadonlyMap<string, Remembered> {
    return this.#remembered
  }

  /** Changes whenever `remembered` does. */
  get version(): number {
    return this.#version
  }

  async start(): Promise<void> {
    if (this.#stopWatching !== null) return
    this.#stopped = new AbortController()
    this.#stopWatching = this.#with.client.watch({ kind: 'prefix', prefix: PREFIX }, () => void this.#load())
    await this.#load()
    this.#schedule()
  }

  async stop(): Promise<void> {
    this.#stopWatching?.()
    this.#stopWatching = null
    this.#stopped.abort()
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    await this.#work
  }

  /** One round of the writer; by itself it runs every two seconds. */
  async round(): Promise<void> {
    const { wanted, isPresent, mayWrite, client, log } = this.#with
    const texts = mayWrite() ? wanted() : null
    if (texts === null) {
      this.#steps = ''
      this.#done = null
      return
    }
    if (this.#done?.texts === texts && this.#done.version === this.#version) return
    const version = this.#version
    const steps = planMemory(this.#remembered, texts, isPresent, this.#graceMs).slice(0, STEPS_MAX)
    this.#done = steps.length === 0 ? { texts, version } : null
    // What is in motion is not written: only what two rounds agree upon.
    const text = JSON.stringify(steps)
    const settled = text === this.#steps
    this.#steps = text
    if (!settled) return
    try {
      for (const step of steps) {
        if (!mayWrite()) return
        await client.propose(commandOf(step), { signal: this.#stopped.signal })
      }
    } catch (error) {
      log.debug({ err: error }, 'what Traefik is to remember could not be written; trying again')
    }
  }

  #schedule(): void {
    this.#timer = setTimeout(() => {
      this.#work = this.round().then(() => {
        if (this.#stopWatching !== null) this.#schedule()
      })
    }, this.#everyMs)
    this.#timer.unref()
  }

  async #load(): Promise<void> {
    const { view } = await this.#with.client.read('stale')
    const entries = view.kvList(PREFIX).slice(0, SERVICES_MAX)
    this.#remembered = new Map(entries.flatMap((entry) => this.#read(entry)))
    this.#version += 1
  }

  #read({ key, value, ttl }: KvEntry): [string, Remembered][] {
    const name = nameOf(key)
    const text = Buffer.from(value).toString('utf8')
    const leaving = ttl !== undefined
    const before = name === null ? undefined : this.#remembered.get(name)
    // Whoever has rendered it knows it by its identity.
    if (name !== null && before?.text === text && before.leaving === leaving) return [[name, before]]
    const service = name === null ? null : readRemembered(name, text)
    return service === null ? [] : [[service.name, { ...service, text, leaving }]]
  }
}

function commandOf(step: MemoryStep): Parameters<ConsensusClient['propose']>[0] {
  const key = textToKey(`${MEMORY_PREFIX}${encodeURIComponent(step.service)}`)
  if (step.type === 'forget') return { type: 'kv.delete', key }
  const { ttlMs } = step
  const value = Buffer.from(step.text)
  return { type: 'kv.set', key, value, flags: 0n, ...(ttlMs === undefined ? {} : { ttlMs }) }
}

function nameOf(key: ByteKey): string | null {
  try {
    return decodeURIComponent(keyToText(key).slice(MEMORY_PREFIX.length))
  } catch {
    return null
  }
}
