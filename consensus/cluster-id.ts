/*
 * The id of a cluster is the UUID of the attempt that founded it. A recovery (`recovery.ts`) makes a new cluster of what one
 * survivor has stored, and its id says of which: the UUID, `+`, the generation, `-` and a random part, so that two
 * survivors recovered apart from each other do not take each other for one cluster. Example: 5afd5d9f-7eac-4577-8801-3913de5b7a48+2-9c1f0a7e.
 */
const RECOVERED = /^(.+)\+([1-9]\d{0,8})-([0-9a-f]{8})$/

function parse(clusterId: string): { readonly root: string; readonly generation: number } {
  const [, root = clusterId, generation = '0'] = RECOVERED.exec(clusterId) ?? []
  return { root, generation: Number(generation) }
}

/** The id of the cluster recovered from a member of `clusterId`. `random`: eight hexadecimal digits. */
export function recoveredClusterId(clusterId: string, random: string): string {
  const { root, generation } = parse(clusterId)
  return `${root}+${generation + 1}-${random}`
}

/**
 * True if cluster `newer` was recovered from `older`, or from one that was. Of two that were recovered as often from the
 * same cluster neither is older.
 */
export function supersedes(newer: string, older: string): boolean {
  const [a, b] = [parse(newer), parse(older)]
  return a.root === b.root && a.generation > b.generation
}
