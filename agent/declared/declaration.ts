import type { KvOperation, StateView } from '../../consensus/client.ts'
import type { HealthCheck, ServiceInstance } from '../../discovery/catalog/types.ts'
import { nodeKey, partKey, partPrefix } from './keys.ts'
import { type DeclaredHost, decodeCheck, encodeDeclaration } from './values.ts'

/** What one registration declares. */
export interface Declaration {
  readonly node: string
  /** Null: the node stays as it is. */
  readonly host: DeclaredHost | null
  readonly service: ServiceInstance | null
  readonly checks: readonly HealthCheck[]
}

/** What is to be taken back: a node with everything on it, one service with its checks, or one check. */
export interface Retraction {
  readonly node: string
  readonly serviceId: string
  readonly checkId: string
}

/**
 * The operations that carry a declaration out, all or nothing. `isKnownService`: the node itself runs it, so its checks need no
 * declared service.
 */
export function declareOperations(
  { node, host, service, checks }: Declaration,
  isKnownService: (id: string) => boolean,
): KvOperation[] {
  const out: KvOperation[] = []
  if (host !== null) out.push(set(nodeKey(node), encodeDeclaration(host)))
  if (service !== null) out.push(set(partKey('service', node, service.id), encodeDeclaration(service)))
  for (const check of checks) {
    const { serviceId } = check
    if (serviceId !== '' && serviceId !== service?.id && !isKnownService(serviceId)) {
      out.push({ verb: 'get', key: partKey('service', node, serviceId) })
    }
    out.push(set(partKey('check', node, check.id), encodeDeclaration(check)))
  }
  return out
}

/** The operations that take something back. What is not declared is no error. */
export function retractOperations(view: StateView, { node, serviceId, checkId }: Retraction): KvOperation[] {
  if (serviceId !== '') return retractService(view, node, serviceId)
  if (checkId !== '') return [{ verb: 'delete', key: partKey('check', node, checkId) }]
  return [
    { verb: 'delete', key: nodeKey(node) },
    { verb: 'delete-tree', key: partPrefix('service', node) },
    { verb: 'delete-tree', key: partPrefix('check', node) },
  ]
}

function retractService(view: StateView, node: string, id: string): KvOperation[] {
  const checks = view.kvList(partPrefix('check', node)).filter(({ value }) => serviceOf(value) === id)
  return [
    { verb: 'delete', key: partKey('service', node, id) },
    ...checks.map(({ key }): KvOperation => ({ verb: 'delete', key })),
  ]
}

/** The service a declared check belongs to, "" for one of the node; null if there is no such check. */
export function declaredServiceOf(view: StateView, node: string, checkId: string): string | null {
  const entry = view.kvGet(partKey('check', node, checkId))
  return entry === undefined ? null : serviceOf(entry.value)
}

function serviceOf(value: Uint8Array): string | null {
  try {
    return decodeCheck(value).serviceId
  } catch {
    // What cannot be read belongs to no service, and is shown nowhere.
    return null
  }
}

function set(key: string, value: Uint8Array): KvOperation {
  return { verb: 'set', key, value, flags: 0n }
}
