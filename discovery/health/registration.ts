import { isDeepStrictEqual } from 'node:util'
import type { LocalCatalog, ServiceInstance } from '../catalog/types.ts'
import { catalogCheck } from './check-state.ts'
import { isMaintenance } from './maintenance.ts'
import type { CheckDefinition, HealthRunner } from './types.ts'

/** An instance and the checks that come with it. */
export interface Registration {
  readonly service: ServiceInstance
  readonly checks: readonly CheckDefinition[]
}

/** Where registrations go: this node's record, and what runs their checks. */
export interface Registry {
  readonly local: Pick<LocalCatalog, 'record' | 'putService' | 'removeService' | 'putCheck' | 'removeCheck'>
  readonly health: Pick<HealthRunner, 'put' | 'remove' | 'definitions'>
}

/**
 * Registers an instance with its checks, or replaces it. The catalogue takes a check only after its service, so both go in
 * without a pause in between: no reader runs there, and none sees the instance without its checks. What a check found before
 * stays, and registering again changes nothing.
 * @param options.replaceChecks whether checks of the instance that are not given go
 * @throws CatalogError; what was there before then still is
 */
export function putRegistration(
  { local, health }: Registry,
  registration: Registration,
  options: { readonly replaceChecks: boolean },
): void {
  const { service, checks } = registration
  const before = local.record()
  const previous = before.services.get(service.id)
  try {
    if (!isDeepStrictEqual(previous, service)) local.putService(service)
    for (const check of checks) {
      if (before.checks.get(check.id)?.serviceId === service.id) continue
      local.putCheck(catalogCheck(check, { status: check.initialStatus, output: '' }))
    }
  } catch (error) {
    // Without all its checks the instance would count as passing.
    for (const { id } of checks) if (!before.checks.has(id)) local.removeCheck(id)
    if (previous === undefined) local.removeService(service.id)
    else local.putService(previous)
    throw error
  }
  if (options.replaceChecks) removeOtherChecks({ local, health }, registration)
  const running = new Map(health.definitions().map((check) => [check.id, check]))
  for (const check of checks) {
    if (!isDeepStrictEqual(running.get(check.id), check)) health.put(check)
  }
}

/** Removes an instance and its checks. False if there is none of that id. */
export function dropRegistration(
  {
    local,
    health,
  }: {
    readonly local: Pick<Registry['local'], 'record' | 'removeService'>
    readonly health: Pick<Registry['health'], 'remove' | 'definitions'>
  },
  id: string,
): boolean {
  if (!local.record().services.has(id)) return false
  // The runner first: it must not write a result into a service that is gone.
  for (const check of health.definitions()) if (check.serviceId === id) health.remove(check.id)
  return local.removeService(id)
}

/** What an instance comes from, as a sentence names it; null if it was registered through the API. */
export function sourceName({ source }: ServiceInstance): string | null {
  if (source === undefined) return null
  return source.kind === 'file' ? `the file ${source.name}` : `the container ${source.name}`
}

function removeOtherChecks({ local, health }: Registry, { service, checks }: Registration): void {
  const kept = new Set(checks.map(({ id }) => id))
  for (const { id, serviceId } of [...local.record().checks.values()]) {
    // Maintenance is not a check of the registration: only who began it ends it.
    if (serviceId !== service.id || kept.has(id) || isMaintenance({ id })) continue
    health.remove(id)
    local.removeCheck(id)
  }
}
