import { Type } from 'typebox'
import {
  AgentServiceSchema,
  HealthCheckSchema,
  MemberSchema,
  NodeSchema,
  NodeServiceSchema,
  ServiceEntrySchema,
  ServiceNodeSchema,
  SessionSchema,
} from '../schemas.ts'
import { shapeOf } from './shape.ts'

/** What Consul has of a service and leaves out of its answers while it is empty. */
const LEFT_OUT = {
  Kind: Type.String(),
  SocketPath: Type.String(),
  Connect: Type.Object({ Native: Type.Boolean() }),
}
const NodeService = Type.Object({ ...NodeServiceSchema.properties, ...LEFT_OUT })

/** The shapes of what the endpoints list: what their filters may select. */
export const AGENT_SERVICE = shapeOf(Type.Object({ ...AgentServiceSchema.properties, ...LEFT_OUT }))
export const CHECK = shapeOf(HealthCheckSchema)
export const MEMBER = shapeOf(MemberSchema)
export const NODE = shapeOf(NodeSchema)
export const NODE_SERVICE = shapeOf(NodeService)
export const SERVICE_ENTRY = shapeOf(Type.Object({ ...ServiceEntrySchema.properties, Service: NodeService }))
export const SERVICE_NODE = shapeOf(
  Type.Object({ ...ServiceNodeSchema.properties, ServiceConnect: LEFT_OUT.Connect }),
)
export const SESSION = shapeOf(SessionSchema)
