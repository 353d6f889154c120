import type { KvOperation, StateView } from '../../consensus/client.ts'
import { type Declaration, declaredServiceOf, type Retraction } from '../declared/declaration.ts'
import type { Permission } from './permissions.ts'
import type { CatalogOperation } from './txn-catalog.ts'

/** What declaring things calls for: nodes and their checks `node:write`, services and theirs `service:write`, as in Consul. */
export function neededToDeclare({ host, service, checks }: Declaration): readonly Permission[] {
  return [
    ...(host === null ? [] : (['node:write'] as const)),
    ...(service === null ? [] : (['service:write'] as const)),
    ...checks.map(({ serviceId }) => ofCheck(serviceId)),
  ]
}

/** What taking something back calls for. What is not declared calls for nothing. */
export function neededToRetract(
  view: StateView,
  { node, serviceId, checkId }: Retraction,
): readonly Permission[] {
  if (serviceId !== '') return ['service:write']
  if (checkId === '') return ['node:write']
  const service = declaredServiceOf(view, node, checkId)
  return service === null ? [] : [ofCheck(service)]
}

/** What an operation of a transaction calls for. */
export function neededForOperation(
  view: StateView,
  operation: KvOperation | CatalogOperation,
): readonly Permission[] {
  if (!('kind' in operation)) return ['key:write']
  const { kind, verb, node, id, serviceId } = operation
  const reads = verb === 'get'
  if (kind !== 'check') return reads ? [`${kind}:read`] : [`${kind}:write`]
  const before = declaredServiceOf(view, node, id)
  if (reads) return [before === null || before === '' ? 'node:read' : 'service:read']
  const after = verb === 'set' || verb === 'cas' ? serviceId : null
  return [before, after].flatMap((service) => (service === null ? [] : [ofCheck(service)]))
}

function ofCheck(serviceId: string): Permission {
  return serviceId === '' ? 'node:write' : 'service:write'
}
