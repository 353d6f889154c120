import type { AutopilotConfig } from './autopilot.ts'
import { allNodes, isVoter } from './raft/configuration.ts'
import type { Raft } from './raft/raft.ts'
import type { NodeId } from './raft/types.ts'

/** A node of the Raft configuration as the leader sees it. */
export interface ServerReport {
  readonly id: NodeId
  readonly voter: boolean
  readonly leader: boolean
  /** Milliseconds since it answered the leader last, counted from the election if it has not answered yet; 0 for the leader. */
  readonly lastContactMs: number
  /** How far its log is known to agree with the leader's. */
  readonly lastIndex: number
  /** Term of that entry; 0 if the leader's log does not reach back to it. */
  readonly lastTerm: number
  /** It answers and is close behind, within the bounds of the autopilot configuration. */
  readonly healthy: boolean
  /** Since when `healthy` is what it is: the leader's wall clock, milliseconds since 1970; at the earliest its election. */
  readonly stableSince: number
}

/** The Raft group as its leader sees it. */
export interface LeaderReport {
  readonly term: number
  readonly commitIndex: number
  readonly servers: readonly ServerReport[]
}

/** How often a server that has everything is asked for a sign of life, in milliseconds: it cannot answer more often. */
export interface AskedEvery {
  readonly voterMs: number
  readonly learnerMs: number
}

/** Whether each server is healthy, and since when: on the leader, which alone can know. */
export class ServerHealth {
  readonly #askedEvery: AskedEvery
  readonly #states = new Map<NodeId, { readonly healthy: boolean; readonly since: number }>()

  constructor(askedEvery: AskedEvery) {
    this.#askedEvery = askedEvery
  }

  /** This node begins to lead, or was paused: what it knew before says nothing. */
  restart(): void {
    this.#states.clear()
  }

  /**
   * Looks at every server. Call now and then, so that a change is noticed when it happens. `silentMs`: for how long a
   * server has not answered; `wall`: milliseconds since 1970.
   */
  look(
    raft: Pick<Raft, 'id' | 'term' | 'log' | 'progress' | 'configuration'>,
    config: AutopilotConfig,
    silentMs: (id: NodeId) => number,
    wall: number,
  ): LeaderReport {
    const { log, term, configuration } = raft
    const ids = allNodes(configuration)
    for (const id of this.#states.keys()) if (!ids.includes(id)) this.#states.delete(id)
    const servers = ids.map((id): ServerReport => {
      const leader = id === raft.id
      const lastIndex = leader ? log.lastIndex : (raft.progress.get(id)?.matchIndex ?? 0)
      const lastContactMs = leader ? 0 : silentMs(id)
      const isClose = lastIndex > 0 && log.lastIndex - lastIndex <= config.maxTrailingLogs
      const voter = isVoter(configuration, id)
      const unansweredMs = lastContactMs - (voter ? this.#askedEvery.voterMs : this.#askedEvery.learnerMs)
      const healthy = leader || (isClose && unansweredMs <= config.lastContactThresholdMs)
      const lastTerm = log.termAt(lastIndex) ?? 0
      const stableSince = this.#since(id, healthy, wall)
      return { id, voter, leader, lastContactMs, lastIndex, lastTerm, healthy, stableSince }
    })
    return { term, commitIndex: log.committedIndex, servers }
  }

  #since(id: NodeId, healthy: boolean, wall: number): number {
    const known = this.#states.get(id)
    if (known?.healthy === healthy) return known.since
    this.#states.set(id, { healthy, since: wall })
    return wall
  }
}
