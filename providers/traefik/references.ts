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

/** What an object says about others of its section. */
export interface References {
  readonly names: readonly { readonly kind: string; readonly name: string }[]
  /** It is a service of no or of two types. */
  readonly isNoService: boolean
}

/** What an object of this kind refers to. */
export function referencesOf(kind: string, value: JsonObject): References {
  const to = (target: string, names: readonly string[]) => names.map((name) => ({ kind: target, name }))
  switch (kind) {
    case 'routers':
      return {
        names: [...to('services', texts(value.service)), ...to('middlewares', texts(value.middlewares))],
        isNoService: false,
      }
    case 'middlewares':
      return {
        names: [
          ...to('middlewares', texts(object(value.chain).middlewares)),
          ...to('services', texts(object(value.errors).service)),
        ],
        isNoService: false,
      }
    case 'services':
      return {
        names: [
          ...to('serversTransports', texts(object(value.loadBalancer).serversTransport)),
          ...to('services', children(value)),
        ],
        isNoService: SERVICE_TYPES.filter((type) => value[type] !== undefined).length !== 1,
      }
    default:
      return { names: [], isNoService: false }
  }
}

/**
 * Finds what Traefik would disable when it builds the configuration: missing references and services of no or two types.
 * @param read what an object refers to, where that is known already
 */
export function findDangling(config: JsonObject, read: typeof referencesOf = referencesOf): Dangling[] {
  const found: Dangling[] = []
  for (const section of ['http', 'tcp', 'udp']) {
    const kinds = object(config[section])
    for (const kind of ['routers', 'middlewares', 'services']) {
      const objects = object(kinds[kind])
      for (const name in objects) {
        const { names, isNoService } = read(kind, object(objects[name]))
        if (!isNoService && names.length === 0) continue
        const report = (message: string) => found.push({ key: `${section}.${kind}.${name}`, message })
        if (isNoService) report(`must be exactly one of ${SERVICE_TYPES.join(', ')}`)
        for (const target of names) {
          if (target.name.includes('@') || object(kinds[target.kind])[target.name] !== undefined) continue
          report(`refers to ${target.kind} ${JSON.stringify(target.name)}, which nobody defines`)
        }
      }
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
