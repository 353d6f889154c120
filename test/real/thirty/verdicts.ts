import { LogFollower } from './log-follower.ts'

/** What one node said in its log about another. `at` is the time of day in ms. */
export interface Verdict {
  readonly observer: string
  readonly member: string
  readonly what: 'alive' | 'failed' | 'left'
  readonly at: number
}

const MESSAGE = /^member (\S+) (failed|left|is alive)(?:$|,)/

/** Reads one line of an agent's log; null if it is no verdict on a member. */
export function verdictOf(observer: string, line: string): Verdict | null {
  if (!line.startsWith('{') || !line.includes('"msg":"member ')) return null
  const { time, msg } = JSON.parse(line) as { readonly time: string; readonly msg: string }
  const match = MESSAGE.exec(msg)
  if (match === null) return null
  const [, member = '', what = ''] = match
  return {
    observer,
    member,
    what: what === 'is alive' ? 'alive' : (what as 'failed' | 'left'),
    at: Date.parse(time),
  }
}

/** Follows the logs of all agents: every verdict, in order of their reading. */
export class Verdicts {
  readonly all: Verdict[] = []
  readonly #followers: ReadonlyMap<string, LogFollower>

  constructor(logFiles: ReadonlyMap<string, string>) {
    this.#followers = new Map([...logFiles].map(([name, path]) => [name, new LogFollower(path)]))
  }

  /** Reads what is new. */
  read(): void {
    for (const [observer, follower] of this.#followers) {
      for (const line of follower.read()) {
        const verdict = verdictOf(observer, line)
        if (verdict !== null) this.all.push(verdict)
      }
    }
  }

  /** The first time each of the observers said this of the member since `from`. */
  firstSince(from: number, member: string, what: Verdict['what']): ReadonlyMap<string, number> {
    const first = new Map<string, number>()
    for (const verdict of this.all) {
      if (verdict.member !== member || verdict.what !== what || verdict.at < from) continue
      if (!first.has(verdict.observer)) first.set(verdict.observer, verdict.at)
    }
    return first
  }

  close(): void {
    for (const follower of this.#followers.values()) follower.close()
  }
}
