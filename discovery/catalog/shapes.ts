import { CatalogError } from './errors.ts'
import { LIMITS } from './limits.ts'
import type {
  CheckStatus,
  Endpoint,
  HealthCheck,
  InstanceSource,
  NodeRecord,
  RecordVersion,
  ServiceInstance,
} from './types.ts'

/** An object from outside, before its fields are looked at. */
export type Fields = Readonly<Record<string, unknown>>

/** Id of the check that carries the verdict of the membership; no node may register one of its own. */
export const SERF_HEALTH = 'serfHealth'
/** Id of the check that says that its node is cordoned; no node may register one of its own. */
export const NODE_CORDON = '_node_cordon'

const STATUSES: ReadonlySet<unknown> = new Set(['passing', 'warning', 'critical'])
const META_LIMITS = {
  pairs: LIMITS.metaPairs,
  keyChars: LIMITS.metaKeyChars,
  valueChars: LIMITS.metaValueChars,
}
const LABEL_LIMITS = {
  pairs: LIMITS.labels,
  keyChars: LIMITS.labelKeyChars,
  valueChars: LIMITS.labelValueChars,
}
const PORT_MAX = 65_535
const COUNTER_MAX = 2 ** 50

/** An object. @throws CatalogError `CAT_INVALID` */
export function readFields(value: unknown, what: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw invalid(`${what} is no object`)
  return value as Fields
}

/** A list of at most `max`. @throws CatalogError `CAT_INVALID` */
export function readList(value: unknown, max: number, what: string): readonly unknown[] {
  if (!Array.isArray(value)) throw invalid(`${what} is no list`)
  if (value.length > max) throw invalid(`${what} has ${value.length} entries, the limit is ${max}`)
  return value
}

/** A text of `min` to `max` characters. @throws CatalogError `CAT_INVALID` */
export function readText(value: unknown, min: number, max: number, what: string): string {
  if (typeof value !== 'string') throw invalid(`${what} is no text`)
  if (value.length < min) throw invalid(`${what} is empty`)
  if (value.length > max) throw invalid(`${what} has ${value.length} characters, the limit is ${max}`)
  return value
}

/** A counter from 0. @throws CatalogError `CAT_INVALID` */
export function readCounter(value: unknown, what: string): number {
  return readInteger(value, COUNTER_MAX, what)
}

/** Names and values of at most 64 pairs. @throws CatalogError `CAT_INVALID` */
export function readMeta(value: unknown, what: string): Readonly<Record<string, string>> {
  return readPairs(value, what, META_LIMITS)
}

/** A service instance; unknown fields are dropped. @throws CatalogError `CAT_INVALID` naming the instance and the field. */
export function readService(value: unknown): ServiceInstance {
  const fields = readFields(value, 'a service')
  const id = readText(fields.id, 1, LIMITS.idChars, 'the id of a service')
  const what = `service ${id}:`
  const weights = readFields(fields.weights, `${what} weights`)
  if (typeof fields.enableTagOverride !== 'boolean') throw invalid(`${what} enableTagOverride is no boolean`)
  return Object.freeze({
    id,
    name: readText(fields.name, 1, LIMITS.nameChars, `${what} name`),
    tags: Object.freeze(
      readList(fields.tags, LIMITS.tags, `${what} tags`).map((tag) =>
        readText(tag, 0, LIMITS.tagChars, `${what} tag`),
      ),
    ),
    address: readText(fields.address, 0, LIMITS.addressChars, `${what} address`),
    port: readInteger(fields.port, PORT_MAX, `${what} port`),
    meta: readMeta(fields.meta, `${what} meta`),
    weights: Object.freeze({
      passing: readInteger(weights.passing, PORT_MAX, `${what} weights.passing`),
      warning: readInteger(weights.warning, PORT_MAX, `${what} weights.warning`),
    }),
    enableTagOverride: fields.enableTagOverride,
    taggedAddresses: readTaggedAddresses(fields.taggedAddresses, `${what} taggedAddresses`),
    ...readOrigin(fields, what),
  })
}

/** A health check; unknown fields are dropped. @throws CatalogError `CAT_INVALID` naming the check and the field. */
export function readCheck(value: unknown): HealthCheck {
  const fields = readFields(value, 'a check')
  const id = readText(fields.id, 1, LIMITS.idChars, 'the id of a check')
  const what = `check ${id}:`
  if (id === SERF_HEALTH) throw invalid(`${what} this id belongs to the membership`)
  if (id === NODE_CORDON) throw invalid(`${what} this id belongs to the cordon of a node`)
  if (!STATUSES.has(fields.status)) throw invalid(`${what} status is not passing, warning or critical`)
  return Object.freeze({
    id,
    name: readText(fields.name, 0, LIMITS.nameChars, `${what} name`),
    status: fields.status as CheckStatus,
    notes: readText(fields.notes, 0, LIMITS.textChars, `${what} notes`),
    output: readText(fields.output, 0, LIMITS.textChars, `${what} output`),
    serviceId: readText(fields.serviceId, 0, LIMITS.idChars, `${what} serviceId`),
    type: readText(fields.type, 0, LIMITS.durationChars, `${what} type`),
    interval: readText(fields.interval, 0, LIMITS.durationChars, `${what} interval`),
    timeout: readText(fields.timeout, 0, LIMITS.durationChars, `${what} timeout`),
  })
}

/** Incarnation and sequence of a record. @throws CatalogError `CAT_INVALID` */
export function readVersion(fields: Fields): RecordVersion {
  return Object.freeze({
    incarnation: readCounter(fields.incarnation, 'incarnation'),
    sequence: readCounter(fields.sequence, 'sequence'),
  })
}

