/** An address this node finds the cluster by (`cluster.join`), and the node that was found there; null: none yet. */
export interface Seed {
  readonly address: string
  readonly id: string | null
}

/** Whom to found a cluster with, sorted; or what has to happen first. */
export type FounderChoice = { readonly founders: readonly string[] } | { readonly waitingFor: string }

/**
 * Whether `self` may found a cluster with `founders`, given the addresses it finds others by, its own left out. Several nodes of a
 * cluster that starts may see different others at first. Two attempts that share no founder would both succeed, so all have to share
 * one: with as many addresses as founders or more, all the others are at those (of a long list only its first 2·expect − 2
 * count); with fewer addresses, whoever is at them is a founder. With the same list on every node, or the same but for its own
 * address, any two attempts have a founder in common.
 */
export function mayFound(
  founders: readonly string[],
  self: string,
  expect: number,
  seeds: readonly Seed[],
): boolean {
  const named = distinct(seeds)
  if (named.length < expect) return named.every(({ id }) => id !== null && founders.includes(id))
  const eligible = named.slice(0, 2 * expect - 2).map(({ id }) => id)
  return founders.every((id) => id === self || eligible.includes(id))
}

/**
 * Whether somebody among `candidates` should have been asked instead of one of `founders`, whom the proposer cannot have known of.
 * Only where no addresses say who founds: of many nodes that start at once each knows some of the others, and two groups
 * would found one each. Who is asked belongs to every choice of its own.
 */
export function overlooksBetter(
  founders: readonly string[],
  self: string,
  candidates: readonly string[],
  seeds: readonly Seed[],
): boolean {
  if (seeds.length > 0) return false
  const last =
    founders
      .filter((id) => id !== self)
      .sort()
      .at(-1) ?? ''
  return candidates.some((id) => id < last && !founders.includes(id))
}

/** The founders `self` would propose: those with the smallest ids among `candidates` with whom it may. */
export function chooseFounders(
  self: string,
  candidates: readonly string[],
  expect: number,
  seeds: readonly Seed[],
): FounderChoice {
  const named = distinct(seeds)
  if (named.length >= expect) {
    const eligible = named.slice(0, 2 * expect - 2)
    const there = candidates.filter((candidate) => eligible.some(({ id }) => id === candidate))
    return firstOf([self, ...there], expect)
  }
  const missing = named.filter(({ id }) => id === null || !candidates.includes(id))
  if (missing.length > 0) {
    const who = missing.map(({ address }) => address).join(', ')
    return {
      waitingFor: `${who} (cluster.join) to form a cluster of ${expect}: not there yet, or with another bootstrap_expect`,
    }
  }
  const certain = [self, ...named.flatMap(({ id }) => id ?? [])]
  const others = candidates.filter((id) => !certain.includes(id)).sort()
  return firstOf([...certain, ...others.slice(0, expect - certain.length)], expect)
}

function firstOf(nodes: readonly string[], expect: number): FounderChoice {
  const founders = [...nodes].sort().slice(0, expect)
  if (founders.length < expect)
    return { waitingFor: `${expect} nodes to form a cluster; ${founders.length} here` }
  return { founders }
}

/** Two addresses of one node count once. */
function distinct(seeds: readonly Seed[]): readonly Seed[] {
  return seeds.filter(({ id }, at) => id === null || seeds.findIndex((seed) => seed.id === id) === at)
}
