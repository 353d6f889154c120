import type { Logger } from 'pino'
import type { PeerId } from '../mesh/types.ts'
import type { CatalogMetrics, RejectReason } from './metrics.ts'

/** Pairs of a reason and a node that are logged at most. */
const LINES_MAX = 256

/** What is said once in the log about a node whose messages are not taken. The others happen in a healthy cluster. */
const LINES: Partial<Record<RejectReason, string>> = {
  forged: 'something in the name of this node was not signed by it, and not taken',
  'too-large': 'the record of this node is too large, and not taken: it is to register less',
  inconsistent: 'this node signed a record that cannot be read or does not hold together; it is not taken',
}

/** Counts what came and was not taken, and logs it once for each reason and node. */
export class Rejections {
  readonly #metrics: CatalogMetrics
  readonly #log: Logger
  readonly #logged = new Set<string>()

  constructor(collaborators: { readonly metrics: CatalogMetrics; readonly log: Logger }) {
    this.#metrics = collaborators.metrics
    this.#log = collaborators.log
  }

  /** @param about the node whose record it is; null if that cannot be told. `from`: who sent it, or says so. */
  reject(reason: RejectReason, about: PeerId | null, from: PeerId, error?: unknown): void {
    this.#metrics.rejected.inc({ reason })
    const line = LINES[reason]
    const key = `${reason} ${about}`
    const facts = { reason, peer: about, from, ...(error === undefined ? {} : { err: error }) }
    if (line === undefined || this.#logged.has(key) || this.#logged.size >= LINES_MAX) {
      this.#log.debug(facts, 'something about a record was not taken')
      return
    }
    this.#logged.add(key)
    const detail = error instanceof Error ? ` (${error.message})` : ''
    this.#log.warn({ ...facts, err: undefined }, `${line}${detail}`)
  }
}
