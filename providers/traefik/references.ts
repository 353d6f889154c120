import { isObject, type Json, type JsonObject, newObject } from './json.ts'

/** An object that Traefik accepts and then disables. */
export interface Dangling {
  /** "section.kind.name". */
  readonly key: string
  readonly message: string
}

const SERVICE_TYPES: readonly string[] = [
  'loadBalancer',
  'weighted',
  'highestRandomWeight',
  'mirroring',
  'failover',
]

/** Finds what Traefik would disable when it builds the configuration: missing references and services of no or two types. */
export function findDangling(config: JsonObject): Dangling[] {
  const found: Dangling[] = []
  for (const section of ['http', 'tcp', 'udp']) {
    const kinds = object(config[section])
    const has = (kind: string, name: string) => name.includes('@') || object(kinds[kind])[name] !== undefined
    const missing = (key: string, kind: string, names: readonly string[]) => {
      for (const name of names) {
        if (has(kind, name)) continue
        found.push({ key, message: `refers to ${kind} ${JSON.stringify(name)}, which nobody defines` })
      }
    }
    for (const [name, router] of members(kinds.routers)) {
      const key = `${section}.routers.${name}`
      missing(key, 'services', texts(router.service))
      missing(key, 'middlewares', texts(router.middlewares))
    }
    for (const [name, middleware] of members(kinds.middlewares)) {
      const key = `${section}.middlewares.${name}`
      missing(key, 'middlewares', texts(object(middleware.chain).middlewares))
      missing(key, 'services', texts(object(middleware.errors).service))
    }
    for (const [name, service] of members(kinds.services)) {
      const key = `${section}.services.${name}`
      const types = SERVICE_TYPES.filter((type) => service[type] !== undefined)
      if (types.length !== 1) {
        found.push({ key, message: `must be exactly one of ${SERVICE_TYPES.join(', ')}` })
      }
      missing(key, 'serversTransports', texts(object(service.loadBalancer).serversTransport))
      missing(key, 'services', children(service))
    }
  }
  return found
}

function children(service: JsonObject): string[] {
  const { mirroring, failover } = service
  return [
    ...[service.weighted, service.highestRandomWeight].flatMap((parent) => namesIn(object(parent).services)),
    ...texts(object(mirroring).service),
    ...namesIn(object(mirroring).mirrors),
    ...texts(object(failover).service),
    ...texts(object(failover).fallback),
  ]
}

function namesIn(list: Json | undefined): string[] {
  return Array.isArray(list) ? list.flatMap((item: Json) => texts(object(item).name)) : []
}

function texts(value: Json | undefined): string[] {
  const items: readonly Json[] = Array.isArray(value) ? value : value === undefined ? [] : [value as Json]
  return items.filter((item) => typeof item === 'string' && item !== '') as string[]
}

function object(value: Json | undefined): JsonObject {
  return isObject(value) ? value : newObject()
}

function members(value: Json | undefined): [string, JsonObject][] {
  return Object.entries(object(value)).map(([name, member]) => [name, object(member)])
}
