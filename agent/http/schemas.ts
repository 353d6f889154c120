import { type TObject, Type } from 'typebox'
import { nullable } from './nullable.ts'
import type { ResponseSpec } from './routes.ts'

/** Schemas of the Consul dialect. They describe (in /openapi.json); the tests hold the answers against them. */

/** A query string of optional texts: name → what it does. A name with no value counts as set. */
export function query(parameters: Readonly<Record<string, string>>): TObject {
  return Type.Object(
    Object.fromEntries(
      Object.entries(parameters).map(([name, description]) => [
        name,
        Type.Optional(Type.String({ description })),
      ]),
    ),
  )
}

/** Parameters of every read from the store. */
export const READ_QUERY = {
  index: 'Block until the result is newer than this index',
  wait: 'How long to block, e.g. 30s; default 5m, at most 10m',
  stale: 'Answer with what this node has',
  consistent: 'Have the leader confirm itself with a quorum first',
  pretty: 'Indent the JSON',
} as const

/** Of reads that list objects. */
export const FILTER_QUERY = {
  filter: 'Expression that the objects must fulfil, in the filter language of Consul',
} as const

/** Parameters of reads from the catalogue. */
export const CATALOG_QUERY = {
  ...READ_QUERY,
  ...FILTER_QUERY,
  'node-meta': 'key:value the node must have; repeatable',
} as const

/** Of lists of what is on nodes. */
export const NEAR_QUERY = {
  near: 'Nearest first: a node, _agent for the one that is asked, _ip for the one the request came from',
} as const

/** Refusals any route of the dialect can answer with. */
export const ERRORS: Readonly<Record<number, ResponseSpec>> = {
  400: { description: 'The request is wrong; the text says why', media: 'text/plain' },
  403: { description: 'Permission denied', media: 'text/plain' },
  500: { description: 'No cluster leader, or a refusal the text explains', media: 'text/plain' },
}

/** `true`, or `false` for a lost compare-and-set or lock. */
export const DONE: ResponseSpec = {
  description: 'true, or false if nothing was changed',
  json: Type.Boolean(),
}

const Meta = Type.Record(Type.String(), Type.String())
const Status = Type.Union([Type.Literal('passing'), Type.Literal('warning'), Type.Literal('critical')])
const Weights = Type.Object({ Passing: Type.Integer(), Warning: Type.Integer() })
const ServiceAddress = Type.Object({ Address: Type.String(), Port: Type.Integer() })
const indexes = { CreateIndex: Type.Integer(), ModifyIndex: Type.Integer() }

/** An entry of the KV store. */
export const KvEntrySchema = Type.Array(
  Type.Object({
    LockIndex: Type.Integer(),
    Key: Type.String(),
    Flags: Type.Number({ description: 'Up to 64 bits' }),
    Value: nullable(Type.String({ description: 'Base64' })),
    Session: Type.Optional(Type.String()),
    TTL: Type.Optional(
      Type.String({ description: 'Of a key that goes when it is not written again in time' }),
    ),
    ...indexes,
  }),
)

/** Keys of the KV store. */
export const KvKeysSchema = Type.Array(Type.String())

const KvEntryObject = KvEntrySchema.items

const VERBS =
  'set, cas, lock, unlock, get, get-or-empty, get-tree, check-index, check-session, check-not-exists, delete, delete-cas, delete-tree'

const DeclaredVerb = Type.String({ description: 'get, set, cas, delete, delete-cas; cas by ModifyIndex' })

/** Body of a transaction. */
export const TransactionRequestSchema = Type.Array(
  Type.Object(
    {
      KV: Type.Optional(
        Type.Object({
          Verb: Type.String({ description: VERBS }),
          Key: Type.String(),
          Value: Type.Optional(Type.String({ description: 'Base64' })),
          Flags: Type.Optional(Type.Number({ description: 'Up to 64 bits' })),
          Index: Type.Optional(Type.Integer()),
          Session: Type.Optional(Type.String()),
        }),
      ),
      Node: Type.Optional(Type.Object({ Verb: DeclaredVerb, Node: Type.Object({}) })),
      Service: Type.Optional(
        Type.Object({ Verb: DeclaredVerb, Node: Type.String(), Service: Type.Object({}) }),
      ),
      Check: Type.Optional(Type.Object({ Verb: DeclaredVerb, Check: Type.Object({}) })),
    },
    { description: 'Exactly one of them' },
  ),
  { maxItems: 128 },
)

