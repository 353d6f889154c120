import type { NodeId } from './types.ts'

const NAMES_MAX = 64
const VOTES_MAX = 64
/** Votes that decide in a cluster with more members than that: the others tell the same sooner or later. */
const ELECTORATE_MAX = 16

/** One that has a name, or claims it, as it is known here. */
export interface Candidate {
  readonly id: NodeId
  readonly incarnation: number
}

/**
 * Whom peers list under a name that two living members have. Who had it first keeps it, but on two sides of a partition there
 * is one each, and when it has healed every side has its own. Then the one that more members list has it, or else the one that
 * was told of more often, or else the one with the smaller id: what every member can know.
 */
export class NameVotes {
  /** By name: for whom each peer is. */
  readonly #votes = new Map<string, Map<NodeId, NodeId>>()

  /** Names of which two are known to be listed. */
  names(): IterableIterator<string> {
    return this.#votes.keys()
  }

  /** `peer` lists `candidate` under the name, as of now. */
  cast(name: string, peer: NodeId, candidate: NodeId): void {
    const votes = this.#votes.get(name) ?? new Map<NodeId, NodeId>()
    if (!this.#votes.has(name)) {
      evict(this.#votes, NAMES_MAX)
      this.#votes.set(name, votes)
    }
    votes.delete(peer)
    evict(votes, VOTES_MAX)
    votes.set(peer, candidate)
  }

  /** True if `rival` is to have the name that `holder` has here. `voters`: all living members but the two, this node included. */
  isOutvoted(name: string, holder: Candidate, rival: Candidate, voters: number): boolean {
    const said = [...(this.#votes.get(name)?.values() ?? [])]
    const forRival = said.filter((id) => id === rival.id).length
    // This node itself lists the holder.
    const forHolder = 1 + said.filter((id) => id === holder.id).length
    const half = Math.min(voters, ELECTORATE_MAX) / 2
    if (forRival < half || forRival < forHolder) return false
    return forRival > Math.max(half, forHolder) || precedes(rival, holder)
  }

  /** It is settled, or of no interest any more. */
  forget(name: string): void {
    this.#votes.delete(name)
  }
}

function precedes(a: Candidate, b: Candidate): boolean {
  return a.incarnation === b.incarnation ? a.id < b.id : a.incarnation > b.incarnation
}

function evict(map: Map<string, unknown>, max: number): void {
  const [oldest] = map.keys()
  if (oldest !== undefined && map.size >= max) map.delete(oldest)
}
