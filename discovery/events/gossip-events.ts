import { randomUUID } from 'node:crypto'
import type { Logger } from 'pino'
import { Counter, type Registry } from 'prom-client'
import type { LocalCatalog } from '../catalog/types.ts'
import type { Mesh, PeerId } from '../mesh/types.ts'
import { decodeEvent, encodeEvent, LAMPORT_TIME_MAX } from './codec.ts'
import { EventError } from './errors.ts'
import { compileFilters } from './filters.ts'
import { EVENT_LIMITS, type EventSpec, type UserEvent, type UserEvents } from './types.ts'

/** What {@link GossipEvents} works with. */
export interface GossipEventsCollaborators {
  readonly mesh: Pick<Mesh, 'publish' | 'subscribe'>
  /** Name and services of this node, for the filters. */
  readonly local: Pick<LocalCatalog, 'record'>
  readonly log: Logger
  readonly metrics?: Registry
}

type Outcome = 'fired' | 'taken' | 'not_for_us' | 'repeated' | 'rejected'

const TOPIC = 'events'
/** Ids remembered of events that came, so that none is taken twice. More than are kept: most may be for others. */
const SEEN_MAX = 4096

/** User events over gossip: each agent filters what reaches it, and keeps the newest that are for it in memory. */
export class GossipEvents implements UserEvents {
  readonly #with: GossipEventsCollaborators
  readonly #outcomes: Counter<'outcome'>
  readonly #listeners = new Set<() => void>()
  /** Oldest first. */
  readonly #seen = new Set<string>()
  #events: readonly UserEvent[] = Object.freeze([])
  #lamportTime = 1
  #running = false

  constructor(collaborators: GossipEventsCollaborators) {
    this.#with = collaborators
    this.#outcomes = new Counter({
      name: 'constellation_events_total',
      help: 'User events that were fired here, or came and were taken, not for this node, known already, or unreadable',
      labelNames: ['outcome'],
      registers: collaborators.metrics ? [collaborators.metrics] : [],
    })
    collaborators.mesh.subscribe(TOPIC, (from, payload) => this.#receive(from, payload))
  }

  /** Begins to take events. The local record is open. */
  async start(): Promise<void> {
    this.#running = true
  }

  async stop(): Promise<void> {
    this.#running = false
  }

  async fire(spec: EventSpec): Promise<UserEvent> {
    const { name, payload } = spec
    const { nameChars, payloadBytes } = EVENT_LIMITS
    if (name === '') throw new EventError('EVT_INVALID', 'Missing name')
    if (name.length > nameChars) {
      throw new EventError(
        'EVT_INVALID',
        `the name of the event has ${name.length} characters, the limit is ${nameChars}`,
      )
    }
    if (payload.length > payloadBytes) {
      throw new EventError(
        'EVT_INVALID',
        `the payload has ${payload.length} bytes, the limit is ${payloadBytes}`,
      )
    }
    const isForUs = compileFilters(spec)
    const { nodeFilter, serviceFilter, tagFilter } = spec
    const event: UserEvent = Object.freeze({
      id: randomUUID(),
      name,
      payload: Uint8Array.from(payload),
      nodeFilter,
      serviceFilter,
      tagFilter,
      lamportTime: this.#lamportTime,
    })
    await this.#with.mesh.publish(TOPIC, encodeEvent(event))
    this.#outcomes.inc({ outcome: 'fired' })
    this.#take(event, isForUs)
    return event
  }

  list(): readonly UserEvent[] {
    return this.#events
  }

  onEvent(listener: () => void): () => void {
    const own = () => listener()
    this.#listeners.add(own)
    return () => this.#listeners.delete(own)
  }

  #receive(from: PeerId, payload: Uint8Array): void {
    if (!this.#running) return
    let outcome: Outcome
    try {
      const event = decodeEvent(payload)
      outcome = this.#seen.has(event.id) ? 'repeated' : this.#take(event, compileFilters(event))
    } catch (error) {
      if (!(error instanceof EventError)) throw error
      outcome = 'rejected'
      this.#with.log.debug({ from, err: error }, 'a user event was not taken')
    }
    this.#outcomes.inc({ outcome })
  }

  #take(event: UserEvent, isForUs: ReturnType<typeof compileFilters>): Outcome {
    this.#remember(event.id)
    // Not beyond what others accept, even if one of them has sent the highest there is.
    this.#lamportTime = Math.min(Math.max(this.#lamportTime, event.lamportTime + 1), LAMPORT_TIME_MAX)
    if (!isForUs(this.#with.local.record())) return 'not_for_us'
    this.#events = Object.freeze([...this.#events, event].slice(-EVENT_LIMITS.kept))
    for (const listener of [...this.#listeners]) {
      try {
        listener()
      } catch (error) {
        this.#with.log.error({ err: error }, 'a listener of user events failed')
      }
    }
    return 'taken'
  }

  #remember(id: string): void {
    this.#seen.add(id)
    if (this.#seen.size <= SEEN_MAX) return
    for (const oldest of this.#seen) {
      this.#seen.delete(oldest)
      break
    }
  }
}
