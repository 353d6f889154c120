import { CatalogError } from '../../discovery/catalog/errors.ts'
import { readService } from '../../discovery/catalog/shapes.ts'
import type { HealthCheck, ServiceInstance } from '../../discovery/catalog/types.ts'
import type { Declaration, Retraction } from '../declared/declaration.ts'
import { type DeclaredHost, readDeclaredCheck, readHost } from '../declared/values.ts'
import { parseStatus } from './check-definition.ts'
import { requireDatacenter } from './consul-params.ts'
import { badRequest, HttpError, refused } from './errors.ts'
import { type Fields, foldName } from './fields.ts'
import { parseInstance } from './service-definition.ts'

/** Fields of how to check that are durations (Consul catalog API, HealthCheckDefinition). */
const DURATIONS: ReadonlySet<string> = new Set(
  ['Interval', 'Timeout', 'DeregisterCriticalServiceAfter'].map(foldName),
)
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i

/**
 * Reads the body of a catalogue registration (Consul catalog API, structs.RegisterRequest).
 * @throws HttpError 400 for what cannot be decoded, 500 with Consul's texts for what may not be.
 */
export function parseDeclaration(fields: Fields): Declaration {
  requireDatacenter(fields.string('Datacenter'))
  const node = requireNode(fields.string('Node'))
  const skip = fields.boolean('SkipNodeUpdate')
  if (fields.string('Address') === '' && !skip) {
    throw refused('Must provide address if SkipNodeUpdate is not set')
  }
  const host = skip ? null : parseHost(fields, 'NodeMeta')
  const given = fields.object('Service')
  const service = given === undefined || given.empty ? null : parseDeclaredService(given)
  const single = fields.object('Check')
  const checks = [...(single === undefined ? [] : [single]), ...fields.objects('Checks')]
    .filter((check) => !check.empty)
    .map((check) => parseDeclaredCheck(check, node, service?.id ?? ''))
  return { node, host, service, checks }
}

/** Reads the body of a deregistration. @throws HttpError 400, 500 as `parseDeclaration` */
export function parseRetraction(fields: Fields): Retraction {
  requireDatacenter(fields.string('Datacenter'))
  return {
    node: requireNode(fields.string('Node')),
    serviceId: fields.string('ServiceID'),
    checkId: fields.string('CheckID'),
  }
}

/** A node that is declared; its meta is in the field `metaName`. @throws HttpError 500 with Consul's texts */
export function parseHost(fields: Fields, metaName: 'NodeMeta' | 'Meta'): DeclaredHost {
  const uuid = fields.string('ID')
  if (uuid !== '' && !UUID.test(uuid)) throw refused(`Bad node ID: ${JSON.stringify(uuid)} is no UUID`)
  return inBounds(() =>
    readHost({
      name: requireNode(fields.string('Node')),
      uuid: uuid.toLowerCase(),
      address: fields.string('Address'),
      taggedAddresses: fields.stringMap('TaggedAddresses'),
      meta: fields.stringMap(metaName),
    }),
  )
}

/** A service that is declared. @throws HttpError 500 with Consul's texts */
export function parseDeclaredService(fields: Fields): ServiceInstance {
  const name = fields.string('Service')
  if (name === '') {
    throw refused('Must provide service name (Service.Service) when service ID is provided')
  }
  return inBounds(() => readService(asRefusal(() => parseInstance(fields, name))))
}

/** A check that is declared, about `node`; of the service `serviceId` unless it says another. @throws HttpError 400, 500 */
export function parseDeclaredCheck(fields: Fields, node: string, serviceId: string): HealthCheck {
  const id = fields.string('CheckID', 'ID') || fields.string('Name')
  const about = fields.string('Node') || node
  if (about !== node) {
    throw refused(`Node '${about}' for check '${id}' doesn't match register request node '${node}'`)
  }
  const status = parseStatus(fields.string('Status') || 'critical')
  if (status === null) throw refused(`Invalid check: bad status ${JSON.stringify(fields.string('Status'))}`)
  const definition = parseDefinition(fields)
  return inBounds(() =>
    readDeclaredCheck({
      id,
      name: fields.string('Name') || id,
      status,
      notes: fields.string('Notes'),
      output: fields.prose('Output'),
      serviceId: fields.isPresent('ServiceID') ? fields.string('ServiceID') : serviceId,
      type: fields.string('Type'),
      interval: definition?.fields.durationText('Interval') ?? '',
      timeout: definition?.fields.durationText('Timeout') ?? '',
      ...(definition === undefined ? {} : { definition: definition.json }),
    }),
  )
}

/** How to check, as it was given but for durations: they are kept as text. Undefined if nothing is said. */
function parseDefinition(check: Fields): { readonly fields: Fields; readonly json: object } | undefined {
  const fields = check.object('Definition')
  if (fields === undefined || fields.empty) return undefined
  const entries = Object.entries(check.value('Definition') as Readonly<Record<string, unknown>>)
  const json = entries.map(([name, value]) =>
    value !== null && DURATIONS.has(foldName(name)) ? [name, fields.durationText(name)] : [name, value],
  )
  return { fields, json: Object.fromEntries(json) }
}

function requireNode(name: string): string {
  if (name === '') throw refused('Must provide node')
  return name
}

function inBounds<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (error instanceof CatalogError) throw badRequest(`Request decode failed: ${error.message}`)
    throw error
  }
}

/** What is 400 from an agent's own registration is 500 from the catalogue's, with the same text. */
function asRefusal<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (error instanceof HttpError && !error.message.startsWith('Request decode'))
      throw refused(error.message)
    throw error
  }
}
