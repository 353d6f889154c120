import type { KvEntry, KvOperation, StateView } from '../../consensus/client.ts'
import type { Catalog } from '../../discovery/catalog/types.ts'
import { retractOperations } from '../declared/declaration.ts'
import { nodeKey, parseDeclaredKey, partKey } from '../declared/keys.ts'
import { decodeCheck, decodeHost, decodeService, encodeDeclaration } from '../declared/values.ts'
import { checkJson, nodeJson, nodeServiceJson } from './consul-shapes.ts'
import { parseDeclaredCheck, parseDeclaredService, parseHost } from './declaration-definition.ts'
import { badRequest, refused } from './errors.ts'
import type { Fields } from './fields.ts'

const VERBS = ['get', 'set', 'cas', 'delete', 'delete-cas'] as const
type Verb = (typeof VERBS)[number]

/** An operation of a transaction on a declared node, service or check. */
export interface CatalogOperation {
  readonly kind: 'node' | 'service' | 'check'
  readonly verb: Verb
  readonly node: string
  /** Of the service or check; "" for a node. */
  readonly id: string
  /** The service a check that is set belongs to; "" for one of the node. */
  readonly serviceId: string
  /** What `set` and `cas` write. */
  readonly value: Uint8Array
  /** ModifyIndex that `cas` and `delete-cas` expect. */
  readonly index: number
}

/**
 * Reads `{"Node":…}`, `{"Service":…}` or `{"Check":…}` of a transaction; answers why it cannot be carried out whatever is
 * declared. Null if it is none of the three. @throws HttpError 400 for what cannot be decoded
 */
export function parseCatalogOperation(
  item: Fields,
  indexOf: (fields: Fields) => number,
): CatalogOperation | { readonly what: string } | null {
  for (const kind of ['node', 'service', 'check'] as const) {
    const title = TITLES[kind]
    const fields = item.object(title)
    if (fields === undefined) continue
    const verb = VERBS.find((known) => known === fields.string('Verb').toLowerCase())
    if (verb === undefined) return { what: `unknown ${title} verb ${JSON.stringify(fields.string('Verb'))}` }
    const body = fields.object(title)
    if (body === undefined)
      throw badRequest(`Failed to parse body: an operation on a ${title} without a ${title}`)
    const about = PARSERS[kind](fields, body, verb === 'set' || verb === 'cas')
    return { kind, verb, index: indexOf(body), ...about }
  }
  return null
}

const TITLES = { node: 'Node', service: 'Service', check: 'Check' } as const
const NOTHING = new Uint8Array()
type About = Pick<CatalogOperation, 'node' | 'id' | 'serviceId' | 'value'>

const PARSERS: Readonly<
  Record<CatalogOperation['kind'], (fields: Fields, body: Fields, writes: boolean) => About>
> = {
  node(_fields, body, writes) {
    const node = required(body.string('Node'), 'Must provide node')
    if (writes) required(body.string('Address'), 'Must provide address')
    return {
      node,
      id: '',
      serviceId: '',
      value: writes ? encodeDeclaration(parseHost(body, 'Meta')) : NOTHING,
    }
  },
  service(fields, body, writes) {
    const node = required(fields.string('Node'), 'Must provide node')
    const id = required(body.string('ID') || body.string('Service'), 'Must provide service ID')
    const value = writes ? encodeDeclaration({ ...parseDeclaredService(body), id }) : NOTHING
    return { node, id, serviceId: id, value }
  },
  check(_fields, body, writes) {
    const node = required(body.string('Node'), 'Must provide node')
    const id = required(body.string('CheckID', 'ID') || body.string('Name'), 'Must provide check ID')
    const value = writes ? encodeDeclaration(parseDeclaredCheck(body, node, '')) : NOTHING
    return { node, id, serviceId: body.string('ServiceID'), value }
  },
}

