import type { Logger } from 'pino'
import type { ConsensusClient } from '../consensus/client.ts'
import { supersedes } from '../consensus/cluster-id.ts'
import type { Member, Membership } from '../discovery/membership/types.ts'

const REPORT_MS = 60_000

/**
 * Notices that nodes of two clusters have met in one gossip: same name, same key, but each side has a log and a leader of its
 * own. It happens when a node was started alone before it was told whom to join. Facts merge, decisions never do, so the
 * smaller side must stand back until its operator starts it afresh. Of a recovered cluster and what was left of the one
 * before it, the recovered one stays, whatever their sizes: an operator has decided so.
 */
export class ForeignCluster {
  readonly #consensus: ConsensusClient
  readonly #membership: Membership
  readonly #log: Logger
  readonly #now: () => number
  #reason: string | null = null
  #reportedAt = Number.NEGATIVE_INFINITY

  constructor(collaborators: {
    consensus: ConsensusClient
    membership: Membership
    log: Logger
    now: () => number
  }) {
    this.#consensus = collaborators.consensus
    this.#membership = collaborators.membership
    this.#log = collaborators.log
    this.#now = collaborators.now
  }

  /** Why this node must stand back, or null: it met no other cluster, or only a smaller one. As of the last `check`. */
  get reason(): string | null {
    return this.#reason
  }

  /** Looks again. Logs one line a minute, on both sides, while two clusters are in sight. */
  check(): void {
    const own = this.#consensus.status().clusterId
    const sides = this.#sides()
    const others = [...sides].filter(([id]) => id !== own).sort(bySize)
    const other = others.find(([id]) => own !== null && supersedes(id, own)) ?? others[0]
    if (own === null || other === undefined) {
      this.#reason = null
      return
    }
    const [otherId, otherNames] = other
    const ownNames = sides.get(own) ?? []
    const isOld = supersedes(otherId, own)
    const yields = isOld || (!supersedes(own, otherId) && bySize([own, ownNames], other) > 0)
    const sentence = `two clusters share this name and key: ${ownNames.join(', ')} (${own}) and ${otherNames.join(', ')} (${otherId})`
    const way = isOld
      ? 'the second was recovered from the first, which is over: stop this node, move its data_dir away and start it again as a new one'
      : supersedes(own, otherId)
        ? 'the first was recovered from the second, whose nodes stand back until they are started with an empty data_dir'
        : yields
          ? 'this node is on the smaller side and stands back; to make it join the other, stop it, move its data_dir away and start it again'
          : 'the nodes on the smaller side stand back until they are started with an empty data_dir'
    this.#reason = yields ? `${sentence}; ${way}` : null
    if (this.#now() - this.#reportedAt < REPORT_MS) return
    this.#reportedAt = this.#now()
    this.#log.error(`${sentence}; ${way}`)
  }

  /** Names of the living members by the cluster they say they are in. */
  #sides(): Map<string, string[]> {
    const sides = new Map<string, string[]>()
    for (const member of this.#membership.members()) {
      const id = member.meta.cluster ?? ''
      if (id === '' || !isAlive(member)) continue
      sides.set(id, [...(sides.get(id) ?? []), member.name])
    }
    return sides
  }
}

function isAlive({ status }: Member): boolean {
  return status === 'alive' || status === 'suspect'
}

/** Larger first; of equal ones the smaller id, so that both sides judge alike. */
function bySize(
  [idA, a]: readonly [string, readonly string[]],
  [idB, b]: readonly [string, readonly string[]],
): number {
  return b.length - a.length || (idA < idB ? -1 : 1)
}