/** What a transaction answers: one of the two is null. */
export const TransactionSchema = Type.Object({
  Results: Type.Union([
    Type.Array(
      Type.Object({
        KV: Type.Optional(KvEntryObject),
        Node: Type.Optional(Type.Object({})),
        Service: Type.Optional(Type.Object({})),
        Check: Type.Optional(Type.Object({})),
      }),
    ),
    Type.Null(),
  ]),
  Errors: Type.Union([
    Type.Array(Type.Object({ OpIndex: Type.Integer({ description: 'Counts from 0' }), What: Type.String() })),
    Type.Null(),
  ]),
})

/** A session. */
export const SessionSchema = Type.Object({
  ID: Type.String(),
  Name: Type.String(),
  Node: Type.String(),
  LockDelay: Type.Integer({ description: 'Nanoseconds' }),
  Behavior: Type.Union([Type.Literal('release'), Type.Literal('delete')]),
  TTL: Type.String({ description: 'As it was given; empty for none' }),
  Checks: Type.Optional(Type.Array(Type.String(), { description: 'NodeChecks under its old name' })),
  NodeChecks: Type.Array(Type.String()),
  ServiceChecks: Type.Union([
    Type.Array(Type.Object({ ID: Type.String(), Namespace: Type.String() })),
    Type.Null(),
  ]),
  ...indexes,
})

/** A node of the catalogue. */
export const NodeSchema = Type.Object({
  ID: Type.String(),
  Node: Type.String(),
  Address: Type.String(),
  Datacenter: Type.String(),
  TaggedAddresses: Type.Record(Type.String(), Type.String()),
  Meta,
  ...indexes,
})

const serviceFields = {
  ID: Type.String(),
  Service: Type.String(),
  Tags: Type.Array(Type.String()),
  Address: Type.String(),
  TaggedAddresses: Type.Optional(Type.Record(Type.String(), ServiceAddress)),
  Meta,
  Port: Type.Integer(),
  Weights,
  EnableTagOverride: Type.Boolean(),
}

const Connect = Type.Object({ Native: Type.Optional(Type.Boolean()) })

/** A service as the agent that registered it shows it. */
export const AgentServiceSchema = Type.Object({
  ...serviceFields,
  Connect: Type.Optional(Connect),
  Datacenter: Type.String(),
  ContentHash: Type.Optional(Type.String()),
})

/** A service in the catalogue. */
export const NodeServiceSchema = Type.Object({
  ...serviceFields,
  Proxy: Type.Object({ Mode: Type.String(), MeshGateway: Type.Object({}), Expose: Type.Object({}) }),
  Connect,
  PeerName: Type.String(),
  ...indexes,
})

/** A service joined flat with its node. */
export const ServiceNodeSchema = Type.Object({
  ID: Type.String(),
  Node: Type.String(),
  Address: Type.String(),
  Datacenter: Type.String(),
  TaggedAddresses: Type.Record(Type.String(), Type.String()),
  NodeMeta: Meta,
  ServiceKind: Type.String(),
  ServiceID: Type.String(),
  ServiceName: Type.String(),
  ServiceTags: Type.Array(Type.String()),
  ServiceAddress: Type.String(),
  ServiceTaggedAddresses: Type.Optional(Type.Record(Type.String(), ServiceAddress)),
  ServiceWeights: Weights,
  ServiceMeta: Meta,
  ServicePort: Type.Integer(),
  ServiceSocketPath: Type.String(),
  ServiceEnableTagOverride: Type.Boolean(),
  ServiceProxy: Type.Object({}),
  ServiceConnect: Connect,
  ServiceLocality: Type.Null(),
  ...indexes,
})

/** A health check. */
export const HealthCheckSchema = Type.Object({
  Node: Type.String(),
  CheckID: Type.String(),
  Name: Type.String(),
  Status,
  Notes: Type.String(),
  Output: Type.String(),
  ServiceID: Type.String(),
  ServiceName: Type.String(),
  ServiceTags: Type.Array(Type.String()),
  Type: Type.String(),
  Interval: Type.String(),
  Timeout: Type.String(),
  ExposedPort: Type.Integer(),
  Definition: Type.Object({}),
  ...indexes,
})

