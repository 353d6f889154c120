/** The names this server is the authority for. */
export interface Domains {
  /** Answered under, lower case, without the last dot. The first is the one of the configuration, which short names are under. */
  readonly domains: readonly string[]
  readonly datacenter: string
}

/** One way to read a name. Services, tags and nodes are in lower case; `tag` is "" for none. */
export type Reading =
  | { readonly kind: 'apex' }
  /** The name of the name servers themselves. */
  | { readonly kind: 'nameServer' }
  | { readonly kind: 'service'; readonly service: string; readonly tag: string }
  /** The instances of a service on one node. */
  | { readonly kind: 'onNode'; readonly service: string; readonly tag: string; readonly node: string }
  | { readonly kind: 'node'; readonly node: string }
  /** Nothing is here, but there are names below it if the node exists. */
  | { readonly kind: 'aboveNode'; readonly node: string }
  | { readonly kind: 'address'; readonly hex: string }
  /** Nothing is here, but there are names below it: not NXDOMAIN (RFC 8020), or resolvers stop looking. */
  | { readonly kind: 'between' }

/** What a name may ask for: the first reading that finds something counts. None: there is no such name. */
export interface ParsedName {
  /** The domain it is under. */
  readonly domain: string
  readonly readings: readonly Reading[]
}

const SERVICE = 'service'
const NODE = 'node'
const KINDS: readonly string[] = [SERVICE, NODE, 'addr']
/** Kinds of names Consul has and this server does not: nothing is at or below them. */
const FOREIGN_KINDS: readonly string[] = ['query', 'connect', 'ingress', 'virtual']
/** Names of services and places of a word that are tried: a name of 127 labels must not be dear. */
const SERVICE_LABELS_MAX = 8
const PLACES_MAX = 4
const BETWEEN: readonly Reading[] = [{ kind: 'between' }]

/**
 * Takes a name apart as Consul's DNS interface does, from the right and without regard to case:
 * `[tag.]svc.service[.dc].domain`, `_svc._tag[.service][.dc].domain`, `node.node[.dc].domain`, `hex.addr[.dc].domain`; and for one
 * node `[tag.]svc.service.node.node[.dc].domain`, also written `[tag.]svc[.service].node.node-name[.dc].domain`. Under the first domain
 * also the short `svc.domain` and `svc.node-name.domain`. Null if the name is in none of the domains.
 */
export function parseName(name: string, zone: Domains): ParsedName | null {
  const asked = name.toLowerCase().replace(/\.$/, '')
  let domain: string | null = null
  for (const each of zone.domains) {
    const inside = asked === each || asked.endsWith(`.${each}`)
    if (inside && each.length > (domain?.length ?? -1)) domain = each
  }
  if (domain === null) return null
  if (asked === domain) return { domain, readings: [{ kind: 'apex' }] }
  const labels = asked.slice(0, -domain.length - 1).split('.')
  return { domain, readings: readingsOf(labels, zone.datacenter.toLowerCase(), domain === zone.domains[0]) }
}

function readingsOf(labels: readonly string[], datacenter: string, short: boolean): readonly Reading[] {
  if (labels.length === 1 && labels[0] === 'ns') return [{ kind: 'nameServer' }]
  const rest = withoutDatacenter(labels, datacenter)
  if (rest === null || rest.length === 0) return BETWEEN
  const kind = rest.at(-1) ?? ''
  const before = rest.slice(0, -1)
  if (FOREIGN_KINDS.includes(kind)) return []
  if (rest.length <= 2 && rest.every(isUnderscored)) return rfc2782(rest)
  if (!KINDS.includes(kind)) {
    return [...nodeBehindKind(rest), ...(short ? shortReadings(rest) : [])]
  }
  if (before.length === 0) return BETWEEN
  if (kind === NODE) return nodeReadings(before)
  if (kind === 'addr') return before.length === 1 ? [{ kind: 'address', hex: before[0] ?? '' }] : []
  if (before.length <= 2 && before.every(isUnderscored)) return rfc2782(before)
  return serviceReadings(before).map(({ service, tag }) => ({ kind: 'service', service, tag }))
}

