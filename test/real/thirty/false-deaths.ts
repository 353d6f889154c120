import type { Verdict } from './verdicts.ts'

/** Time in which a node was rightly called failed. Times of day in ms; `to` is Infinity while it lasts. */
interface Excuse {
  readonly member: string
  /** Who had reason to say so; null: everybody. */
  readonly observers: ReadonlySet<string> | null
  readonly from: number
  to: number
}

/** News of a death may be read this long after the node is back: it was on its way. */
const LATE_MS = 2000
/** A node that has just started repeats what it is told of nodes that start as well, for at most this long after they did. */
const FIRST_WORD_MS = 30_000

/**
 * When each node could rightly be called failed. A node that runs and can be reached has no excuse, however slow the machine is;
 * neither has one that stood still for a moment.
 */
export class Excuses {
  readonly #excuses: Excuse[] = []
  readonly #starts: { readonly node: string; readonly at: number }[] = []

  /** From now on it may be called failed, by these or by everybody; answers how to end that. */
  begin(
    member: string,
    observers: ReadonlySet<string> | null = null,
    now = Date.now(),
  ): (now?: number) => void {
    const excuse: Excuse = { member, observers, from: now, to: Number.POSITIVE_INFINITY }
    this.#excuses.push(excuse)
    return (end = Date.now()) => {
      excuse.to = Math.min(excuse.to, end)
    }
  }

  /** A node starts: it knows nothing yet, and first hears what the others believe. */
  started(node: string, now = Date.now()): void {
    this.#starts.push({ node, at: now })
  }

  /** The verdicts of death that nothing excuses. They are given in the order of their time for each observer. */
  falseDeaths(verdicts: readonly Verdict[]): readonly Verdict[] {
    /** Time of the last word of an observer about a member. */
    const last = new Map<string, number>()
    return verdicts.filter((verdict) => {
      const { observer, member, at, what } = verdict
      const pair = `${observer} ${member}`
      const before = last.get(pair) ?? 0
      last.set(pair, at)
      return what === 'failed' && !this.#isExcused(verdict, before)
    })
  }

  #isExcused({ member, observer, at }: Verdict, lastWordAt: number): boolean {
    const own = this.#excuses.filter(
      (excuse) => excuse.member === member && (excuse.observers?.has(observer) ?? true) && at >= excuse.from,
    )
    if (own.some(({ to }) => at <= to + LATE_MS)) return true
    const isFirstWord = this.#starts.some(
      (start) => start.node === observer && start.at <= at && start.at > lastWordAt,
    )
    return isFirstWord && own.some(({ to }) => at <= to + FIRST_WORD_MS)
  }
}
