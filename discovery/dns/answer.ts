import { isIPv4, isIPv6 } from 'node:net'
import type { Question, Answer as ResourceRecord } from 'dns-packet'
import type { Catalog, CatalogInstance, CatalogNode } from '../catalog/types.ts'
import { addressToHex, hexToAddress } from './address.ts'
import { type Lookup, parseName, type Zone } from './name.ts'

/** Response codes this server gives. */
export type Rcode = 'NOERROR' | 'FORMERR' | 'SERVFAIL' | 'NXDOMAIN' | 'NOTIMP' | 'REFUSED'

/** The sections of an answer. A record whose name is the question's own is about the name that was asked. */
export interface DnsAnswer {
  readonly rcode: Rcode
  readonly authoritative: boolean
  readonly answers: readonly ResourceRecord[]
  readonly authorities: readonly ResourceRecord[]
  readonly additionals: readonly ResourceRecord[]
}

/** Name servers listed for the zone. */
const NAME_SERVERS_MAX = 3
/** Answers are a snapshot of facts that change: nobody keeps them. */
const TTL = 0

/**
 * Answers one question out of the catalogue: a pure view, but for the order of the instances, which `random` (in [0, 1))
 * draws. Instances with a critical check are left out, those with a warning stay (Consul's default).
 */
export function answer(question: Question, catalog: Catalog, zone: Zone, random: () => number): DnsAnswer {
  const type = String(question.type)
  if (type === 'AXFR' || type === 'IXFR') return empty('NOTIMP')
  if (question.class !== undefined && question.class !== 'IN' && question.class !== 'ANY')
    return empty('REFUSED')
  const lookup = parseName(question.name, zone)
  if (lookup === null) return empty('REFUSED')

  const scope: Scope = { name: question.name, type, domain: lookup.domain, catalog, zone, random }
  const found = resolve(lookup, scope)
  if (found === null || found.answers.length === 0) {
    const rcode = found === null ? 'NXDOMAIN' : 'NOERROR'
    return { ...empty(rcode), authoritative: true, authorities: [soa(lookup.domain, scope)] }
  }
  return { rcode: 'NOERROR', authoritative: true, authorities: [], ...found }
}

/** An answer of nothing but a code. */
export function empty(rcode: Rcode): DnsAnswer {
  return { rcode, authoritative: false, answers: [], authorities: [], additionals: [] }
}

interface Scope {
  readonly name: string
  readonly type: string
  readonly domain: string
  readonly catalog: Catalog
  readonly zone: Zone
  readonly random: () => number
}

interface Found {
  readonly answers: readonly ResourceRecord[]
  readonly additionals: readonly ResourceRecord[]
}

const NOTHING: Found = { answers: [], additionals: [] }

/** Null if the name does not exist; no answers if it has no record of the type. */
function resolve(lookup: Lookup, scope: Scope): Found | null {
  switch (lookup.kind) {
    case 'apex':
      return apex(scope)
    case 'service':
      return service(lookup.service, lookup.tag, scope)
    case 'node':
      return node(lookup.node, scope)
    case 'address': {
      const address = hexToAddress(lookup.hex)
      return address === null
        ? null
        : { answers: addresses(scope.name, [address], scope.type), additionals: [] }
    }
    case 'between':
      return NOTHING
    case 'unknown':
      return null
  }
}

function apex(scope: Scope): Found {
  const answers: ResourceRecord[] = []
  const additionals: ResourceRecord[] = []
  if (wants(scope, 'SOA')) answers.push(soa(scope.name, scope))
  if (wants(scope, 'NS')) {
    const servers = scope.catalog
      .nodes()
      .filter((candidate) => candidate.alive && isName(nodeName(candidate, scope)))
    for (const server of servers.slice(0, NAME_SERVERS_MAX)) {
      const target = nodeName(server, scope)
      answers.push({ name: scope.name, type: 'NS', ttl: TTL, data: target })
      additionals.push(...addresses(target, [server.record.address], 'ANY'))
    }
  }
  return { answers, additionals }
}

function service(name: string, tag: string, scope: Scope): Found | null {
  const healthy = instancesOf(name, scope.catalog).filter(
    (instance) =>
      instance.status !== 'critical' &&
      (tag === '' || instance.service.tags.some((other) => other.toLowerCase() === tag)),
  )
  if (healthy.length === 0) return null
  const instances = shuffle(healthy, scope.random)
  if (scope.type === 'SRV') return srv(instances, scope)

  const answers = addresses(scope.name, unique(instances.flatMap(addressesOf)), scope.type)
  return { answers: answers.length > 0 ? answers : alias(instances.map(addressOf), scope), additionals: [] }
}

function srv(instances: readonly CatalogInstance[], scope: Scope): Found {
  const answers = new Map<string, ResourceRecord>()
  const additionals = new Map<string, ResourceRecord>()
  for (const instance of instances) {
    const { port, weights } = instance.service
    const target = targetOf(instance, scope)
    if (target === null) continue
    const weight = instance.status === 'warning' ? weights.warning : weights.passing
    const data = { priority: 1, weight: Math.min(Math.max(weight, 0), 65535), port, target }
    const key = `${target}:${port}`
    if (!answers.has(key)) answers.set(key, { name: scope.name, type: 'SRV', ttl: TTL, data })
    for (const record of addresses(target, addressesOf(instance), 'ANY')) {
      additionals.set(JSON.stringify(record), record)
    }
  }
  return { answers: [...answers.values()], additionals: [...additionals.values()] }
}

