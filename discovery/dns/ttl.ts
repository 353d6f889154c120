/** How long answers may be kept, in seconds. */
export interface Ttls {
  readonly node: number
  /** By name of the service, or a prefix of it and `*`. The name itself counts before prefixes, longer ones before shorter ones. */
  readonly service: Readonly<Record<string, number>>
  /** That a name or type does not exist (RFC 2308). */
  readonly negative: number
}

/** The time of each service out of the table. Names are compared in lower case, as they are asked. */
export function serviceTtls(table: Ttls['service']): (service: string) => number {
  const exact = new Map<string, number>()
  const prefixes: { readonly prefix: string; readonly seconds: number }[] = []
  for (const [key, seconds] of Object.entries(table)) {
    const lower = key.toLowerCase()
    if (lower.endsWith('*')) prefixes.push({ prefix: lower.slice(0, -1), seconds })
    else exact.set(lower, seconds)
  }
  prefixes.sort((a, b) => b.prefix.length - a.prefix.length)
  return (service) =>
    exact.get(service) ?? prefixes.find(({ prefix }) => service.startsWith(prefix))?.seconds ?? 0
}