/** A whole record with `services` and `checks` as lists. @throws CatalogError `CAT_INVALID` */
export function readRecord(value: unknown): NodeRecord {
  const fields = readFields(value, 'a record')
  const services = readList(fields.services, LIMITS.services, 'services').map(readService)
  const checks = readList(fields.checks, LIMITS.checks, 'checks').map(readCheck)
  const record: NodeRecord = Object.freeze({
    id: readText(fields.id, 1, LIMITS.peerIdChars, 'the id of a node'),
    name: readText(fields.name, 1, LIMITS.nodeNameChars, 'the name of a node'),
    address: readText(fields.address, 0, LIMITS.addressChars, 'the address of a node'),
    version: readVersion(fields),
    meta: readMeta(fields.meta, 'the meta of a node'),
    services: new Map(services.map((service) => [service.id, service])),
    checks: new Map(checks.map((check) => [check.id, check])),
  })
  checkReferences(record)
  return record
}

/** Every check belongs to the node or to an instance of it. @throws CatalogError `CAT_INVALID` */
export function checkReferences(record: NodeRecord): void {
  if (record.services.size > LIMITS.services) throw invalid('too many services')
  if (record.checks.size > LIMITS.checks) throw invalid('too many checks')
  for (const { id, serviceId } of record.checks.values()) {
    if (serviceId !== '' && !record.services.has(serviceId)) {
      throw invalid(`check ${id} belongs to the unknown service ${serviceId}`)
    }
  }
}

/** What only some instances have. */
function readOrigin(
  fields: Fields,
  what: string,
): Pick<ServiceInstance, 'labels' | 'endpoints' | 'source' | 'connectNative'> {
  const { labels, endpoints, source, connectNative } = fields
  return {
    ...(connectNative === true ? { connectNative } : {}),
    ...(labels === undefined ? {} : { labels: readPairs(labels, `${what} labels`, LABEL_LIMITS) }),
    ...(endpoints === undefined ? {} : { endpoints: readEndpoints(endpoints, `${what} endpoints`) }),
    ...(source === undefined ? {} : { source: readSource(source, `${what} source`) }),
  }
}

function readEndpoints(value: unknown, what: string): readonly Endpoint[] {
  const endpoints = readList(value, LIMITS.endpoints, what).map((entry) => readEndpoint(entry, what))
  if (new Set(endpoints.map(({ name }) => name)).size !== endpoints.length) {
    throw invalid(`${what} has two entries of one name`)
  }
  return Object.freeze(endpoints)
}

function readEndpoint(value: unknown, list: string): Endpoint {
  const fields = readFields(value, `an entry of ${list}`)
  const name = readText(fields.name, 1, LIMITS.metaKeyChars, `${list} name`)
  const what = `${list}.${name}`
  const { protocol } = fields
  if (protocol !== 'tcp' && protocol !== 'udp') throw invalid(`${what} protocol is not tcp or udp`)
  return Object.freeze({
    name,
    protocol,
    containerPort: readInteger(fields.containerPort, PORT_MAX, `${what} containerPort`),
    address: readText(fields.address, 0, LIMITS.addressChars, `${what} address`),
    port: readInteger(fields.port, PORT_MAX, `${what} port`),
    ...(fields.problem === undefined
      ? {}
      : { problem: readText(fields.problem, 1, LIMITS.textChars, `${what} problem`) }),
  })
}

function readSource(value: unknown, what: string): InstanceSource {
  const { kind, id, name } = readFields(value, what)
  if (kind !== 'docker' && kind !== 'file') throw invalid(`${what} kind is not docker or file`)
  return Object.freeze({
    kind,
    id: readText(id, 1, LIMITS.textChars, `${what} id`),
    name: readText(name, 1, LIMITS.idChars, `${what} name`),
  })
}

function readPairs(
  value: unknown,
  what: string,
  limits: { readonly pairs: number; readonly keyChars: number; readonly valueChars: number },
): Readonly<Record<string, string>> {
  const pairs = Object.entries(readFields(value, what))
  if (pairs.length > limits.pairs) {
    throw invalid(`${what} has ${pairs.length} pairs, the limit is ${limits.pairs}`)
  }
  return Object.freeze(
    Object.fromEntries(
      pairs.map(([key, entry]) => [
        readText(key, 1, limits.keyChars, `a key of ${what}`),
        readText(entry, 0, limits.valueChars, `${what}.${key}`),
      ]),
    ),
  )
}

function readTaggedAddresses(value: unknown, what: string): ServiceInstance['taggedAddresses'] {
  const pairs = Object.entries(readFields(value, what))
  if (pairs.length > LIMITS.taggedAddresses) throw invalid(`${what} has too many entries`)
  return Object.freeze(
    Object.fromEntries(
      pairs.map(([key, entry]) => {
        const fields = readFields(entry, `${what}.${key}`)
        const address = readText(fields.address, 0, LIMITS.addressChars, `${what}.${key}.address`)
        const port = readInteger(fields.port, PORT_MAX, `${what}.${key}.port`)
        return [readText(key, 1, LIMITS.metaKeyChars, `a key of ${what}`), Object.freeze({ address, port })]
      }),
    ),
  )
}

function readInteger(value: unknown, max: number, what: string): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > max) {
    throw invalid(`${what} is no whole number from 0 to ${max}`)
  }
  return value
}

function invalid(message: string): CatalogError {
  return new CatalogError('CAT_INVALID', message)
}
