import type { Logger } from 'pino'
import { foldName } from './spellings.ts'
import type { CatalogSelector } from './types.ts'

type Listeners = Set<() => void>

/** What a change touched. */
export interface Touched {
  readonly nodes: boolean
  readonly services: boolean
  readonly checks: boolean
  readonly nodeNames: Iterable<string>
  readonly serviceNames: ReadonlySet<string>
}

/** Who is told of which change of the catalogue. A subscription fires once per change, whatever it touched. */
export class Subscriptions {
  readonly #log: Logger
  readonly #byTopic = new Map<string, Listeners>()
  readonly #serviceFollowers = new Set<(names: ReadonlySet<string>) => void>()

  constructor(log: Logger) {
    this.#log = log
  }

  /** Calls `listener` after each change that the selector covers. Returns the way to stop. */
  add(selector: CatalogSelector, listener: () => void): () => void {
    const topic = topicOf(selector)
    const listeners = this.#byTopic.get(topic) ?? new Set()
    this.#byTopic.set(topic, listeners)
    // Each subscription counts by itself, even when the same function subscribes twice.
    const own = () => listener()
    listeners.add(own)
    return () => {
      listeners.delete(own)
      if (listeners.size === 0 && this.#byTopic.get(topic) === listeners) this.#byTopic.delete(topic)
    }
  }

  /** Calls `listener` with the names of the services each change touched. Returns the way to stop. */
  addServices(listener: (names: ReadonlySet<string>) => void): () => void {
    this.#serviceFollowers.add(listener)
    return () => this.#serviceFollowers.delete(listener)
  }

  /** Tells everybody who looks at something of it. */
  notify(touched: Touched): void {
    const topics = new Set(['all'])
    for (const kind of ['nodes', 'services', 'checks'] as const) if (touched[kind]) topics.add(kind)
    for (const name of touched.nodeNames) topics.add(`node ${foldName(name)}`)
    for (const name of touched.serviceNames) topics.add(`service ${foldName(name)}`)
    const listeners = [...topics].flatMap((topic) => [...(this.#byTopic.get(topic) ?? [])])
    if (touched.serviceNames.size > 0) {
      for (const follower of this.#serviceFollowers) listeners.push(() => follower(touched.serviceNames))
    }
    for (const listener of listeners) {
      try {
        listener()
      } catch (error) {
        this.#log.error({ err: error }, 'a listener of catalogue changes failed')
      }
    }
  }
}

function topicOf(selector: CatalogSelector): string {
  return 'name' in selector ? `${selector.kind} ${foldName(selector.name)}` : selector.kind
}
