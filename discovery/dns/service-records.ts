import { isIPv4, isIPv6 } from 'node:net'
import type { CatalogInstance, CatalogNode } from '../catalog/types.ts'
import { addressToHex } from './address.ts'
import type { ResourceRecord } from './records.ts'

/** Most SRV weight there is (RFC 2782). */
const WEIGHT_MAX = 65_535

/** What records are made for. */
export interface RecordScope {
  /** Name that was asked. */
  readonly name: string
  readonly type: string
  /** Domain it is under, and the datacenter: targets are made of them. */
  readonly domain: string
  readonly datacenter: string
  /** Of answers about nodes, in seconds. */
  readonly nodeTtl: number
}

/** Answers, and what a client will ask next. */
export interface Sections {
  readonly answers: readonly ResourceRecord[]
  readonly additionals: readonly ResourceRecord[]
}

/** A, AAAA or CNAME records of instances, in their order; at most `most` addresses, all if it is 0. */
export function addressRecords(
  instances: readonly CatalogInstance[],
  scope: RecordScope,
  ttl: number,
  most: number,
): ResourceRecord[] {
  const seen = new Set<string>()
  const answers: ResourceRecord[] = []
  for (const instance of instances) {
    for (const address of addressesOf(instance)) {
      if (seen.has(address)) continue
      seen.add(address)
      pushAddress(answers, scope.name, address, scope.type, ttl)
    }
    if (most > 0 && answers.length >= most) return answers.slice(0, most)
  }
  return answers.length > 0 ? answers : aliases(instances.map(addressOf), scope, ttl)
}

/** SRV records of instances, with the addresses of their targets; `named`: targets that are no addresses but names of their own. */
export function srvRecords(
  instances: readonly CatalogInstance[],
  scope: RecordScope,
  ttl: number,
): Sections & { readonly named: readonly string[] } {
  const named = new Set<string>()
  const answers = new Map<string, ResourceRecord>()
  const additionals = new Map<string, ResourceRecord>()
  for (const instance of instances) {
    const { port, weights } = instance.service
    const target = targetOf(instance, scope)
    if (target === null) continue
    const key = `${target} ${port}`
    if (answers.has(key)) continue
    const weight = instance.status === 'warning' ? weights.warning : weights.passing
    const data = { priority: 1, weight: Math.min(Math.max(weight, 0), WEIGHT_MAX), port, target }
    answers.set(key, { name: scope.name, type: 'SRV', ttl, data })
    const targetTtl = target === nodeName(instance.node, scope) ? scope.nodeTtl : ttl
    const records: ResourceRecord[] = []
    for (const address of addressesOf(instance)) pushAddress(records, target, address, 'ANY', targetTtl)
    if (records.length === 0) named.add(target)
    for (const record of records) additionals.set(`${target} ${record.data}`, record)
  }
  return { answers: [...answers.values()], additionals: [...additionals.values()], named: [...named] }
}

/** Records of an address of the type that was asked, or of both for ANY. */
export function pushAddress(
  to: ResourceRecord[],
  name: string,
  address: string,
  type: string,
  ttl: number,
): void {
  if (isIPv4(address)) {
    if (type === 'A' || type === 'ANY') to.push({ name, type: 'A', ttl, data: address })
  } else if ((type === 'AAAA' || type === 'ANY') && isIPv6(address)) {
    to.push({ name, type: 'AAAA', ttl, data: address })
  }
}

/** A CNAME to the first address that is a name: there can be only one at a name (RFC 2181 §10.1). */
export function aliases(
  list: readonly string[],
  scope: Pick<RecordScope, 'name' | 'type'>,
  ttl: number,
): ResourceRecord[] {
  if (!['A', 'AAAA', 'CNAME', 'ANY'].includes(scope.type)) return []
  const target = list.find((address) => !isIPv4(address) && !isIPv6(address) && isName(address))
  if (target === undefined) return []
  return [{ name: scope.name, type: 'CNAME', ttl, data: target.replace(/\.$/, '') }]
}

/** The name of a node, which may not fit the wire. */
export function nodeName(
  { record }: CatalogNode,
  { datacenter, domain }: Pick<RecordScope, 'datacenter' | 'domain'>,
): string {
  return `${record.name}.node.${datacenter}.${domain}`
}

/** True if the text fits the wire: labels of 1 to 63 bytes, 253 in all. */
export function isName(text: string): boolean {
  const name = text.replace(/\.$/, '')
  return (
    Buffer.byteLength(name) <= 253 &&
    name.split('.').every((label) => label !== '' && Buffer.byteLength(label) <= 63)
  )
}

/** A name that leads to the instance: of its node, of its own IP address, or the name it was registered with. */
function targetOf(instance: CatalogInstance, scope: RecordScope): string | null {
  const address = addressOf(instance)
  const ofNode = nodeName(instance.node, scope)
  if (address === instance.node.record.address && isName(ofNode)) return ofNode
  const hex = addressToHex(address)
  if (hex !== null) return `${hex}.addr.${scope.datacenter}.${scope.domain}`
  return isName(address) ? address.replace(/\.$/, '') : null
}

function addressOf({ service, node }: CatalogInstance): string {
  return service.address === '' ? node.record.address : service.address
}

/** Its address, and the one of the other IP version if one is registered for it. */
function addressesOf(instance: CatalogInstance): string[] {
  const main = addressOf(instance)
  const { lan_ipv4: v4, lan_ipv6: v6 } = instance.service.taggedAddresses
  const result = [main]
  if (v4 !== undefined && !isIPv4(main) && isIPv4(v4.address)) result.push(v4.address)
  if (v6 !== undefined && !isIPv6(main) && isIPv6(v6.address)) result.push(v6.address)
  return result
}
