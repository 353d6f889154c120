import type { Session } from '../consensus/client.ts'
import type { Catalog } from '../discovery/catalog/types.ts'
import { checkIds, type SessionFault, sessionFault } from './session-checks.ts'

/** A session that is to end, and why. */
export interface SessionEnd {
  readonly id: string
  readonly node: string
  readonly fault: SessionFault
}

/** The start of an agent, as its catalogue record tells it, and when that was first seen. */
interface Start {
  readonly key: string
  readonly since: number
}

/**
 * Which sessions have lost what they hang on. What somebody has said counts at once: the membership calls the node failed, a
 * check reports critical. What is only not there counts once it has been missing for the whole grace: an agent that restarts
 * leaves and comes back, and may get its services registered again one after the other. For as long after its start its
 * critical checks have the same time to recover, but for sessions made since: their checks were well then. Pure: every call is
 * told the time of a monotonic clock.
 */
export class SessionFaults {
  readonly #graceMs: number
  readonly #starts = new Map<string, Start>()
  /** Since when something is wrong with a session. */
  readonly #since = new Map<string, number>()
  /** Each session and the start of its agent under which it was made; null if that is not known. */
  readonly #madeUnder = new Map<string, string | null>()

  constructor(options: { readonly graceMs: number }) {
    this.#graceMs = options.graceMs
  }

  /** Nobody is judged by what was seen before: there was a pause in which anything may have happened. */
  restart(): void {
    this.#starts.clear()
    this.#since.clear()
    this.#madeUnder.clear()
  }

  /** Notes which agents have (re)started, and which sessions are new. Call now and then on every node, so that a new leader knows. */
  observe(catalog: Pick<Catalog, 'nodes'>, sessions: readonly Session[], now: number): void {
    this.#noteStarts(catalog, now)
    const ids = new Set(sessions.map(({ id }) => id))
    for (const id of this.#madeUnder.keys()) if (!ids.has(id)) this.#madeUnder.delete(id)
    for (const { id, node } of sessions) {
      if (this.#madeUnder.has(id)) continue
      const start = this.#starts.get(node)
      // It was not there at the last look, and the agent had started before that.
      this.#madeUnder.set(id, start !== undefined && start.since < now ? start.key : null)
    }
  }

  #noteStarts(catalog: Pick<Catalog, 'nodes'>, now: number): void {
    const living = catalog.nodes().filter(({ alive }) => alive)
    const names = new Set(living.map(({ record }) => record.name))
    for (const name of this.#starts.keys()) if (!names.has(name)) this.#starts.delete(name)
    for (const { record } of living) {
      const key = `${record.id} ${record.version.incarnation}`
      if (this.#starts.get(record.name)?.key !== key) this.#starts.set(record.name, { key, since: now })
    }
  }

  /** The sessions to end now. Those that name no checks never are: they end by their TTL alone. */
  toEnd(sessions: readonly Session[], catalog: Pick<Catalog, 'node' | 'nodes'>, now: number): SessionEnd[] {
    const checked = sessions.filter((session) => checkIds(session).length > 0)
    const ends: SessionEnd[] = []
    const faulty = new Set<string>()
    for (const session of checked) {
      const fault = sessionFault(session, catalog)
      if (fault === null) continue
      faulty.add(session.id)
      const since = this.#since.get(session.id) ?? now
      this.#since.set(session.id, since)
      const isOver = now - since >= this.#graceMs
      if (isOver || this.#isSure(fault, session, now)) {
        ends.push({ id: session.id, node: session.node, fault })
      }
    }
    for (const id of this.#since.keys()) if (!faulty.has(id)) this.#since.delete(id)
    return ends
  }

  #isSure(fault: SessionFault, { id, node }: Session, now: number): boolean {
    if (fault.kind === 'node-failed') return true
    if (fault.kind !== 'check-critical') return false
    const start = this.#starts.get(node)
    if (start === undefined) return false
    return now - start.since >= this.#graceMs || this.#madeUnder.get(id) === start.key
  }
}
