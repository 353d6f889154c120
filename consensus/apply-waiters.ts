interface Waiter {
  readonly index: number
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

/** Who waits until the state machine has reached which index. */
export class ApplyWaiters {
  readonly #waiters = new Set<Waiter>()

  /** Resolves once `applied` reaches `index`; rejects when the node ends. `cancel` gives up waiting. */
  wait(index: number): { promise: Promise<void>; cancel: () => void } {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const waiter = { index, resolve, reject }
    this.#waiters.add(waiter)
    return { promise, cancel: () => this.#waiters.delete(waiter) }
  }

  /** Everything up to `index` is applied. */
  applied(index: number): void {
    for (const waiter of this.#waiters) {
      if (waiter.index > index) continue
      this.#waiters.delete(waiter)
      waiter.resolve()
    }
  }

  /** Nothing will be applied any more. */
  rejectAll(error: Error): void {
    for (const { reject } of this.#waiters) reject(error)
    this.#waiters.clear()
  }
}
