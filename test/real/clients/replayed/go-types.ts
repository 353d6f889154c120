/** A type as Go's encoding/json decodes into it. */
export type GoType =
  | 'string'
  | 'int'
  | 'bool'
  | 'any'
  | readonly [GoType]
  | { readonly map: GoType }
  | { readonly struct: Readonly<Record<string, GoType>> }

/** What a decoded value looks like here. */
export type Decoded<T> = T extends 'string'
  ? string
  : T extends 'int'
    ? number
    : T extends 'bool'
      ? boolean
      : T extends readonly [infer Element]
        ? readonly Decoded<Element>[]
        : T extends { readonly map: infer Value }
          ? Readonly<Record<string, Decoded<Value>>>
          : T extends { readonly struct: infer Fields }
            ? { readonly [Name in keyof Fields]: Decoded<Fields[Name]> }
            : unknown

/**
 * Decodes as Go does: fields that are unknown are ignored, those that are missing or null have their zero value, and a value of
 * another type is an error that the client reports instead of the answer.
 * @throws Error with the path of the value that does not fit.
 */
export function decodeGo(value: unknown, type: GoType): unknown {
  return decoded(value, type, '')
}

function decoded(value: unknown, type: GoType, path: string): unknown {
  if (type === 'any') return value
  if (type === 'string') return scalar(value ?? '', 'string', path)
  if (type === 'bool') return scalar(value ?? false, 'boolean', path)
  if (type === 'int') {
    const number = scalar(value ?? 0, 'number', path)
    if (!Number.isInteger(number))
      throw new Error(`json: cannot unmarshal ${number} into ${path} of type int`)
    return number
  }
  if (isList(type)) {
    if (value !== null && value !== undefined && !Array.isArray(value)) throw misfit(value, 'a slice', path)
    return ((value ?? []) as unknown[]).map((each, i) => decoded(each, type[0], `${path}[${i}]`))
  }
  if (value !== null && value !== undefined && (typeof value !== 'object' || Array.isArray(value)))
    throw misfit(value, 'an object', path)
  const object = (value ?? {}) as Readonly<Record<string, unknown>>
  if ('map' in type)
    return Object.fromEntries(
      Object.entries(object).map(([key, each]) => [key, decoded(each, type.map, `${path}.${key}`)]),
    )
  return Object.fromEntries(
    Object.entries(type.struct).map(([name, each]) => [name, decoded(object[name], each, `${path}.${name}`)]),
  )
}

function isList(type: GoType): type is readonly [GoType] {
  return Array.isArray(type)
}

function scalar(value: unknown, kind: 'string' | 'number' | 'boolean', path: string): unknown {
  if (typeof value !== kind) throw misfit(value, kind, path)
  return value
}

function misfit(value: unknown, wanted: string, path: string): Error {
  return new Error(`json: cannot unmarshal ${JSON.stringify(value)} into ${path}, which is ${wanted}`)
}

const STRINGS = { map: 'string' } as const
const TAGGED = { map: { struct: { Address: 'string', Port: 'int' } } } as const
const INDEXES = { CreateIndex: 'int', ModifyIndex: 'int' } as const
const WEIGHTS = { struct: { Passing: 'int', Warning: 'int' } } as const

/** A health check (Consul's Go client, api/health.go). */
export const HEALTH_CHECK = {
  struct: {
    Node: 'string',
    CheckID: 'string',
    Name: 'string',
    Status: 'string',
    Notes: 'string',
    Output: 'string',
    ServiceID: 'string',
    ServiceName: 'string',
    ServiceTags: ['string'],
    Type: 'string',
    Namespace: 'string',
    Partition: 'string',
    ExposedPort: 'int',
    PeerName: 'string',
    Definition: { struct: { HTTP: 'string', Header: { map: ['string'] }, TCP: 'string', Body: 'string' } },
    ...INDEXES,
  },
} as const

/** A node (api/catalog.go). */
export const NODE = {
  struct: {
    ID: 'string',
    Node: 'string',
    Address: 'string',
    Datacenter: 'string',
    TaggedAddresses: STRINGS,
    Meta: STRINGS,
    Partition: 'string',
    PeerName: 'string',
    ...INDEXES,
  },
} as const

/** A service of an agent (api/agent.go). */
export const AGENT_SERVICE = {
  struct: {
    Kind: 'string',
    ID: 'string',
    Service: 'string',
    Tags: ['string'],
    Meta: STRINGS,
    Port: 'int',
    Address: 'string',
    SocketPath: 'string',
    TaggedAddresses: TAGGED,
    Weights: WEIGHTS,
    EnableTagOverride: 'bool',
    ContentHash: 'string',
    Namespace: 'string',
    Partition: 'string',
    Datacenter: 'string',
    PeerName: 'string',
    ...INDEXES,
  },
} as const

/** An instance with its node and checks (api/health.go). */
export const SERVICE_ENTRY = {
  struct: { Node: NODE, Service: AGENT_SERVICE, Checks: [HEALTH_CHECK] },
} as const

/** An instance as the catalogue gives it (api/catalog.go). */
export const CATALOG_SERVICE = {
  struct: {
    ID: 'string',
    Node: 'string',
    Address: 'string',
    Datacenter: 'string',
    TaggedAddresses: STRINGS,
    NodeMeta: STRINGS,
    ServiceID: 'string',
    ServiceName: 'string',
    ServiceAddress: 'string',
    ServiceTaggedAddresses: TAGGED,
    ServiceTags: ['string'],
    ServiceMeta: STRINGS,
    ServicePort: 'int',
    ServiceWeights: WEIGHTS,
    ServiceEnableTagOverride: 'bool',
    Namespace: 'string',
    ...INDEXES,
  },
} as const

/** Tags by the name of the service. */
export const SERVICE_TAGS = { map: ['string'] } as const

type Check = Decoded<typeof HEALTH_CHECK>

/** One word for several checks, as the Go client finds it: maintenance before critical before warning. */
export function aggregatedStatus(checks: readonly Pick<Check, 'CheckID' | 'Status'>[]): string {
  if (
    checks.some(
      ({ CheckID }) => CheckID === '_node_maintenance' || CheckID.startsWith('_service_maintenance:'),
    )
  )
    return 'maintenance'
  for (const status of ['critical', 'warning'])
    if (checks.some(({ Status }) => Status === status)) return status
  return 'passing'
}
