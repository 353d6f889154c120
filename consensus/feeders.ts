import type { FeedMembers } from './feed-messages.ts'

/** A member that failed is left alone for this long, twice as long each time up to the maximum; in ticks. */
const PENALTY_TICKS = 2
const PENALTY_TICKS_MAX = 100

interface Penalty {
  readonly until: number
  readonly ticks: number
}

/**
 * Which member a client asks next: one at random of those that do not lead, so that clients spread and the leader is
 * spared; the leader if there is nobody else. One that failed or refused is left alone for a while.
 */
export class Feeders {
  readonly #own: string
  readonly #tickMs: number
  readonly #random: () => number
  readonly #penalties = new Map<string, Penalty>()
  #members: readonly string[] = []
  #leader = ''

  constructor(options: { readonly nodeId: string; readonly tickMs: number; readonly random: () => number }) {
    this.#own = options.nodeId
    this.#tickMs = options.tickMs
    this.#random = options.random
  }

  get members(): readonly string[] {
    return this.#members
  }

  /** Who belongs to the cluster now. */
  setMembers({ voters, learners }: FeedMembers): void {
    this.#members = [...new Set([...voters, ...learners])].filter((id) => id !== this.#own)
    for (const id of this.#penalties.keys()) if (!this.#members.includes(id)) this.#penalties.delete(id)
  }

  setLeader(leader: string): void {
    if (leader !== '') this.#leader = leader
  }

  /** It did not answer, refused, or is of no use now. */
  failed(id: string, now: number): void {
    const before = this.#penalties.get(id)
    const ticks = Math.min(before === undefined ? PENALTY_TICKS : 2 * before.ticks, PENALTY_TICKS_MAX)
    this.#penalties.set(id, { ticks, until: now + ticks * this.#tickMs })
  }

  /** It answered. */
  worked(id: string): void {
    this.#penalties.delete(id)
  }

  /** Whom to ask now; null while everybody is left alone. */
  pick(now: number): string | null {
    const free = this.#members.filter((id) => (this.#penalties.get(id)?.until ?? 0) <= now)
    const spared = free.filter((id) => id !== this.#leader)
    const choice = spared.length > 0 ? spared : free
    return choice[Math.floor(this.#random() * choice.length)] ?? null
  }

  /** True if `feeder` leads while another member could be asked. */
  isBetterThan(feeder: string, now: number): boolean {
    if (feeder !== this.#leader) return false
    const choice = this.pick(now)
    return choice !== null && choice !== feeder
  }
}
