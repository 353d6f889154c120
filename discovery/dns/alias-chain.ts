import type { ResourceRecord } from './records.ts'

/** Length of a chain of aliases that is followed. */
const LINKS_MAX = 3

/** The records of a name; none if it has none of the type that was asked; null if it is not one of ours. */
export type Lookup = (name: string) => readonly ResourceRecord[] | null

/** Answers with what their alias leads to. */
export interface Chain {
  readonly answers: readonly ResourceRecord[]
  /** The last answer is an alias of this name, which is not one of ours. */
  readonly aliasOf?: string
}

/** Follows the alias that ends the answers about `name`, as far as it leads to names of ours and to none twice. */
export function followAliases(name: string, answers: readonly ResourceRecord[], lookup: Lookup): Chain {
  const chain = [...answers]
  const seen = new Set([plain(name)])
  for (let links = 1; links <= LINKS_MAX; links++) {
    const last = chain.at(-1)
    if (last?.type !== 'CNAME' || seen.has(plain(last.data))) break
    seen.add(plain(last.data))
    const next = lookup(last.data)
    if (next === null) return { answers: chain, aliasOf: last.data }
    chain.push(...next)
  }
  return { answers: chain }
}

function plain(name: string): string {
  return name.toLowerCase().replace(/\.$/, '')
}
