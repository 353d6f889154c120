import type { ServiceInstance } from '../../discovery/catalog/types.ts'
import type { Registration } from '../../discovery/health/registration.ts'
import type { CheckDefinition } from '../../discovery/health/types.ts'
import type { Config } from '../config/types.ts'
import { parseCheck } from './check-definition.ts'
import { badRequest } from './errors.ts'
import type { Fields } from './fields.ts'

const META_PAIRS_MAX = 64
const META_KEY_LENGTH_MAX = 128
const META_VALUE_LENGTH_MAX = 512
const WEIGHT_MAX = 65_535
/** Addresses to listen on; nobody can be reached at them. */
const WILDCARD_ADDRESSES: ReadonlySet<string> = new Set(['0.0.0.0', '::', '[::]'])

/**
 * Reads the body of a service registration.
 * @throws HttpError 400 with Consul's texts.
 */
export function parseService(fields: Fields, config: Config['checks']): Registration {
  const name = fields.string('Name')
  if (name === '') throw badRequest('Missing service name')
  const service = parseInstance(fields, name)
  return { service, checks: parseChecks(fields, service, config) }
}

/** The instance in a registration, without its checks. @throws HttpError 400 with Consul's texts */
export function parseInstance(fields: Fields, name: string): ServiceInstance {
  return {
    id: fields.string('ID') || name,
    name,
    tags: fields.strings('Tags'),
    address: parseAddress(fields.string('Address')),
    port: parsePort(fields.integer('Port') ?? 0),
    meta: parseMeta(fields.stringMap('Meta')),
    weights: parseWeights(fields.object('Weights')),
    enableTagOverride: fields.boolean('EnableTagOverride'),
    ...(fields.object('Connect')?.boolean('Native') ? { connectNative: true } : {}),
    taggedAddresses: Object.fromEntries(
      fields.objectMap('TaggedAddresses').map(([tag, tagged]) => [
        tag,
        {
          address: parseAddress(tagged.string('Address')),
          port: parsePort(tagged.integer('Port') ?? 0),
        },
      ]),
    ),
  }
}

function parseChecks(fields: Fields, service: ServiceInstance, config: Config['checks']): CheckDefinition[] {
  const single = fields.object('Check')
  const given = [...(single === undefined ? [] : [single]), ...fields.objects('Checks')].filter(
    (check) => !check.empty,
  )
  const checks = given.map((check, i) =>
    parseCheck(
      check,
      {
        id: given.length === 1 ? `service:${service.id}` : `service:${service.id}:${i + 1}`,
        name: `Service '${service.name}' check`,
        serviceId: service.id,
        badStatus: "Status for checks must 'passing', 'warning', 'critical'",
      },
      config,
    ),
  )
  if (new Set(checks.map(({ id }) => id)).size < checks.length) {
    throw badRequest('Invalid check: two checks have the same CheckID')
  }
  return checks
}

function parseAddress(address: string): string {
  if (WILDCARD_ADDRESSES.has(address)) throw badRequest('Invalid service address')
  return address
}

function parsePort(port: number): number {
  if (port < 0 || port > 65_535) throw badRequest('Invalid service port')
  return port
}

function parseMeta(meta: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const entries = Object.entries(meta)
  const problem =
    entries.length > META_PAIRS_MAX
      ? `at most ${META_PAIRS_MAX} pairs are allowed`
      : entries.map(metaProblem).find((text) => text !== null)
  if (problem !== undefined && problem !== null) throw badRequest(`Invalid Service Meta: ${problem}`)
  return meta
}

function metaProblem([key, value]: readonly [string, string]): string | null {
  if (key === '') return 'a key is empty'
  if (key.length > META_KEY_LENGTH_MAX) return `a key is longer than ${META_KEY_LENGTH_MAX} characters`
  if (!/^[A-Za-z0-9_-]+$/.test(key)) return `key "${key}" contains invalid characters`
  if (key.startsWith('consul-')) return `key "${key}": the prefix consul- is reserved`
  if (value.length > META_VALUE_LENGTH_MAX) {
    return `the value of "${key}" is longer than ${META_VALUE_LENGTH_MAX} characters`
  }
  return null
}

function parseWeights(fields: Fields | undefined): ServiceInstance['weights'] {
  if (fields === undefined) return { passing: 1, warning: 1 }
  const passing = fields.integer('Passing') ?? 0
  const warning = fields.integer('Warning') ?? 0
  if (passing < 1) throw badRequest('Invalid Weights: Passing must be greater than 0')
  if (warning < 0) throw badRequest('Invalid Weights: Warning must be greater or equal than 0')
  if (passing > WEIGHT_MAX || warning > WEIGHT_MAX) {
    throw badRequest(`Invalid Weights: must not be greater than ${WEIGHT_MAX}`)
  }
  return { passing, warning }
}
