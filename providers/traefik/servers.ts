import { isIPv6 } from 'node:net'
import type { CatalogInstance } from '../../discovery/catalog/types.ts'
import { LabelError } from './errors.ts'
import { isObject, type Json, type JsonObject, newObject } from './json.ts'

/** The protocols that have routers and services. */
export type Protocol = 'http' | 'tcp' | 'udp'

const SCHEMES: readonly string[] = ['http', 'https', 'h2c']

/**
 * Replaces the servers of a load balancer, as labels write them, by the address of the instance: a `url` stands as it
 * is, else address and port of the instance, each unless a label gives another. An instance that is critical has none,
 * and the empty list stays: Traefik then answers 503 instead of 404.
 * @throws LabelError for an address that cannot be used.
 */
export function fillServers(
  protocol: Protocol,
  balancer: JsonObject,
  instance: CatalogInstance,
  label: string,
): void {
  const { servers } = balancer
  const written = Array.isArray(servers) && servers.length > 0 ? servers : [newObject()]
  const filled = written.map((server: Json) =>
    fillServer(protocol, isObject(server) ? server : newObject(), instance, label),
  )
  balancer.servers = instance.status === 'critical' ? [] : filled
}

/** True if the instance has a port of its own. */
export function hasPort(instance: CatalogInstance): boolean {
  return instance.service.port > 0
}

function fillServer(
  protocol: Protocol,
  server: JsonObject,
  instance: CatalogInstance,
  label: string,
): JsonObject {
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

  const address = hostPort(instance, port === undefined ? undefined : String(port), label)
  if (protocol !== 'http') return Object.assign(newObject(), rest, { address })
  const used = scheme === undefined || scheme === '' ? 'http' : String(scheme)
  if (!SCHEMES.includes(used)) {
    throw new LabelError(`${label}.server.scheme`, `must be one of ${SCHEMES.join(', ')}`)
  }
  return Object.assign(newObject(), rest, { url: `${used}://${address}` })
}

function hostPort(instance: CatalogInstance, label: string | undefined, path: string): string {
  const { service, node } = instance
  const text = label ?? String(service.port)
  if (!/^[0-9]{1,5}$/.test(text) || Number(text) < 1 || Number(text) > 65535) {
    throw new LabelError(
      `${path}.server.port`,
      label === undefined
        ? 'is missing and the service has no port: give one of the two'
        : 'must be a port from 1 to 65535',
    )
  }
  const host = service.address === '' ? node.record.address : service.address
  const result = `${isIPv6(host) ? `[${host}]` : host}:${Number(text)}`
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
