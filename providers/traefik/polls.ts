/** The last poll of one Traefik. */
export interface Poll {
  /** Where it came from. */
  readonly address: string
  /** The node it said it runs on; null if it did not. */
  readonly local: string | null
  readonly userAgent: string
  /** ISO 8601. */
  readonly time: string
  /** 200, or 503 while the document is not to be trusted. */
  readonly status: number
  readonly bytes: number
  /** Entity tag of what it got; null with a 503. */
  readonly etag: string | null
  /** How often it has polled since the agent was started. */
  readonly count: number
}

/** Pollers remembered; the one that was silent for longest is forgotten first. */
const POLLERS_MAX = 64
const USER_AGENT_CHARS = 120

/** Who polls this agent, and when each did last: Traefik itself does not tell whether its provider works. */
export class PollLog {
  readonly #wall: () => number
  readonly #polls = new Map<string, Poll>()

  /** @param collaborators.wall Unix milliseconds */
  constructor({ wall }: { readonly wall: () => number }) {
    this.#wall = wall
  }

  note(poll: Omit<Poll, 'time' | 'count'>): void {
    const userAgent = poll.userAgent.slice(0, USER_AGENT_CHARS)
    const key = JSON.stringify([poll.address, poll.local, userAgent])
    const count = (this.#polls.get(key)?.count ?? 0) + 1
    this.#polls.delete(key)
    this.#polls.set(key, { ...poll, userAgent, count, time: new Date(this.#wall()).toISOString() })
    for (const oldest of this.#polls.keys()) {
      if (this.#polls.size <= POLLERS_MAX) break
      this.#polls.delete(oldest)
    }
  }

  /** The latest first. */
  list(): readonly Poll[] {
    return [...this.#polls.values()].reverse()
  }
}
