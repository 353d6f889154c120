import type { HealthCheck } from '../catalog/types.ts'

/** Type of a maintenance check: critical for as long as it is there, and run by nobody. */
export const MAINTENANCE_TYPE = 'maintenance'
/** Id of the check that takes a whole node out (Consul's; Fabio and the CLI look for it). */
export const NODE_MAINTENANCE = '_node_maintenance'
/** What the id of the check begins with that takes one service out. */
export const SERVICE_MAINTENANCE = '_service_maintenance:'

/** Id of the check that takes one service out. */
export function serviceMaintenanceId(serviceId: string): string {
  return `${SERVICE_MAINTENANCE}${serviceId}`
}

/** True for the checks that maintenance mode consists of. */
export function isMaintenance({ id }: Pick<HealthCheck, 'id'>): boolean {
  return id === NODE_MAINTENANCE || id.startsWith(SERVICE_MAINTENANCE)
}

/**
 * The check that keeps a service, or with "" the node and all its services, out of every answer until it is removed.
 * @param reason shown to people; "" for none
 */
export function maintenanceCheck(serviceId: string, reason: string): HealthCheck {
  const what = serviceId === '' ? 'node' : 'service'
  return {
    id: serviceId === '' ? NODE_MAINTENANCE : serviceMaintenanceId(serviceId),
    name: serviceId === '' ? 'Node Maintenance Mode' : 'Service Maintenance Mode',
    status: 'critical',
    notes: reason || `Maintenance mode is enabled for this ${what}, but no reason was provided.`,
    output: '',
    serviceId,
    type: MAINTENANCE_TYPE,
    interval: '',
    timeout: '',
  }
}
