/**
 * What shows that a mutant is wrong: the simulator, within so many seeds from 1 on, or a test file that fails. The seeds
 * are several times what it takes on average, because every change of the code changes what a seed does.
 */
export type FoundBy =
  | { readonly seeds: number; readonly rare?: true }
  | { readonly test: string; readonly slow?: true }

/** A bug put into a copy of the sources. */
export interface Mutant {
  readonly name: string
  /** The known failure of Raft systems it repeats, by its number in docs/failure-catalogue.md; '' for others. */
  readonly catalogue: string
  /** What is wrong. */
  readonly sentence: string
  /** Each `from` must occur exactly once in its file. */
  readonly edits: readonly { readonly file: string; readonly from: string; readonly to: string }[]
  readonly foundBy: FoundBy
}
