/** The names this server is the authority for. */
export interface Zone {
  /** Answered under, lower case, without the last dot. The first is the one of the configuration. */
  readonly domains: readonly string[]
  readonly datacenter: string
}

/** What a name asks for. `domain` is the one of the zone it was asked under. */
export type Lookup = { readonly domain: string } & (
  | { readonly kind: 'apex' }
  /** `tag` is "" for none. */
  | { readonly kind: 'service'; readonly service: string; readonly tag: string }
  | { readonly kind: 'node'; readonly node: string }
  | { readonly kind: 'address'; readonly hex: string }
  /** Nothing is here, but there are names below it: not NXDOMAIN (RFC 8020), or resolvers stop looking. */
  | { readonly kind: 'between' }
  | { readonly kind: 'unknown' }
)

const KINDS: readonly string[] = ['service', 'node', 'addr']

/**
 * Takes a name apart as Consul's DNS interface does, from the right, without regard to case:
 * `[tag.]svc.service[.dc].domain`, `_svc._tag[.service][.dc].domain`, `node.node[.dc].domain`, `hex.addr[.dc].domain`.
 * Null if the name is in none of the domains.
 */
export function parseName(name: string, zone: Zone): Lookup | null {
  const asked = name.toLowerCase().replace(/\.$/, '')
  const domain = zone.domains
    .filter((candidate) => asked === candidate || asked.endsWith(`.${candidate}`))
    .sort((a, b) => b.length - a.length)[0]
  if (domain === undefined) return null
  if (asked === domain) return { kind: 'apex', domain }
  return {
    domain,
    ...parseLabels(asked.slice(0, -domain.length - 1).split('.'), zone.datacenter.toLowerCase()),
  }
}

type Below = Lookup extends infer L ? (L extends Lookup ? Omit<L, 'domain'> : never) : never

function parseLabels(labels: readonly string[], datacenter: string): Below {
  const rest = withoutDatacenter(labels, datacenter)
  if (rest === null) return { kind: 'unknown' }
  if (rest.length === 0) return { kind: 'between' }

  const kind = rest.at(-1) ?? ''
  const before = rest.slice(0, -1)
  if (!KINDS.includes(kind)) {
    return rest.every((label) => label.startsWith('_')) ? rfc2782(rest) : { kind: 'unknown' }
  }
  if (before.length === 0) return { kind: 'between' }
  if (kind === 'node') return { kind: 'node', node: before.join('.') }
  if (kind === 'addr')
    return before.length === 1 ? { kind: 'address', hex: before[0] ?? '' } : { kind: 'unknown' }
  if (before.length <= 2 && before.every((label) => label.startsWith('_'))) return rfc2782(before)
  return { kind: 'service', service: before.at(-1) ?? '', tag: before.slice(0, -1).join('.') }
}

/** Strips `.dc1` and `.dc1.dc` behind the kind. Null if another datacenter is named. */
function withoutDatacenter(labels: readonly string[], datacenter: string): readonly string[] | null {
  const isKind = (label: string | undefined) =>
    label !== undefined && (KINDS.includes(label) || label.startsWith('_'))
  const [third, second, last] = [labels.at(-3), labels.at(-2), labels.at(-1)]
  if (isKind(last)) return labels
  if (last === datacenter && (labels.length === 1 || isKind(second))) return labels.slice(0, -1)
  if (last !== 'dc') return null
  if (labels.length === 1) return []
  return second === datacenter && (labels.length === 2 || isKind(third)) ? labels.slice(0, -2) : null
}

/** `_svc._tag` (RFC 2782); `_tcp` stands for no tag, everything else, `_udp` too, is one. */
function rfc2782(labels: readonly string[]): Below {
  const [service = '', tag] = labels.map((label) => label.slice(1))
  if (tag === undefined) return { kind: 'between' }
  if (labels.length > 2) return { kind: 'unknown' }
  return { kind: 'service', service, tag: tag === 'tcp' ? '' : tag }
}
