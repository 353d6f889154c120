import { isIP } from 'node:net'
import type { Tree } from './tree.ts'

/** One port of a service in a Compose file. */
export interface ComposePort {
  /** The port the program listens on in its container. */
  readonly target: number
  /** First port on the host; null = Docker chooses one. */
  readonly published: number | null
  /** Last port on the host Docker may choose; equals `published` for a single one. */
  readonly publishedLast: number | null
  /** "" = every address of the host. */
  readonly hostIp: string
  readonly protocol: 'tcp' | 'udp'
  readonly where: string
}

/** What an entry of `ports` says, or what is wrong with it. */
export type PortEntry =
  | { readonly ports: readonly ComposePort[] }
  | { readonly where: string; readonly problem: string }

const PORT_MAX = 65_535
const RANGE_MAX = 1024

/**
 * Reads an entry of `ports`: `8080`, `80:8080`, `127.0.0.1:80:8080/tcp`, `[::1]:80:80`, ranges, and the long form.
 * (docs.docker.com, Compose file reference, "ports")
 */
export function readPort(tree: Tree): PortEntry {
  const { where } = tree
  if (tree.kind === 'map') return readLong(tree)
  if (tree.kind !== 'scalar' || tree.value === null)
    return { where, problem: 'is neither a text nor a mapping' }
  return readShort(String(tree.value), where)
}

function readShort(source: string, where: string): PortEntry {
  const wrong = (problem: string) => ({ where, problem: `"${source}" ${problem}` })
  const [text = '', protocol = 'tcp', ...rest] = source.split('/')
  if (rest.length > 0 || (protocol !== 'tcp' && protocol !== 'udp')) {
    return wrong('has a protocol that is neither tcp nor udp')
  }
  const parts = /^(?:(?:\[([^\]]*)\]|([^:[\]]*)):)?(?:([^:]*):)?([^:]+)$/.exec(text)
  if (parts === null) return wrong('is not [IP:][HOST:]CONTAINER')
  let [, ip6, ip4, middle, last = ''] = parts
  // Two parts: what stands before the colon is the port of the host.
  if (ip6 === undefined && ip4 !== undefined && middle === undefined) {
    middle = ip4
    ip4 = undefined
  }
  const hostIp = ip6 ?? ip4 ?? ''
  if (hostIp !== '' && isIP(hostIp) === 0) return wrong(`names the address ${hostIp}, which is no IP address`)
  const target = readRange(last)
  if (target === null) return wrong('has a container port that is none')
  const published = middle === undefined || middle === '' ? null : readRange(middle)
  if (middle !== undefined && middle !== '' && published === null)
    return wrong('has a host port that is none')
  const common = { hostIp, protocol, where } as const
  return spread(target, published, common) ?? wrong('has ranges of different lengths')
}

function readLong(tree: Tree & { readonly kind: 'map' }): PortEntry {
  const { where } = tree
  const text = (name: string) => {
    const found = tree.entries.get(name)
    return found?.kind === 'scalar' && found.value !== null ? String(found.value) : ''
  }
  const target = readRange(text('target'))
  if (target === null) return { where, problem: 'has no target that is a port' }
  const protocol = text('protocol') || 'tcp'
  if (protocol !== 'tcp' && protocol !== 'udp') {
    return { where, problem: `has the protocol ${protocol}, which is neither tcp nor udp` }
  }
  const hostIp = text('host_ip')
  if (hostIp !== '' && isIP(hostIp) === 0) {
    return { where, problem: `has the host_ip ${hostIp}, which is no IP address` }
  }
  const published = text('published') === '' ? null : readRange(text('published'))
  if (text('published') !== '' && published === null)
    return { where, problem: 'has a published port that is none' }
  return (
    spread(target, published, { hostIp, protocol, where }) ?? {
      where,
      problem: 'has ranges of different lengths',
    }
  )
}

type Range = readonly [first: number, last: number]

function readRange(text: string): Range | null {
  const parts = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text)
  if (parts === null) return null
  const first = Number(parts[1])
  const last = parts[2] === undefined ? first : Number(parts[2])
  return first >= 1 && first <= last && last <= PORT_MAX && last - first < RANGE_MAX ? [first, last] : null
}

/** One port per container port; null when the ranges do not fit. A range on the host for one container port is a choice. */
function spread(
  [first, last]: Range,
  published: Range | null,
  common: Pick<ComposePort, 'hostIp' | 'protocol' | 'where'>,
): { readonly ports: readonly ComposePort[] } | null {
  const count = last - first + 1
  if (published === null) {
    return {
      ports: Array.from({ length: count }, (_, i) => ({
        ...common,
        target: first + i,
        published: null,
        publishedLast: null,
      })),
    }
  }
  const [from, to] = published
  if (count === 1) return { ports: [{ ...common, target: first, published: from, publishedLast: to }] }
  if (to - from + 1 !== count) return null
  return {
    ports: Array.from({ length: count }, (_, i) => ({
      ...common,
      target: first + i,
      published: from + i,
      publishedLast: from + i,
    })),
  }
}