/** An instance with its node and checks. */
export const ServiceEntrySchema = Type.Object({
  Node: NodeSchema,
  Service: NodeServiceSchema,
  Checks: Type.Array(HealthCheckSchema),
})

/** A member of the cluster. */
export const MemberSchema = Type.Object({
  Name: Type.String(),
  Addr: Type.String(),
  Port: Type.Integer(),
  Tags: Type.Record(Type.String(), Type.String()),
  Status: Type.Integer({ minimum: 0, maximum: 4, description: '1 alive, 3 left, 4 failed' }),
  ProtocolMin: Type.Integer(),
  ProtocolMax: Type.Integer(),
  ProtocolCur: Type.Integer(),
  DelegateMin: Type.Integer(),
  DelegateMax: Type.Integer(),
  DelegateCur: Type.Integer(),
})

/** The agent's answer about itself. */
export const SelfSchema = Type.Object({
  Config: Type.Object({
    Datacenter: Type.String(),
    PrimaryDatacenter: Type.String(),
    NodeName: Type.String(),
    NodeID: Type.String(),
    Revision: Type.String(),
    Server: Type.Boolean(),
    Version: Type.String(),
    BuildDate: Type.String(),
    SessionTTLMin: Type.Integer({ description: 'Nanoseconds' }),
  }),
  DebugConfig: Type.Object({}),
  Coord: Type.Union([
    Type.Object({
      Adjustment: Type.Number(),
      Error: Type.Number(),
      Height: Type.Number(),
      Vec: Type.Array(Type.Number()),
    }),
    Type.Null(),
  ]),
  Member: MemberSchema,
  Stats: Type.Record(Type.String(), Type.Record(Type.String(), Type.String())),
  Meta,
  xDS: Type.Null(),
})

const duration = Type.Union([Type.String(), Type.Integer()], { description: 'Go duration or nanoseconds' })

const checkFields = {
  CheckID: Type.Optional(Type.String()),
  Name: Type.Optional(Type.String()),
  Notes: Type.Optional(Type.String()),
  Status: Type.Optional(Status),
  HTTP: Type.Optional(Type.String({ description: 'URL to request' })),
  Method: Type.Optional(Type.String()),
  Header: Type.Optional(Type.Record(Type.String(), Type.Array(Type.String()))),
  Body: Type.Optional(Type.String()),
  TLSSkipVerify: Type.Optional(Type.Boolean()),
  TCP: Type.Optional(Type.String({ description: 'host:port to connect to' })),
  DisableRedirects: Type.Optional(Type.Boolean()),
  TLSServerName: Type.Optional(Type.String({ description: 'Asked for and looked for in the certificate' })),
  TCPUseTLS: Type.Optional(Type.Boolean()),
  UDP: Type.Optional(Type.String({ description: 'host:port to send a datagram to' })),
  GRPC: Type.Optional(Type.String({ description: 'host:port or host:port/service' })),
  GRPCUseTLS: Type.Optional(Type.Boolean()),
  H2PING: Type.Optional(Type.String({ description: 'host:port to ping over HTTP/2' })),
  H2PingUseTLS: Type.Optional(Type.Boolean({ description: 'Default true' })),
  ScriptArgs: Type.Optional(Type.Array(Type.String(), { description: 'Program and arguments' })),
  DockerContainerID: Type.Optional(Type.String({ description: 'Container ScriptArgs run in' })),
  Shell: Type.Optional(Type.String()),
  AliasService: Type.Optional(Type.String({ description: 'Id of the service to follow' })),
  AliasNode: Type.Optional(Type.String()),
  TTL: Type.Optional(duration),
  Interval: Type.Optional(duration),
  Timeout: Type.Optional(duration),
  SuccessBeforePassing: Type.Optional(Type.Integer()),
  FailuresBeforeWarning: Type.Optional(Type.Integer()),
  FailuresBeforeCritical: Type.Optional(Type.Integer()),
  DeregisterCriticalServiceAfter: Type.Optional(duration),
  OutputMaxSize: Type.Optional(Type.Integer()),
}

