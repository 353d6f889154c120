/** What happens at one moment. Only reading a snapshot is asynchronous, and it takes no virtual time. */
export type Action = () => void | Promise<void>

interface Scheduled {
  readonly at: number
  readonly order: number
  readonly run: Action
}

function isBefore(a: Scheduled, b: Scheduled): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order)
}

/** A binary heap of what will happen, by virtual time; at equal times in the order it was scheduled. */
export class EventQueue {
  readonly #heap: Scheduled[] = []
  #order = 0

  get size(): number {
    return this.#heap.length
  }

  /** Time of the next event, Infinity if there is none. */
  get nextAt(): number {
    return this.#heap[0]?.at ?? Number.POSITIVE_INFINITY
  }

  push(at: number, run: Action): void {
    const item = { at, order: this.#order++, run }
    let i = this.#heap.length
    this.#heap.push(item)
    while (i > 0) {
      const parent = (i - 1) >> 1
      const above = this.#heap[parent]
      if (above === undefined || isBefore(above, item)) break
      this.#heap[i] = above
      i = parent
    }
    this.#heap[i] = item
  }

  pop(): { readonly at: number; readonly run: Action } | undefined {
    const top = this.#heap[0]
    const last = this.#heap.pop()
    if (top === undefined || last === undefined || this.#heap.length === 0) return top
    const { length } = this.#heap
    let i = 0
    for (;;) {
      let child = 2 * i + 1
      const left = this.#heap[child]
      if (left === undefined) break
      const right = child + 1 < length ? this.#heap[child + 1] : undefined
      const smaller = right !== undefined && isBefore(right, left) ? right : left
      if (smaller === right) child++
      if (isBefore(last, smaller)) break
      this.#heap[i] = smaller
      i = child
    }
    this.#heap[i] = last
    return top
  }
}
