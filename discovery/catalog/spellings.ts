import { compareText } from './node-view.ts'

const NONE: readonly string[] = Object.freeze([])

/** A name without what does not count when somebody looks for it: its case. */
export function foldName(name: string): string {
  return name.toLowerCase()
}

/** Names as they were registered, by the name without regard to case. */
export class Spellings {
  readonly #byFolded = new Map<string, readonly string[]>()

  add(name: string): void {
    const folded = foldName(name)
    const known = this.#byFolded.get(folded) ?? NONE
    if (!known.includes(name)) this.#byFolded.set(folded, [...known, name].sort(compareText))
  }

  delete(name: string): void {
    const folded = foldName(name)
    const left = (this.#byFolded.get(folded) ?? NONE).filter((known) => known !== name)
    if (left.length > 0) this.#byFolded.set(folded, left)
    else this.#byFolded.delete(folded)
  }

  /** Every spelling of a name that is there, sorted. */
  of(name: string): readonly string[] {
    return this.#byFolded.get(foldName(name)) ?? NONE
  }
}
