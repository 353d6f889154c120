import { isIP } from 'node:net'
import type { Catalog, CatalogInstance, CatalogNode } from '../catalog/types.ts'
import { hexToAddress } from './address.ts'
import { followAliases, type Lookup } from './alias-chain.ts'
import { InstanceChooser } from './instances.ts'
import { type Domains, type ParsedName, parseName, type Reading } from './name.ts'
import { NameIndex } from './name-index.ts'
import { CLASS_ANY, CLASS_IN, type DnsAnswer, EXTENDED, empty, type ResourceRecord } from './records.ts'
import { isReverseName, reverseAddress } from './reverse.ts'
import {
  addressRecords,
  aliases,
  isName,
  nodeName,
  pushAddress,
  type RecordScope,
  type Sections,
  srvRecords,
} from './service-records.ts'
import { serviceTtls, type Ttls } from './ttl.ts'

/** What names are answered, and how. */
export interface Zone extends Domains {
  readonly ttls: Ttls
  /** Instances with a warning are left out too. */
  readonly onlyPassing: boolean
  /** Most addresses of a service in one answer, drawn anew for each; 0 = all. */
  readonly addressesMax: number
}

/** What somebody wants to know. */
export interface Question {
  readonly name: string
  /** Its name in upper case, such as "A"; `TYPE65` for one that has none here. */
  readonly type: string
  readonly class: number
}

/** Name servers listed for the zone. */
const NAME_SERVERS_MAX = 3
/** Targets of SRV records that are names and whose addresses are looked up: each costs as much as two questions. */
const TARGETS_MAX = 8
const NOTHING: Sections = { answers: [], additionals: [] }
/** Transfers and other questions that are no questions about one name (RFC 5936, 6895 §3.1). */
const META_TYPES: readonly string[] = ['TYPE249', 'TYPE250', 'TYPE251', 'TYPE252', 'TYPE253', 'TYPE254']

/**
 * Answers questions out of the catalogue: a pure view, but for the order of the instances, which `random` (in [0, 1)) draws.
 * Instances with a critical check, their own or one of their node, are left out.
 */
export class DnsView {
  readonly #catalog: Catalog
  readonly #complete: () => boolean
  readonly #zone: Zone
  readonly #random: () => number
  readonly #names: NameIndex
  readonly #chooser: InstanceChooser
  readonly #ttlOf: (service: string) => number

  constructor(catalog: Catalog, zone: Zone, random: () => number, complete = () => catalog.synced) {
    this.#catalog = catalog
    this.#complete = complete
    this.#zone = zone
    this.#random = random
    this.#names = new NameIndex(catalog)
    this.#chooser = new InstanceChooser(catalog, zone.onlyPassing)
    this.#ttlOf = serviceTtls(zone.ttls.service)
  }

