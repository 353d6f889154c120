import type { FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { EventError } from '../../discovery/events/errors.ts'
import { EVENT_LIMITS, type UserEvent } from '../../discovery/events/types.ts'
import { bodyBytes } from './body.ts'
import type { HttpContext } from './collaborators.ts'
import { badRequest } from './errors.ts'
import { nullable } from './nullable.ts'
import { firstParam } from './query.ts'
import { textTail } from './raw-path.ts'
import { clientSignal, renderJson, sendJson, sendJsonText } from './replies.ts'
import type { RouteTable } from './routes.ts'
import { ERRORS, query, READ_QUERY } from './schemas.ts'
import { parseWait, setReadHeaders } from './store-reads.ts'

/** Schema of a user event. */
export const EventSchema = Type.Object({
  ID: Type.String(),
  Name: Type.String(),
  Payload: nullable(Type.String({ description: 'Base64' })),
  NodeFilter: Type.String(),
  ServiceFilter: Type.String(),
  TagFilter: Type.String(),
  Version: Type.Integer(),
  LTime: Type.Integer({ description: 'Lamport time; 0 in the answer to the one who fires' }),
})

const UINT64_MAX = 2n ** 64n - 1n
/** The index of a list without events: not 0, which would not block. */
const NOTHING = 1n

/** User events: /v1/event/* (Consul event API). Works without a leader. */
export function addEventRoutes(routes: RouteTable, context: HttpContext): void {
  const { events } = context
  routes.add({
    method: 'PUT',
    url: '/v1/event/fire/*',
    wildcard: 'name',
    permission: 'event:write',
    tag: 'event',
    summary: 'Send an event with the body as its payload to every agent whose node the filters match.',
    query: query({
      node: 'Regular expression (RE2) of the name of the node',
      service: 'Regular expression of the name of a service on it',
      tag: 'Regular expression of a tag of that service',
    }),
    bodyLimit: EVENT_LIMITS.payloadBytes,
    responses: {
      200: { description: 'The event', json: EventSchema },
      ...ERRORS,
      413: { description: 'The payload is too large', media: 'text/plain' },
    },
    handler: async (request, reply) => {
      const param = (name: string) => firstParam(request.query, name) ?? ''
      const spec = {
        name: textTail(request),
        payload: bodyBytes(request),
        nodeFilter: param('node'),
        serviceFilter: param('service'),
        tagFilter: param('tag'),
      }
      try {
        const event = await events.fire(spec)
        return sendJson(request, reply, { ...eventJson(event), LTime: 0 })
      } catch (error) {
        if (error instanceof EventError) throw badRequest(error.message)
        throw error
      }
    },
  })
  routes.add({
    method: 'GET',
    url: '/v1/event/list',
    permission: 'event:read',
    tag: 'event',
    summary:
      'The newest events that were for this node, oldest first. Blocks with ?index until there is another.',
    query: query({
      name: 'Only events of this name',
      index: 'Block while the newest event has this index',
      wait: READ_QUERY.wait,
      pretty: READ_QUERY.pretty,
    }),
    responses: { 200: { description: 'Events', json: Type.Array(EventSchema) }, ...ERRORS },
    handler: async (request, reply) => {
      const name = firstParam(request.query, 'name') ?? ''
      const known = knownIndex(request)
      const waitMs = parseWait(firstParam(request.query, 'wait') ?? '')
      const source = {
        // The index of events does not grow: to the one who waits there is what is known (1) and what is not (2).
        read: async () => {
          const listed = events.list().filter((event) => name === '' || event.name === name)
          const index = listIndex(listed)
          return { index: index === known ? 1 : 2, storeIndex: 2, answer: { listed, index } }
        },
        watch: (listener: () => void) => events.onEvent(listener),
      }
      const asked = { index: known === 0n ? 0 : 1, waitMs }
      const { listed, index } = await context.parking.answer(asked, source, clientSignal(reply))
      const { leader, lastContactMs } = context.consensus.status()
      setReadHeaders(reply, { index, knownLeader: leader !== null, lastContactMs, consistency: 'stale' })
      return sendJsonText(reply, renderJson(request, listed.map(eventJson)))
    },
  })
}

/** An event as Consul shows it. */
function eventJson(event: UserEvent) {
  return {
    ID: event.id,
    Name: event.name,
    Payload: event.payload.length === 0 ? null : Buffer.from(event.payload).toString('base64'),
    NodeFilter: event.nodeFilter,
    ServiceFilter: event.serviceFilter,
    TagFilter: event.tagFilter,
    Version: 1,
    LTime: event.lamportTime,
  }
}

/** Consul's index of a list of events: the halves of the newest id, one XORed with the other. Not monotonic. */
export function listIndex(events: readonly UserEvent[]): bigint {
  const newest = events.at(-1)
  if (newest === undefined) return NOTHING
  const hex = newest.id.replaceAll('-', '')
  const index = BigInt(`0x${hex.slice(0, 16)}`) ^ BigInt(`0x${hex.slice(16)}`)
  return index === 0n ? NOTHING : index
}

/** `?index` in its full 64 bits; 0 = do not wait. @throws HttpError 400 `Invalid index`. */
function knownIndex(request: FastifyRequest): bigint {
  const text = firstParam(request.query, 'index') ?? ''
  if (text === '' || /^-\d+$/.test(text)) return 0n
  const index = /^\d{1,20}$/.test(text) ? BigInt(text) : UINT64_MAX + 1n
  if (index > UINT64_MAX) throw badRequest('Invalid index')
  return index
}
