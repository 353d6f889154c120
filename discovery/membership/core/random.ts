/** Shuffles in place (Fisher–Yates) with the injected generator. */
export function shuffle<T>(list: T[], random: () => number): void {
  for (let i = list.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1))
    const a = list[i] as T
    list[i] = list[j] as T
    list[j] = a
  }
}

/** Up to `count` distinct elements in random order. */
export function sample<T>(list: readonly T[], count: number, random: () => number): T[] {
  const copy = [...list]
  shuffle(copy, random)
  return copy.slice(0, count)
}

/** A 32-bit generator from a seed (mulberry32), for tests and simulation. Answers in [0, 1). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}
