import { setTimeout as sleep } from 'node:timers/promises'
import type { ConsensusClient } from '../consensus/client.ts'
import { isConsensusError } from '../consensus/errors.ts'
import type { Catalog } from '../discovery/catalog/types.ts'
import type { ForeignCluster } from './foreign-cluster.ts'

/** One try to read what the leader has committed. Milliseconds. */
const CATCH_UP_MS = 2000
/** An event loop that was not seen to turn for this long is hung. Milliseconds. */
const STALL_MS_MAX = 10_000
/**
 * How long after its start a node that finds no leader keeps back what it knows, since it may not know everything that was decided. Then
 * it is better than nothing: a host that comes back alone still has to find its own services. Milliseconds.
 */
const ALONE_MS = 10_000
/** How often somebody who waits looks again. Milliseconds. */
const LOOK_MS = 20

/**
 * Whether this node may be sent traffic, and why not. `synced` is a latch: once the catalogue was complete its views go on
 * answering without a leader, from what this node knows.
 */
export class AgentReadiness {
  readonly #consensus: ConsensusClient
  readonly #catalog: Catalog
  readonly #mesh: { readonly identityInUseAt: string | null }
  readonly #declared: { settled(): Promise<void> }
  readonly #foreign: ForeignCluster
  readonly #membership: { readonly refusal: string | null }
  readonly #now: () => number
  readonly #startedAt: number
  #lastBeat: number
  #synced = false
  #caughtUpIndex: number | null = null
  #complete = false
  #stopping = false

  constructor(collaborators: {
    consensus: ConsensusClient
    catalog: Catalog
    mesh: { readonly identityInUseAt: string | null }
    /** Brings what is declared into the catalogue. */
    declared: { settled(): Promise<void> }
    foreign: ForeignCluster
    membership: { readonly refusal: string | null }
    now: () => number
  }) {
    this.#consensus = collaborators.consensus
    this.#catalog = collaborators.catalog
    this.#mesh = collaborators.mesh
    this.#declared = collaborators.declared
    this.#foreign = collaborators.foreign
    this.#membership = collaborators.membership
    this.#now = collaborators.now
    this.#startedAt = this.#now()
    this.#lastBeat = this.#startedAt
  }

  /** To be called regularly by the main loop; its absence is what `alive` detects. */
  beat(): void {
    this.#lastBeat = this.#now()
    void this.synced()
  }

  /**
   * Waits until this node holds everything that was committed when it asked: from its own log it cannot know how far
   * behind it is. Ends with the signal.
   */
  async catchUp(signal: AbortSignal): Promise<void> {
    while (this.#caughtUpIndex === null && !signal.aborted) {
      try {
        await this.#consensus.read('default', { timeoutMs: CATCH_UP_MS, signal })
        await this.#declared.settled()
        this.#caughtUpIndex = this.#consensus.status().appliedIndex
      } catch (error) {
        // It has waited for a leader inside; any other failure ends the agent elsewhere.
        if (!isConsensusError(error, 'CST_NO_LEADER')) return
      }
    }
  }

  /** Log index up to which this node had applied when `catchUp` had succeeded; null until then. */
  get caughtUpIndex(): number | null {
    return this.#caughtUpIndex
  }

  stopping(): void {
    this.#stopping = true
  }

  reasons(): readonly string[] {
    const reasons: string[] = []
    const status = this.#consensus.status()
    if (this.#stopping) reasons.push('the agent is stopping')
    if (status.failure !== null) reasons.push(`consensus has stopped on this node: ${status.failure}`)
    if (status.diskFull !== null) reasons.push(`no writes are taken here: ${status.diskFull}`)
    const elsewhere = this.#mesh.identityInUseAt
    if (elsewhere !== null)
      reasons.push(`the identity of this node is in use at ${elsewhere}: this node is refused by the others`)
    if (status.supersededBy !== null)
      reasons.push(`the cluster of this node was recovered without it as ${status.supersededBy}`)
    else if (status.clusterId === null) {
      reasons.push('this node is not part of a cluster yet')
      if (this.#membership.refusal !== null) reasons.push(this.#membership.refusal)
    } else if (status.leader === null)
      reasons.push('no leader is known: a majority of the voters cannot be reached')
    else if (this.#caughtUpIndex === null) reasons.push('this node has not caught up with the leader yet')
    if (this.#foreign.reason !== null) reasons.push(this.#foreign.reason)
    if (!this.#catalog.synced) reasons.push('the catalogue has not been exchanged with another node yet')
    return reasons
  }

  /** True once this node knows the catalogue, and what was declared, as far as it can: until then a service it does not know may be there. */
  get complete(): boolean {
    if (this.#complete || !this.#catalog.synced) return this.#complete
    this.#complete = this.#caughtUpIndex !== null || this.#now() - this.#startedAt >= ALONE_MS
    return this.#complete
  }

  /** Waits until `complete`, at most `ms`. False if it is not by then. Ends with the signal. */
  async whenComplete(ms: number, signal: AbortSignal): Promise<boolean> {
    const until = this.#now() + ms
    while (!this.complete && this.#now() < until && !signal.aborted) await sleep(LOOK_MS)
    return this.complete
  }

  ready(): boolean {
    return this.reasons().length === 0
  }

  alive(): boolean {
    return this.#consensus.status().failure === null && this.#now() - this.#lastBeat < STALL_MS_MAX
  }

  /** True from the first moment this node was ready on: its views are then worth serving, leader or not. */
  synced(): boolean {
    this.#synced ||= this.ready()
    return this.#synced
  }
}
