/** What a {@link DeadlineTimer} watches. `now` is a monotonic clock in ms. */
export interface DeadlineTimerCollaborators {
  readonly now: () => number
  /** When something is due next, on the same clock. */
  readonly deadline: () => number
  readonly onDue: (now: number) => void
}

/** Calls when a deadline that moves has come. One that moves back is noticed only when the timer fires, which is cheaper. */
export class DeadlineTimer {
  readonly #with: DeadlineTimerCollaborators
  #timer: NodeJS.Timeout | null = null
  #armedFor = Number.POSITIVE_INFINITY

  constructor(collaborators: DeadlineTimerCollaborators) {
    this.#with = collaborators
  }

  /** The deadline may have moved. */
  arm(): void {
    const { now, deadline } = this.#with
    const due = deadline()
    if (due >= this.#armedFor) return
    this.disarm()
    this.#armedFor = due
    this.#timer = setTimeout(() => this.#fire(), Math.max(0, Math.ceil(due - now())))
  }

  #fire(): void {
    this.disarm()
    const now = this.#with.now()
    if (now < this.#with.deadline()) this.arm()
    else this.#with.onDue(now)
  }

  /** Forgets the deadline until the next `arm`. */
  disarm(): void {
    if (this.#timer) clearTimeout(this.#timer)
    this.#timer = null
    this.#armedFor = Number.POSITIVE_INFINITY
  }
}
