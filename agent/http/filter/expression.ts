/** What a comparison asks. Each has its negation, which is not the same as the negated comparison where several values are asked. */
export type MatchOperator = 'equal' | 'in' | 'empty' | 'matches' | 'nil'

/** The names that lead from an object to a value. */
export type Path = readonly string[]

/** A parsed filter expression (Consul's filter language). */
export type Expression =
  | { readonly kind: 'or' | 'and'; readonly terms: readonly Expression[] }
  | { readonly kind: 'not'; readonly term: Expression }
  | {
      readonly kind: 'match'
      readonly path: Path
      readonly operator: MatchOperator
      readonly isNegated: boolean
      /** "" where the operator takes none. */
      readonly value: string
    }
  | {
      readonly kind: 'any' | 'all'
      readonly path: Path
      /** One name: the element of a list, or the key of a map. Two: index or key, and value. `_` is no name. */
      readonly names: readonly [string] | readonly [string, string]
      readonly term: Expression
    }

/** Bounds of an expression. */
export const FILTER_LIMITS = Object.freeze({
  chars: 8_192,
  /** Parentheses, `not`, `any` and `all` within each other. */
  depth: 64,
  comparisons: 256,
  /**
   * Elements that an `any` or `all` within another looks at, for one object: each one more within them would multiply the work by the
   * length of its list.
   */
  nestedElements: 10_000,
  regexChars: 512,
  /** Instructions of a compiled regular expression: matching takes time proportional to this and to the length of the text. */
  regexInstructions: 1_024,
})
