import type { ConsensusClient } from '../consensus/client.ts'
import { textToKey } from '../consensus/state/keys.ts'
import type { RestartBrake } from '../providers/docker/restarter.ts'

/** Restarts of containers the whole cluster has at a time. */
export const RESTARTS_MAX = 5
/** How long one of them is used up. */
export const RESTART_SLOT_MS = 5 * 60_000
/** Copies of one service are restarted no closer to each other than this, so that one is back before the next goes. */
export const SERVICE_PAUSE_MS = 30_000

const PREFIX = 'constellation/restart/'
const TIMEOUT_MS = 5_000

/**
 * The brake on restarts of containers: keys of the store that end by themselves. A restart takes the key of its service and one of a
 * few that all services share; where one is there already, there is no restart. As they are in the log, a node without a
 * quorum restarts nothing, and two nodes never take the same one.
 */
export class ClusterRestartBrake implements RestartBrake {
  readonly #node: string
  readonly #client: Pick<ConsensusClient, 'propose' | 'read'>

  constructor(
    options: { readonly node: string },
    collaborators: { readonly client: Pick<ConsensusClient, 'propose' | 'read'> },
  ) {
    this.#node = options.node
    this.#client = collaborators.client
  }

  /** @throws ConsensusError if the cluster cannot decide */
  async ask(service: string, signal: AbortSignal): Promise<string | null> {
    const serviceKey = `${PREFIX}service/${encodeURIComponent(service)}`
    if (!(await this.#take(serviceKey, SERVICE_PAUSE_MS, signal))) {
      return `a copy of ${service} was restarted less than ${SERVICE_PAUSE_MS / 1000} s ago`
    }
    const { view } = await this.#client.read('stale')
    const slots = Array.from({ length: RESTARTS_MAX }, (_, i) => `${PREFIX}slot/${i + 1}`)
    const free = slots.filter((slot) => view.kvGet(textToKey(slot)) === undefined)
    for (const slot of free) if (await this.#take(slot, RESTART_SLOT_MS, signal)) return null
    // Nothing was restarted: the next copy need not wait for it.
    await this.#client.propose(
      { type: 'kv.delete', key: textToKey(serviceKey) },
      { signal, timeoutMs: TIMEOUT_MS },
    )
    return `the cluster has restarted ${RESTARTS_MAX} containers in ${RESTART_SLOT_MS / 60_000} minutes`
  }

  async #take(key: string, ttlMs: number, signal: AbortSignal): Promise<boolean> {
    const { ok } = await this.#client.propose(
      {
        type: 'kv.set',
        key: textToKey(key),
        value: new TextEncoder().encode(this.#node),
        flags: 0n,
        cas: 0,
        ttlMs,
      },
      { signal, timeoutMs: TIMEOUT_MS },
    )
    return ok
  }
}