/** Operations on the keys that declare things, in place of those on things. */
export class CatalogPlan {
  readonly #view: StateView
  readonly #catalog: Catalog
  /** Keys that earlier operations of the same transaction write. */
  readonly #written = new Map<string, Uint8Array>()
  readonly #asked = new Set<string>()

  constructor(view: StateView, catalog: Catalog) {
    this.#view = view
    this.#catalog = catalog
  }

  /** What to do on keys; a text if the operation cannot be carried out as things are. */
  add(operation: CatalogOperation): readonly KvOperation[] | string {
    const key = keyOf(operation)
    const { verb, node, kind, index } = operation
    this.#asked.add(key)
    if (verb === 'get') return [{ verb, key }]
    if (verb === 'delete' || verb === 'delete-cas') {
      const retraction = {
        node,
        serviceId: kind === 'service' ? operation.id : '',
        checkId: kind === 'check' ? operation.id : '',
      }
      const [first, ...others] = retractOperations(this.#view, retraction)
      if (first === undefined || verb === 'delete') return first === undefined ? [] : [first, ...others]
      return [{ verb, key, index }, ...others]
    }
    const missing = this.#missing(operation)
    if (missing !== null) return missing
    this.#written.set(key, operation.value)
    const write = { key, value: operation.value, flags: 0n }
    return [verb === 'cas' ? { verb, ...write, index } : { verb, ...write }]
  }

  /** A result as the client asked for it; null if it is about a plain key. */
  render(entry: KvEntry): object | null {
    const about = this.#asked.has(entry.key) ? parseDeclaredKey(entry.key) : null
    if (about === null) return null
    const value = entry.value.length > 0 ? entry.value : (this.#written.get(entry.key) ?? entry.value)
    const indexed = { createIndex: entry.createIndex, modifyIndex: entry.modifyIndex }
    if (about.kind === 'service') return { Service: nodeServiceJson(decodeService(value), indexed) }
    const record = { ...emptyRecord(about.node), ...this.#catalog.node(about.node)?.record }
    if (about.kind === 'check') return { Check: checkJson(record, decodeCheck(value), indexed) }
    const { uuid, taggedAddresses, ...host } = decodeHost(value)
    const declared = { uuid, taggedAddresses }
    const node = { record: { ...emptyRecord(about.node), ...host, declared }, alive: true, cordoned: false }
    return { Node: nodeJson({ ...node, ...indexed }) }
  }

  #missing({ kind, node, serviceId }: CatalogOperation): string | null {
    if (kind === 'node') return null
    const known = this.#catalog.node(node)
    if (known === undefined && !this.#has(nodeKey(node)))
      return `Missing node registration: ${JSON.stringify(node)}`
    if (kind === 'service' || serviceId === '' || known?.record.services.has(serviceId)) return null
    if (this.#has(partKey('service', node, serviceId))) return null
    return `Missing service registration: ${JSON.stringify(serviceId)} on node ${JSON.stringify(node)}`
  }

  #has(key: string): boolean {
    return this.#written.has(key) || this.#view.kvGet(key) !== undefined
  }
}

/** A failure of an operation on a key, told as one about the thing it declares. */
export function describeFailure(operation: CatalogOperation, what: string): string {
  const { kind, node, id } = operation
  const thing =
    kind === 'node'
      ? `node ${JSON.stringify(node)}`
      : `${kind} ${JSON.stringify(id)} on node ${JSON.stringify(node)}`
  return what.replace(/key "[^"]*"/, () => thing)
}

function keyOf({ kind, node, id }: CatalogOperation): string {
  return kind === 'node' ? nodeKey(node) : partKey(kind, node, id)
}

function emptyRecord(name: string) {
  const version = { incarnation: 0, sequence: 0 }
  return {
    id: `declared:${name}`,
    name,
    address: '',
    version,
    meta: {},
    services: new Map(),
    checks: new Map(),
  }
}

function required(text: string, message: string): string {
  if (text === '') throw refused(message)
  return text
}
