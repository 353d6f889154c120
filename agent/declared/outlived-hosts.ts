import type { Logger } from 'pino'
import type { ConsensusClient } from '../../consensus/client.ts'
import { isConsensusError } from '../../consensus/errors.ts'
import { Looks } from '../looks.ts'
import { retractOperations } from './declaration.ts'
import { nodeKey } from './keys.ts'

const LOOK_MS = 5000
const PROPOSAL_TIMEOUT_MS = 2000
/** How long the agent of a host may have left before what is declared about the host goes too: longer than a restart takes. */
const LEFT_MS = 60_000

/** What {@link OutlivedHosts} works with. `now`: a monotonic clock in milliseconds. */
export interface OutlivedHostsCollaborators {
  readonly client: Pick<ConsensusClient, 'read' | 'propose' | 'status'>
  /** Names of the declared nodes whose agent left or was forgotten. */
  readonly catalog: { readonly outlived: ReadonlySet<string> }
  readonly now: () => number
  readonly log: Logger
}

/**
 * Takes back what was declared about a host whose agent left for good, as Consul does: nobody else says any more whether it lives.
 * A fact of the membership, turned into a decision by the leader alone.
 */
export class OutlivedHosts {
  readonly #with: OutlivedHostsCollaborators
  readonly #since = new Map<string, number>()
  readonly #looks: Looks

  constructor(collaborators: OutlivedHostsCollaborators) {
    this.#with = collaborators
    this.#looks = new Looks(
      { everyMs: LOOK_MS, purpose: 'hosts whose agent left' },
      { log: collaborators.log, look: (signal) => this.#look(signal) },
    )
  }

  async start(): Promise<void> {
    this.#looks.start()
  }

  stop(): Promise<void> {
    return this.#looks.stop()
  }

  /** One look; resolves when what was found is taken back or given up. */
  look(): Promise<void> {
    return this.#looks.look()
  }

  async #look(signal: AbortSignal): Promise<void> {
    const { client, catalog, now } = this.#with
    const { outlived } = catalog
    for (const name of this.#since.keys()) if (!outlived.has(name)) this.#since.delete(name)
    for (const name of outlived) if (!this.#since.has(name)) this.#since.set(name, now())
    for (const [name, since] of this.#since) {
      if (client.status().role !== 'leader') return
      if (now() - since >= LEFT_MS && !(await this.#takeBack(name, signal))) return
    }
  }

  /** False if that cannot be decided now. */
  async #takeBack(node: string, signal: AbortSignal): Promise<boolean> {
    const { client, log } = this.#with
    const { view } = await client.read('stale')
    const key = nodeKey(node)
    const host = view.kvGet(key)
    if (host === undefined) return true
    const retract = retractOperations(view, { node, serviceId: '', checkId: '' })
    try {
      const { transaction } = await client.propose(
        // Who declares it anew meanwhile is heard.
        { type: 'kv.txn', operations: [{ verb: 'check-index', key, index: host.modifyIndex }, ...retract] },
        { timeoutMs: PROPOSAL_TIMEOUT_MS, signal },
      )
      if (transaction?.errors.length === 0)
        log.info({ node }, 'what was declared about a host is taken back: its agent left')
      return true
    } catch (err) {
      if (!isConsensusError(err)) throw err
      log.debug({ node, err }, 'what was declared about a host could not be taken back; trying again')
      return false
    }
  }
}