  answer(question: Question): DnsAnswer {
    if (META_TYPES.includes(question.type)) return empty('NOTIMP')
    if (question.class !== CLASS_IN && question.class !== CLASS_ANY) return empty('REFUSED')
    const parsed = parseName(question.name, this.#zone)
    if (parsed === null) {
      if (isReverseName(question.name)) return this.#reverse(question)
      return { ...empty('REFUSED', { code: EXTENDED.notAuthoritative, text: '' }), elsewhere: true }
    }
    const scope = this.#scope(question, parsed.domain)
    const found = this.#resolve(parsed, scope)
    if (found === null) return this.#noSuchName(parsed, scope)
    if (found.answers.length === 0) return this.#negative('NOERROR', scope)
    const answer: DnsAnswer = { rcode: 'NOERROR', authoritative: true, authorities: [], ...found }
    const { name, type } = question
    if (type !== 'A' && type !== 'AAAA') return answer
    return { ...answer, ...followAliases(name, answer.answers, this.#lookup(type)) }
  }

  #scope({ name, type }: Question, domain: string): RecordScope {
    return { name, type, domain, datacenter: this.#zone.datacenter, nodeTtl: this.#zone.ttls.node }
  }

  /** The first reading that has records; else none, if one of them exists; else null. */
  #resolve({ readings }: ParsedName, scope: RecordScope): Sections | null {
    let exists: Sections | null = null
    for (const reading of readings) {
      const found = this.#read(reading, scope)
      if (found !== null && found.answers.length > 0) return found
      exists ??= found
    }
    return exists
  }

  /** Null if the name does not exist; no answers if it has no record of the type. */
  #read(reading: Reading, scope: RecordScope): Sections | null {
    switch (reading.kind) {
      case 'apex':
        return this.#apex(scope)
      case 'nameServer':
        return { answers: this.#nameServers(scope).flatMap(({ addresses }) => addresses), additionals: [] }
      case 'service':
        return this.#service(reading.service, reading.tag, null, scope)
      case 'onNode': {
        const node = this.#names.node(reading.node)
        return node === undefined ? null : this.#service(reading.service, reading.tag, node, scope)
      }
      case 'node':
        return this.#node(reading.node, scope)
      case 'aboveNode': {
        const { node } = reading
        return this.#names.node(node) === undefined && !this.#names.isAboveNode(node) ? null : NOTHING
      }
      case 'address':
        return address(reading.hex, scope, this.#zone.ttls.node)
      case 'between':
        return NOTHING
    }
  }

  #apex(scope: RecordScope): Sections {
    const answers: ResourceRecord[] = []
    const additionals: ResourceRecord[] = []
    if (wants(scope, 'SOA')) answers.push(this.#soa(scope.name, scope.domain))
    if (wants(scope, 'NS')) {
      for (const { target, addresses } of this.#nameServers({ ...scope, type: 'ANY' })) {
        answers.push({ name: scope.name, type: 'NS', ttl: scope.nodeTtl, data: target })
        additionals.push(...addresses.map((record) => ({ ...record, name: target })))
      }
    }
    return { answers, additionals }
  }

  /** The first nodes that are alive: every one of them answers. Their addresses are records of the name of the scope. */
  #nameServers(scope: RecordScope): { readonly target: string; readonly addresses: ResourceRecord[] }[] {
    const servers: { readonly target: string; readonly addresses: ResourceRecord[] }[] = []
    for (const node of this.#catalog.nodes()) {
      const target = nodeName(node, scope)
      const { address, declared } = node.record
      // A declared node has no agent that would answer, and a name server no alias (RFC 2181 §10.3).
      if (!node.alive || declared !== undefined || isIP(address) === 0 || !isName(target)) continue
      const addresses: ResourceRecord[] = []
      pushAddress(addresses, scope.name, address, scope.type, scope.nodeTtl)
      if (servers.push({ target, addresses }) === NAME_SERVERS_MAX) break
    }
    return servers
  }

  #service(service: string, tag: string, on: CatalogNode | null, scope: RecordScope): Sections | null {
    const found = this.#chooser.choose(service, tag)
    const here = ({ node }: CatalogInstance) => on === null || node.record.id === on.record.id
    const healthy = on === null ? found.healthy : found.healthy.filter(here)
    if (healthy.length === 0) {
      const above = on === null && (found.aboveTag || (tag === '' && this.#names.isAboveService(service)))
      return above ? NOTHING : null
    }
    const ttl = this.#ttlOf(service)
    const instances = shuffle(healthy, this.#random)
    if (scope.type === 'SRV') {
      const { answers, additionals, named } = srvRecords(instances, scope, ttl)
      if (named.length === 0) return { answers, additionals }
      return { answers, additionals: [...additionals, ...this.#addressesOf(named)] }
    }
    return {
      answers: addressRecords(instances, scope, ttl, this.#zone.addressesMax),
      additionals: [],
    }
  }

  #node(name: string, scope: RecordScope): Sections | null {
    const found = this.#names.node(name)
    if (found === undefined) return this.#names.isAboveNode(name) ? NOTHING : null
    const { address, meta } = found.record
    const ttl = this.#zone.ttls.node
    const answers: ResourceRecord[] = []
    pushAddress(answers, scope.name, address, scope.type, ttl)
    if (answers.length === 0) answers.push(...aliases([address], scope, ttl))
    // Beside an alias there is nothing else (RFC 1034 §3.6.2), at least not in one answer.
    if (wants(scope, 'TXT') && !answers.some(({ type }) => type === 'CNAME')) {
      for (const key of Object.keys(meta).sort()) {
        const text = key.startsWith('rfc1035-') ? (meta[key] ?? '') : `${key}=${meta[key]}`
        answers.push({ name: scope.name, type: 'TXT', ttl, data: characterStrings(text) })
      }
    }
    return { answers, additionals: [] }
  }

  /** Names of the nodes that have the address, else of the services that do. */
  #reverse(question: Question): DnsAnswer {
    const domain = this.#zone.domains[0] ?? ''
    const scope = this.#scope(question, domain)
    const hex = reverseAddress(question.name)
    // A part of an address: there may be names below.
    if (hex === null) return { ...this.#negative('NOERROR', scope), elsewhere: true }
    const nodes = this.#names.nodesAt(hex).map((node) => nodeName(node, scope))
    const services = this.#names.servicesAt(hex)
    const targets =
      nodes.length > 0 ? nodes : services.map((name) => `${name}.service.${scope.datacenter}.${domain}`)
    if (targets.length === 0) return { ...this.#negative(this.#missing(), scope), elsewhere: true }
    if (!wants(scope, 'PTR')) return this.#negative('NOERROR', scope)
    const ttl = this.#zone.ttls.node
    const answers = targets
      .filter(isName)
      .map((data): ResourceRecord => ({ name: question.name, type: 'PTR', ttl, data }))
    return { rcode: 'NOERROR', authoritative: true, answers, authorities: [], additionals: [] }
  }

  /** The records of a name that another leads to. */
  #lookup(type: string): Lookup {
    return (name) => {
      const parsed = parseName(name, this.#zone)
      if (parsed === null) return null
      return this.#resolve(parsed, this.#scope({ name, type, class: CLASS_IN }, parsed.domain))?.answers ?? []
    }
  }

  /** The addresses of targets of SRV records, as far as those are names of this zone. */
  #addressesOf(targets: readonly string[]): readonly ResourceRecord[] {
    const records = new Map<string, ResourceRecord>()
    for (const target of targets.slice(0, TARGETS_MAX)) {
      for (const type of ['A', 'AAAA']) {
        const lookup = this.#lookup(type)
        const chain = followAliases(target, lookup(target) ?? [], lookup).answers
        if (chain.at(-1)?.type !== type) continue
        for (const record of chain) records.set(`${record.name} ${record.type} ${record.data}`, record)
      }
    }
    return [...records.values()]
  }

  #noSuchName(parsed: ParsedName, scope: RecordScope): DnsAnswer {
    const rcode = this.#missing()
    if (rcode === 'SERVFAIL') {
      const text = 'this node has not exchanged its catalogue with another yet'
      return empty(rcode, { code: EXTENDED.notReady, text })
    }
    const reason = this.#unhealthy(parsed)
    const answer = this.#negative(rcode, scope)
    return reason === null ? answer : { ...answer, reason: { code: EXTENDED.other, text: reason } }
  }

  /** A node that has just started knows only itself: it cannot say what does not exist. */
  #missing(): 'NXDOMAIN' | 'SERVFAIL' {
    return this.#complete() ? 'NXDOMAIN' : 'SERVFAIL'
  }

  /** Says that there are instances, but none that may be answered with. */
  #unhealthy({ readings }: ParsedName): string | null {
    for (const reading of readings) {
      if (reading.kind !== 'service' && reading.kind !== 'onNode') continue
      const { all } = this.#chooser.choose(reading.service, reading.tag)
      if (all.length > 0) return `no instance of ${reading.service} is healthy, of ${all.length}`
    }
    return null
  }

  #negative(rcode: 'NOERROR' | 'NXDOMAIN' | 'SERVFAIL', { domain }: RecordScope): DnsAnswer {
    if (rcode === 'SERVFAIL') return empty(rcode)
    return { ...empty(rcode), authoritative: true, authorities: [this.#soa(domain, domain)] }
  }

  #soa(name: string, domain: string): ResourceRecord {
    return {
      name,
      type: 'SOA',
      ttl: this.#zone.ttls.negative,
      data: {
        mname: `ns.${domain}`,
        rname: `hostmaster.${domain}`,
        serial: this.#catalog.index % 2 ** 32,
        refresh: 3600,
        retry: 600,
        expire: 86400,
        minimum: this.#zone.ttls.negative,
      },
    }
  }
}

function wants(scope: RecordScope, type: string): boolean {
  return scope.type === type || scope.type === 'ANY'
}

/** The address that a name spells. */
function address(hex: string, scope: RecordScope, ttl: number): Sections | null {
  const spelt = hexToAddress(hex)
  if (spelt === null) return null
  const answers: ResourceRecord[] = []
  pushAddress(answers, scope.name, spelt, scope.type, ttl)
  return { answers, additionals: [] }
}

/** TXT data comes in strings of at most 255 bytes (RFC 1035 §3.3). */
function characterStrings(text: string): Buffer[] {
  const bytes = Buffer.from(text)
  const strings: Buffer[] = []
  for (let at = 0; at < bytes.length; at += 255) strings.push(bytes.subarray(at, at + 255))
  return strings.length === 0 ? [Buffer.alloc(0)] : strings
}

/** Fisher–Yates. */
function shuffle<T>(list: readonly T[], random: () => number): readonly T[] {
  if (list.length < 2) return list
  const result = [...list]
  for (let i = result.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1))
    const swapped = result[i] as T
    result[i] = result[j] as T
    result[j] = swapped
  }
  return result
}
