import type { MemberRecord, NodeId } from './types.ts'

/** What became of probes and suspicions since the start of a core. Every number only grows. */
export interface TallyCounts {
  /** Probes the target answered itself, those a helper answered for it, and those nobody answered. */
  readonly answered: number
  readonly relayed: number
  readonly silent: number
  /** Suspicions this node raised, and those it heard of. */
  readonly raised: number
  readonly heard: number
  /** Suspicions that ended with the member alive; of those, the ones this node had raised itself. */
  readonly refuted: number
  readonly falselyRaised: number
  /** Times this node had to say that it lives, or what its data are. */
  readonly refutations: number
}

/** Counts what a core does. Holds the suspects this node accuses, so no more than there are members. */
export class Tally {
  readonly #accused = new Set<NodeId>()
  readonly #counts = {
    answered: 0,
    relayed: 0,
    silent: 0,
    raised: 0,
    heard: 0,
    refuted: 0,
    falselyRaised: 0,
    refutations: 0,
  }

  get counts(): TallyCounts {
    return this.#counts
  }

  probed(outcome: 'answered' | 'relayed' | 'silent'): void {
    this.#counts[outcome]++
  }

  /** This node is about to suspect `id`. */
  accuses(id: NodeId): void {
    this.#accused.add(id)
  }

  refutes(): void {
    this.#counts.refutations++
  }

  memberChanged({ id, status }: MemberRecord, previous: MemberRecord | undefined): void {
    if (status === previous?.status) return
    if (status === 'suspect') {
      this.#counts[this.#accused.has(id) ? 'raised' : 'heard']++
      return
    }
    const own = this.#accused.delete(id)
    if (previous?.status !== 'suspect' || status !== 'alive') return
    this.#counts.refuted++
    if (own) this.#counts.falselyRaised++
  }
}
