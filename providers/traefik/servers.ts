import { isIPv6 } from 'node:net'
import type { CatalogInstance, Endpoint } from '../../discovery/catalog/types.ts'
import { LabelError } from './errors.ts'
import { isObject, type Json, type JsonObject, newObject } from './json.ts'

/** The protocols that have routers and services. */
export type Protocol = 'http' | 'tcp' | 'udp'

const SCHEMES: readonly string[] = ['http', 'https', 'h2c']

/** The servers of a load balancer, or why this instance has none that others could reach. */
export interface FilledServers {
  readonly servers: readonly JsonObject[]
  readonly unreachable?: string
}

/**
 * The servers of a load balancer, as labels write them, by the address of the instance: a `url` stands as it is, else
 * address and port of the instance, each unless a label gives another. Where the instance lists its ports, the label
 * `server.port` names the one in its container, else the one on its host, and none means the main one.
 * @throws LabelError for an address that cannot be used.
 */
export function fillServers(
  protocol: Protocol,
  written: Json | undefined,
  instance: CatalogInstance,
  label: string,
): FilledServers {
  const items = Array.isArray(written) && written.length > 0 ? written : [newObject()]
  const servers: JsonObject[] = []
  let unreachable: string | undefined
  for (const item of items) {
    const filled = fillServer(protocol, isObject(item) ? item : newObject(), instance, label)
    if (typeof filled === 'string') unreachable = filled
    else servers.push(filled)
  }
  return unreachable === undefined ? { servers } : { servers, unreachable }
}

/** True if the instance has a port of its own. */
export function hasPort({ service }: CatalogInstance): boolean {
  return service.port > 0 || (service.endpoints ?? []).length > 0
}

function fillServer(
  protocol: Protocol,
  server: JsonObject,
  instance: CatalogInstance,
  label: string,
): JsonObject | string {
  const { port, scheme, url, ...rest } = server
  if (url !== undefined) {
    if (port !== undefined || scheme !== undefined) {
      throw new LabelError(
        `${label}.server.url`,
        'excludes server.port and server.scheme: use one or the other',
      )
    }
    checkUrl(
      String(url),
      `${label}.server.url`,
      'must be a URL such as http://10.0.0.1:8080 (http, https or h2c)',
    )
    return Object.assign(newObject(), rest, { url })
  }
  const used = scheme === undefined || scheme === '' ? 'http' : String(scheme)
  if (!SCHEMES.includes(used)) {
    throw new LabelError(`${label}.server.scheme`, `must be one of ${SCHEMES.join(', ')}`)
  }
  const found = place(protocol, instance, port === undefined ? undefined : String(port), label)
  if (typeof found === 'string') return found
  const address = hostPort(found, label)
  return Object.assign(newObject(), rest, protocol === 'http' ? { url: `${used}://${address}` } : { address })
}

interface Place {
  readonly host: string
  readonly port: number
}

/** Where the port is reached; a sentence if it is known that nobody else can. */
function place(
  protocol: Protocol,
  { service, node }: CatalogInstance,
  wanted: string | undefined,
  path: string,
): Place | string {
  const own = service.address === '' ? node.record.address : service.address
  const number = portNumber(wanted, `${path}.server.port`)
  const endpoints = (service.endpoints ?? []).filter(
    (each) => each.protocol === (protocol === 'udp' ? 'udp' : 'tcp'),
  )
  if (service.endpoints !== undefined && endpoints.length > 0) {
    const endpoint = choose(endpoints, number)
    if (endpoint === undefined) return `it has no port ${number}; its ports are ${listed(endpoints)}`
    if (endpoint.problem !== undefined)
      return `port ${endpoint.containerPort} cannot be reached: ${endpoint.problem}`
    return { host: endpoint.address === '' ? own : endpoint.address, port: endpoint.port }
  }
  if (number !== undefined) return { host: own, port: number }
  if (service.port > 0 && service.port <= 65_535) return { host: own, port: service.port }
  throw new LabelError(`${path}.server.port`, 'is missing and the service has no port: give one of the two')
}

/** Without a number the first, which is the main one; if that cannot be reached and only one other can, that one. */
function choose(endpoints: readonly Endpoint[], wanted: number | undefined): Endpoint | undefined {
  const usable = endpoints.filter(({ problem }) => problem === undefined)
  if (wanted === undefined) {
    const [main] = endpoints
    return main?.problem !== undefined && usable.length === 1 ? usable[0] : main
  }
  const inside = endpoints.filter(({ containerPort }) => containerPort === wanted)
  return (
    inside.find(({ problem }) => problem === undefined) ??
    usable.find(({ port }) => port === wanted) ??
    inside[0]
  )
}

function listed(endpoints: readonly Endpoint[]): string {
  return endpoints
    .map(({ containerPort, port }) =>
      port > 0 && port !== containerPort ? `${containerPort} (${port} on its host)` : String(containerPort),
    )
    .join(', ')
}

function portNumber(text: string | undefined, label: string): number | undefined {
  if (text === undefined) return undefined
  if (!/^[0-9]{1,5}$/.test(text) || Number(text) < 1 || Number(text) > 65535) {
    throw new LabelError(label, 'must be a port from 1 to 65535')
  }
  return Number(text)
}

function hostPort({ host, port }: Place, path: string): string {
  const result = `${isIPv6(host) ? `[${host}]` : host}:${port}`
  checkUrl(
    `http://${result}`,
    `${path}.server`,
    `needs an address that can be dialled, not ${JSON.stringify(host)}`,
  )
  return result
}

function checkUrl(url: string, label: string, what: string): void {
  const match = /^([a-z0-9]+):\/\/([^/?#\s\\@]+)(?:[/?#]\S*)?$/.exec(url)
  const parsed = match && SCHEMES.includes(match[1] ?? '') ? URL.parse(`http://${match[2]}`) : null
  if (parsed === null || parsed.hostname === '') throw new LabelError(label, what)
}
