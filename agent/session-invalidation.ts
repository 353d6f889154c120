import type { Logger } from 'pino'
import { Counter, type Registry } from 'prom-client'
import type { ConsensusClient } from '../consensus/client.ts'
import { isConsensusError } from '../consensus/errors.ts'
import type { Catalog } from '../discovery/catalog/types.ts'
import { Looks } from './looks.ts'
import { type SessionEnd, SessionFaults } from './session-faults.ts'

/** Times of {@link SessionInvalidation}, in milliseconds. Every one has a default. */
export interface SessionInvalidationOptions {
  /** Between two looks. Default 500. */
  readonly lookMs?: number
  /** How long a check or a node may be missing. Default 15,000. */
  readonly graceMs?: number
  /** A new leader waits for this long: it may still be told what happened while nobody reached it. Default 3,000. */
  readonly settleMs?: number
  /** Pause after a session could not be ended. Default 2,000. */
  readonly retryMs?: number
}

/** What {@link SessionInvalidation} works with. `now`: a monotonic clock in milliseconds. */
export interface SessionInvalidationCollaborators {
  readonly client: Pick<ConsensusClient, 'read' | 'propose' | 'status'>
  readonly catalog: Pick<Catalog, 'node' | 'nodes' | 'synced'>
  readonly now: () => number
  readonly log: Logger
  readonly metrics?: Registry
}

const PROPOSAL_TIMEOUT_MS = 2000
/** Looks that fail to come for this long mean that the process stood still. */
const PAUSE_LOOKS = 10

/**
 * Ends the sessions whose node failed or went away, or whose checks are critical or gone: facts of the catalogue, turned into
 * a decision by the leader alone, and only through the log.
 */
export class SessionInvalidation {
  readonly #lookMs: number
  readonly #looks: Looks
  readonly #settleMs: number
  readonly #retryMs: number
  readonly #with: SessionInvalidationCollaborators
  readonly #faults: SessionFaults
  readonly #ended: Counter<'reason'>
  #lastLook = Number.NEGATIVE_INFINITY
  /** Since when this node leads; null while it does not. */
  #leadsSince: number | null = null
  #retryAt = Number.NEGATIVE_INFINITY

  constructor(options: SessionInvalidationOptions, collaborators: SessionInvalidationCollaborators) {
    this.#lookMs = options.lookMs ?? 500
    this.#settleMs = options.settleMs ?? 3000
    this.#retryMs = options.retryMs ?? 2000
    this.#with = collaborators
    this.#looks = new Looks(
      { everyMs: this.#lookMs, purpose: 'sessions to end' },
      { log: collaborators.log, look: (signal) => this.#look(signal) },
    )
    this.#faults = new SessionFaults({ graceMs: options.graceMs ?? 15_000 })
    this.#ended = new Counter({
      name: 'constellation_sessions_invalidated_total',
      help: 'Sessions this node, as leader, ended because of their node or a check',
      labelNames: ['reason'],
      registers: collaborators.metrics ? [collaborators.metrics] : [],
    })
  }

  async start(): Promise<void> {
    this.#looks.start()
  }

  stop(): Promise<void> {
    return this.#looks.stop()
  }

  /** One look at the catalogue; resolves when what was found is ended or given up. One at a time. */
  look(): Promise<void> {
    return this.#looks.look()
  }

  async #look(signal: AbortSignal): Promise<void> {
    const { client, catalog } = this.#with
    const now = this.#with.now()
    const paused = now - this.#lastLook > PAUSE_LOOKS * this.#lookMs
    this.#lastLook = now
    if (paused) this.#faults.restart()
    const { view } = await client.read('stale')
    this.#faults.observe(catalog, view.sessions(), now)
    const leads = client.status().role === 'leader'
    if (!leads) this.#leadsSince = null
    else if (this.#leadsSince === null || paused) this.#leadsSince = now
    if (this.#leadsSince === null || now - this.#leadsSince < this.#settleMs) return
    if (!catalog.synced || now < this.#retryAt) return
    for (const end of this.#faults.toEnd(view.sessions(), catalog, now)) {
      if (client.status().role !== 'leader' || !(await this.#end(end, signal))) return
    }
    // Ending many takes its time, and is no pause.
    this.#lastLook = this.#with.now()
  }

  /** False if it could not be ended now. */
  async #end({ id, node, fault }: SessionEnd, signal: AbortSignal): Promise<boolean> {
    const { client, log } = this.#with
    const reason = fault.kind
    try {
      const options = { timeoutMs: PROPOSAL_TIMEOUT_MS, signal }
      await client.propose({ type: 'session.destroy', id }, options)
    } catch (err) {
      if (!isConsensusError(err)) throw err
      this.#lastLook = this.#with.now()
      this.#retryAt = this.#lastLook + this.#retryMs
      log.debug({ session: id, err }, 'a session could not be ended; trying again')
      return false
    }
    this.#ended.inc({ reason })
    log.info({ session: id, node, ...fault }, `session ended: ${TEXTS[reason]}`)
    return true
  }
}

const TEXTS: Readonly<Record<SessionEnd['fault']['kind'], string>> = {
  'node-missing': 'its node is gone',
  'node-failed': 'its node failed',
  'check-missing': 'a check it depends on is gone',
  'check-critical': 'a check it depends on is critical',
}