/** Strips `.dc1` and `.dc1.dc` from the right. Null if only that is left of what is between names. */
function withoutDatacenter(labels: readonly string[], datacenter: string): readonly string[] | null {
  const last = labels.at(-1)
  if (last === datacenter) return labels.slice(0, -1)
  if (last !== 'dc') return labels
  if (labels.length === 1) return null
  return labels.at(-2) === datacenter ? labels.slice(0, -2) : labels
}

/** Consul reads the label before `service` as its name and all before as one tag; a service whose name has dots comes after that. */
function serviceReadings(labels: readonly string[]): { service: string; tag: string }[] {
  return labels.slice(0, SERVICE_LABELS_MAX).map((_, i) => {
    const at = labels.length - 1 - i
    return { service: labels.slice(at).join('.'), tag: labels.slice(0, at).join('.') }
  })
}

/** `node.node`, then `….service.node.node` for every place the word stands at, and `_svc._tag.node.node`. */
function nodeReadings(before: readonly string[]): readonly Reading[] {
  const readings: Reading[] = [{ kind: 'node', node: before.join('.') }]
  for (const at of placesOf(SERVICE, before)) {
    readings.push(...onNode(before.slice(0, at), before.slice(at + 1)))
  }
  const underscored = before.findIndex((label) => !isUnderscored(label))
  if (underscored > 0) readings.push(...onNode(before.slice(0, underscored), before.slice(underscored)))
  return readings
}

/** `[tag.]svc[.service].node.node-name`, for every place the word stands at. */
function nodeBehindKind(labels: readonly string[]): readonly Reading[] {
  const readings: Reading[] = []
  for (const at of placesOf(NODE, labels)) {
    const before = labels.slice(0, at)
    readings.push(...onNode(before.at(-1) === SERVICE ? before.slice(0, -1) : before, labels.slice(at + 1)))
  }
  return readings
}

/** Where a word stands with something behind it. */
function placesOf(word: string, labels: readonly string[]): readonly number[] {
  const places: number[] = []
  for (let at = 0; at < labels.length - 1 && places.length < PLACES_MAX; at++) {
    if (labels[at] === word) places.push(at)
  }
  return places
}

/** `svc` anywhere, or its copy on a node. */
function shortReadings(labels: readonly string[]): readonly Reading[] {
  const [service = '', ...node] = labels
  const anywhere: Reading[] = serviceReadings(labels)
    .filter(({ tag }) => tag === '')
    .map((each) => ({ kind: 'service', ...each }))
  if (node.length === 0) return [...anywhere, { kind: 'aboveNode', node: service }]
  const there = node.join('.')
  return [
    { kind: 'onNode', service, tag: '', node: there },
    ...anywhere,
    { kind: 'aboveNode', node: labels.join('.') },
  ]
}

function onNode(left: readonly string[], nodeLabels: readonly string[]): readonly Reading[] {
  const node = nodeLabels.join('.')
  if (left.length === 0) return [{ kind: 'aboveNode', node }]
  if (left.length <= 2 && left.every(isUnderscored)) {
    return rfc2782(left).map((reading) =>
      reading.kind === 'service' ? { ...reading, kind: 'onNode', node } : { kind: 'aboveNode', node },
    )
  }
  return serviceReadings(left).map(({ service, tag }) => ({ kind: 'onNode', service, tag, node }))
}

function isUnderscored(label: string): boolean {
  return label.startsWith('_')
}

/** `_svc._tag` (RFC 2782); `_tcp` stands for no tag, everything else, `_udp` too, is one. */
function rfc2782(labels: readonly string[]): readonly Reading[] {
  const [service = '', tag] = labels.map((label) => label.slice(1))
  if (tag === undefined) return BETWEEN
  return [{ kind: 'service', service, tag: tag === 'tcp' ? '' : tag }]
}