/** A name that leads to the instance: of its node, of its own IP address, or the name it was registered with. */
function targetOf(instance: CatalogInstance, scope: Scope): string | null {
  const address = addressOf(instance)
  const hex = addressToHex(address)
  const ofNode = nodeName(instance.node, scope)
  if (address === instance.node.record.address && isName(ofNode)) return ofNode
  if (hex !== null) return `${hex}.addr.${scope.zone.datacenter}.${scope.domain}`
  return isName(address) ? address : null
}

function node(name: string, scope: Scope): Found | null {
  const { catalog } = scope
  const lower = (candidate: CatalogNode) => candidate.record.name.toLowerCase()
  const found = catalog.node(name) ?? catalog.nodes().find((candidate) => lower(candidate) === name)
  if (found === undefined) {
    return catalog.nodes().some((candidate) => lower(candidate).endsWith(`.${name}`)) ? NOTHING : null
  }
  const { address, meta } = found.record
  const answers = addresses(scope.name, [address], scope.type)
  if (answers.length === 0) answers.push(...alias([address], scope))
  if (wants(scope, 'TXT')) {
    for (const key of Object.keys(meta).sort()) {
      const text = key.startsWith('rfc1035-') ? (meta[key] ?? '') : `${key}=${meta[key]}`
      answers.push({ name: scope.name, type: 'TXT', ttl: TTL, data: characterStrings(text) })
    }
  }
  return { answers, additionals: [] }
}

function instancesOf(name: string, catalog: Catalog): readonly CatalogInstance[] {
  const exact = catalog.instances(name)
  if (exact.length > 0) return exact
  const others = [...catalog.services().keys()].filter((other) => other.toLowerCase() === name)
  return others.flatMap((other) => catalog.instances(other))
}

function wants(scope: Scope, type: string): boolean {
  return scope.type === type || scope.type === 'ANY'
}

function addressOf({ service, node }: CatalogInstance): string {
  return service.address === '' ? node.record.address : service.address
}

/** Its address, and the one of the other IP version if one is registered for it. */
function addressesOf(instance: CatalogInstance): string[] {
  const main = addressOf(instance)
  const { lan_ipv4: v4, lan_ipv6: v6 } = instance.service.taggedAddresses
  const result = [main]
  if (!isIPv4(main) && v4 !== undefined && isIPv4(v4.address)) result.push(v4.address)
  if (!isIPv6(main) && v6 !== undefined && isIPv6(v6.address)) result.push(v6.address)
  return result
}

function addresses(name: string, list: readonly string[], type: string): ResourceRecord[] {
  const records: ResourceRecord[] = []
  for (const address of list) {
    if (isIPv4(address) && (type === 'A' || type === 'ANY'))
      records.push({ name, type: 'A', ttl: TTL, data: address })
    if (isIPv6(address) && (type === 'AAAA' || type === 'ANY')) {
      // The codec knows no zone index.
      records.push({ name, type: 'AAAA', ttl: TTL, data: address.replace(/%.*$/, '') })
    }
  }
  return records
}

/** A CNAME to the first address that is a name: there can be only one at a name (RFC 2181 §10.1). */
function alias(list: readonly string[], scope: Scope): ResourceRecord[] {
  if (!['A', 'AAAA', 'CNAME', 'ANY'].includes(scope.type)) return []
  const target = list.find((address) => !isIPv4(address) && !isIPv6(address) && isName(address))
  return target === undefined ? [] : [{ name: scope.name, type: 'CNAME', ttl: TTL, data: target }]
}

function nodeName({ record }: CatalogNode, scope: Scope): string {
  return `${record.name}.node.${scope.zone.datacenter}.${scope.domain}`
}

/** True if the text fits the wire format: labels of 1 to 63 bytes, 253 in all. */
function isName(text: string): boolean {
  return (
    Buffer.byteLength(text) <= 253 &&
    text.split('.').every((label) => label !== '' && Buffer.byteLength(label) <= 63)
  )
}

/** TXT data comes in strings of at most 255 bytes (RFC 1035 §3.3). */
function characterStrings(text: string): Buffer[] {
  const bytes = Buffer.from(text)
  const strings: Buffer[] = []
  for (let at = 0; at < bytes.length; at += 255) strings.push(bytes.subarray(at, at + 255))
  return strings.length === 0 ? [Buffer.alloc(0)] : strings
}

function soa(name: string, { domain, catalog }: Scope): ResourceRecord {
  return {
    name,
    type: 'SOA',
    ttl: TTL,
    data: {
      mname: `ns.${domain}`,
      rname: `hostmaster.${domain}`,
      serial: catalog.index % 2 ** 32,
      refresh: 3600,
      retry: 600,
      expire: 86400,
      minimum: 0,
    },
  }
}

function unique(list: readonly string[]): string[] {
  return [...new Set(list)]
}

/** Fisher–Yates. */
function shuffle<T>(list: readonly T[], random: () => number): T[] {
  const result = [...list]
  for (let i = result.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1))
    const [a, b] = [result[i], result[j]]
    if (a === undefined || b === undefined) continue
    result[i] = b
    result[j] = a
  }
  return result
}