/** Body of a session creation. */
export const SessionRequestSchema = Type.Object({
  Name: Type.Optional(Type.String()),
  Node: Type.Optional(Type.String({ description: 'Default: this node' })),
  TTL: Type.Optional(Type.String({ description: 'Go duration; without one the session does not expire' })),
  LockDelay: Type.Optional(duration),
  Behavior: Type.Optional(Type.Union([Type.Literal('release'), Type.Literal('delete')])),
  Checks: Type.Optional(Type.Array(Type.String(), { description: 'Empty = none; absent = serfHealth' })),
  NodeChecks: Type.Optional(Type.Array(Type.String())),
  ServiceChecks: Type.Optional(
    Type.Array(Type.Object({ ID: Type.String(), Namespace: Type.Optional(Type.String()) })),
  ),
})

/** Body of a check registration. */
export const CheckRegistrationSchema = Type.Object({
  ...checkFields,
  ID: Type.Optional(Type.String()),
  Name: Type.String(),
  ServiceID: Type.Optional(Type.String()),
})

/** Body of a service registration. */
export const ServiceRegistrationSchema = Type.Object({
  ID: Type.Optional(Type.String({ description: 'Default: Name' })),
  Name: Type.String(),
  Tags: Type.Optional(Type.Array(Type.String())),
  Address: Type.Optional(Type.String({ description: 'Default: the address of the node' })),
  TaggedAddresses: Type.Optional(Type.Record(Type.String(), ServiceAddress)),
  Meta: Type.Optional(Meta),
  Port: Type.Optional(Type.Integer()),
  Weights: Type.Optional(Weights),
  EnableTagOverride: Type.Optional(Type.Boolean()),
  Connect: Type.Optional(Connect),
  Check: Type.Optional(Type.Object(checkFields)),
  Checks: Type.Optional(Type.Array(Type.Object(checkFields))),
})

const declaredCheckFields = {
  Node: Type.Optional(Type.String()),
  CheckID: Type.Optional(Type.String({ description: 'Default: Name' })),
  Name: Type.Optional(Type.String()),
  Status: Type.Optional(Status),
  Notes: Type.Optional(Type.String()),
  Output: Type.Optional(Type.String()),
  ServiceID: Type.Optional(Type.String({ description: 'Default: the service registered with it' })),
  Definition: Type.Optional(Type.Object({}, { description: 'Kept for whoever runs the check' })),
}

/** Body of a catalogue registration. */
export const CatalogRegistrationSchema = Type.Object({
  Datacenter: Type.Optional(Type.String({ description: 'There is but one' })),
  Node: Type.String(),
  ID: Type.Optional(
    Type.String({ description: 'UUID of the node; default: one that follows from its name' }),
  ),
  Address: Type.Optional(Type.String({ description: 'Required unless SkipNodeUpdate' })),
  TaggedAddresses: Type.Optional(Type.Record(Type.String(), Type.String())),
  NodeMeta: Type.Optional(Meta),
  SkipNodeUpdate: Type.Optional(Type.Boolean()),
  Service: Type.Optional(
    Type.Object({
      ID: Type.Optional(Type.String({ description: 'Default: Service' })),
      Service: Type.String(),
      Tags: Type.Optional(Type.Array(Type.String())),
      Address: Type.Optional(Type.String()),
      Port: Type.Optional(Type.Integer()),
      Meta: Type.Optional(Meta),
      Weights: Type.Optional(Weights),
      EnableTagOverride: Type.Optional(Type.Boolean()),
      TaggedAddresses: Type.Optional(Type.Record(Type.String(), ServiceAddress)),
    }),
  ),
  Check: Type.Optional(Type.Object(declaredCheckFields)),
  Checks: Type.Optional(Type.Array(Type.Object(declaredCheckFields))),
})

/** Body of a catalogue deregistration. */
export const CatalogDeregistrationSchema = Type.Object({
  Datacenter: Type.Optional(Type.String({ description: 'There is but one' })),
  Node: Type.String(),
  ServiceID: Type.Optional(Type.String()),
  CheckID: Type.Optional(Type.String()),
})

/** Body of a check update. */
export const CheckUpdateSchema = Type.Object({ Status, Output: Type.Optional(Type.String()) })
