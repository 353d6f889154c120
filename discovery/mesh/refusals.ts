import type { Logger } from 'pino'
import { MeshError, type MeshErrorCode } from './errors.ts'
import { LineLimiter } from './line-limiter.ts'
import type { MeshMetrics, RefusalReason } from './metrics.ts'

const LINE_INTERVAL_MS = 60_000
const LINE_KEYS_MAX = 1_000
const OUTBOUND_REMEMBERED_MAX = 256

/** A peer that was refused, as the operator should read it. */
export interface Refusal {
  /** The connection, so that its end is not counted again. */
  readonly connection: object
  readonly reason: RefusalReason
  readonly direction: 'inbound' | 'outbound'
  /** IP address of the peer, which the rate of log lines is limited by. */
  readonly host: string
  /** host:port of the peer. */
  readonly address: string
  /** What is wrong with the peer: the part after the colon. */
  readonly text: string
  /** An error that is told instead of the refusal, once a minute for each key. */
  readonly line?: { readonly key: string; readonly sentence: string }
}

const CODES: Readonly<Partial<Record<RefusalReason, MeshErrorCode>>> = {
  wrong_key: 'MSH_WRONG_KEY',
  refused_us: 'MSH_WRONG_KEY',
  wrong_cluster: 'MSH_WRONG_CLUSTER',
  full: 'MSH_FULL',
  identity_in_use: 'MSH_IDENTITY_IN_USE',
}

/** Counts refused peers, tells the operator once a minute per host and reason, and keeps the reason for who dialled. */
export class Refusals {
  readonly #log: Logger
  readonly #metrics: MeshMetrics
  readonly #lines: LineLimiter
  readonly #outbound = new Map<string, MeshError>()
  readonly #judged = new WeakSet<object>()

  constructor(collaborators: {
    readonly log: Logger
    readonly metrics: MeshMetrics
    readonly now: () => number
  }) {
    this.#log = collaborators.log
    this.#metrics = collaborators.metrics
    this.#lines = new LineLimiter({ intervalMs: LINE_INTERVAL_MS, keysMax: LINE_KEYS_MAX }, collaborators)
  }

  /** Records a refusal and answers the error it ends the connection with. */
  refuse(refusal: Refusal): MeshError {
    const { reason, direction, host, address, text } = refusal
    const error = new MeshError(CODES[reason] ?? 'MSH_PROTOCOL', `refused peer at ${address}: ${text}`)
    this.#judged.add(refusal.connection)
    this.#metrics.refused.inc({ reason })
    if (direction === 'outbound') {
      if (this.#outbound.size >= OUTBOUND_REMEMBERED_MAX) this.#outbound.clear()
      this.#outbound.set(address, error)
    }
    const fields = { reason, direction, peer_address: address }
    if (refusal.line !== undefined) {
      const { key, sentence } = refusal.line
      if (this.#lines.allow(`${key} ${reason}`)) this.#log.error(fields, sentence)
      else this.#log.debug(fields, sentence)
      return error
    }
    if (!this.#lines.allow(`${host} ${reason}`)) this.#log.debug(fields, error.message)
    else if (error.code === 'MSH_PROTOCOL' && reason !== 'version') this.#log.info(fields, error.message)
    else this.#log.warn(fields, error.message)
    return error
  }

  /** Counts a connection that ended before it came to a proof: a port scan, a health probe, a lost packet. */
  unfinished(connection: object, address: string): void {
    if (this.#judged.has(connection)) return
    this.#metrics.refused.inc({ reason: 'handshake' })
    this.#log.debug({ peer_address: address }, 'a connection to the mesh port ended before its handshake')
  }

  /** Counts a connection that was cut because its host has too many unfinished ones. */
  tooMany(host: string): void {
    this.#metrics.refused.inc({ reason: 'too_many' })
    if (this.#lines.allow(`${host} too_many`)) {
      this.#log.info(
        { host },
        `${host} opens more connections to the mesh port than it finishes, some are cut`,
      )
    }
  }

  /** The refusal that ended an outbound connection to this address, once. */
  take(address: string): MeshError | undefined {
    const error = this.#outbound.get(address)
    this.#outbound.delete(address)
    return error
  }
}
