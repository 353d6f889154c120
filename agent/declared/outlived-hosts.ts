import type { Logger } from 'pino'
import type { ConsensusClient } from '../../consensus/client.ts'
import { isConsensusError } from '../../consensus/errors.ts'
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
  #timer: NodeJS.Timeout | null = null
  #looking: Promise<void> | null = null
  #stopped = new AbortController()

  constructor(collaborators: OutlivedHostsCollaborators) {
    this.#with = collaborators
  }

  async start(): Promise<void> {
    if (this.#timer !== null) return
    this.#stopped = new AbortController()
    this.#timer = setInterval(() => void this.look(), LOOK_MS)
  }

  async stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
    this.#stopped.abort()
    await this.#looking
  }

  /** One look; resolves when what was found is taken back or given up. One at a time. */
  look(): Promise<void> {
    this.#looking ??= this.#look()
      .catch((err: unknown) => this.#with.log.error({ err }, 'looking for hosts whose agent left failed'))
      .finally(() => {
        this.#looking = null
      })
    return this.#looking
  }

  async #look(): Promise<void> {
    const { client, catalog, now } = this.#with
    const { outlived } = catalog
    for (const name of this.#since.keys()) if (!outlived.has(name)) this.#since.delete(name)
    for (const name of outlived) if (!this.#since.has(name)) this.#since.set(name, now())
    for (const [name, since] of this.#since) {
      if (client.status().role !== 'leader') return
      if (now() - since >= LEFT_MS && !(await this.#takeBack(name))) return
    }
  }

  /** False if that cannot be decided now. */
  async #takeBack(node: string): Promise<boolean> {
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
        { timeoutMs: PROPOSAL_TIMEOUT_MS, signal: this.#stopped.signal },
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
