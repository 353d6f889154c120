/** Random numbers from one seed (sfc32): the only source of chance in a simulation. */
export class Random {
  #a = 0x9e3779b9
  #b = 0x243f6a88
  #c: number
  #counter = 1

  constructor(seed: number) {
    this.#c = seed >>> 0
    // The first outputs of neighbouring seeds resemble each other.
    for (let i = 0; i < 16; i++) this.next()
  }

  /** Uniform in [0, 1). */
  readonly next = (): number => {
    const sum = (this.#a + this.#b + this.#counter++) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum
    return (sum >>> 0) / 2 ** 32
  }

  /** Uniform integer in [0, `below`). */
  below(below: number): number {
    return Math.floor(this.next() * below)
  }

  /** Uniform in [`from`, `to`). */
  between(from: number, to: number): number {
    return from + this.next() * (to - from)
  }

  /** Exponentially distributed. */
  exponential(mean: number): number {
    return -mean * Math.log(1 - this.next())
  }

  /** True with this probability. */
  chance(probability: number): boolean {
    return this.next() < probability
  }

  /** One of them; throws RangeError if there is none. */
  pick<T>(items: readonly T[]): T {
    const item = items[this.below(items.length)]
    if (item === undefined) throw new RangeError('nothing to pick from')
    return item
  }

  /** A copy in random order. */
  shuffle<T>(items: readonly T[]): T[] {
    return items
      .map((item) => ({ item, key: this.next() }))
      .sort((a, b) => a.key - b.key)
      .map(({ item }) => item)
  }
}
