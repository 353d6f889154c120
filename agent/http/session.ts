import { randomUUID } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import type { Session, StateView } from '../../consensus/client.ts'
import { validateSessionChecks } from '../session-checks.ts'
import { bodyBytes, bodyJson } from './body.ts'
import type { HttpContext } from './collaborators.ts'
import { type DecisionQuery, readDecisions } from './decision-reads.ts'
import { notFound, refused } from './errors.ts'
import { Fields } from './fields.ts'
import { requestFilter, type WireFilter } from './filter/request-filter.ts'
import { SESSION } from './filter/shapes.ts'
import { namedTail } from './raw-path.ts'
import { renderJson, sendJson } from './replies.ts'
import type { RouteTable } from './routes.ts'
import {
  DONE,
  ERRORS,
  FILTER_QUERY,
  query,
  READ_QUERY,
  SessionRequestSchema,
  SessionSchema,
} from './schemas.ts'
import { parseSession } from './session-definition.ts'
import { leaderCall } from './store-reads.ts'

const NANOSECONDS_PER_MS = 1e6

/** Sessions, which hold locks: /v1/session/* (Consul session API). */
export function addSessionRoutes(routes: RouteTable, context: HttpContext): void {
  routes.add({
    method: 'PUT',
    url: '/v1/session/create',
    permission: 'session:write',
    tag: 'session',
    summary: 'Create a session. Without a body one of this node that only destroy or a failing node ends.',
    body: SessionRequestSchema,
    responses: { 200: { description: 'Its id', json: Type.Object({ ID: Type.String() }) }, ...ERRORS },
    handler: (request, reply) => create(context, request, reply),
  })
  routes.add({
    method: 'PUT',
    url: '/v1/session/destroy/*',
    wildcard: 'id',
    permission: 'session:write',
    tag: 'session',
    summary: 'End a session, known or not. The keys it holds are unlocked or deleted.',
    responses: { 200: DONE, ...ERRORS },
    handler: async (request, reply) => {
      const id = sessionId(request)
      await context.consensus.propose({ type: 'session.destroy', id }, callOptions(reply))
      return sendJson(request, reply, true)
    },
  })
  routes.add({
    method: 'PUT',
    url: '/v1/session/renew/*',
    wildcard: 'id',
    permission: 'session:write',
    tag: 'session',
    summary: 'Give a session its full time again.',
    responses: {
      200: { description: 'The session', json: Type.Array(SessionSchema) },
      404: { description: 'No such session', media: 'text/plain' },
      ...ERRORS,
    },
    handler: async (request, reply) => {
      const id = sessionId(request)
      const session = await context.consensus.renewSession(id, callOptions(reply))
      if (session === null) throw notFound(`Session id '${id}' not found`)
      return sendJson(request, reply, [sessionJson(session)])
    },
  })
  addReads(routes, context)
}

function addReads(routes: RouteTable, context: HttpContext): void {
  const read = (
    spec: { url: string; wildcard?: string; summary: string; query?: Readonly<Record<string, string>> },
    decisions: (request: FastifyRequest) => DecisionQuery,
  ): void =>
    routes.add({
      method: 'GET',
      ...spec,
      permission: 'session:read',
      tag: 'session',
      query: query({ ...READ_QUERY, ...spec.query }),
      responses: { 200: { description: 'Sessions', json: Type.Array(SessionSchema) }, ...ERRORS },
      handler: async (request, reply) => {
        const body = await readDecisions(context, request, reply, decisions(request))
        return reply.header('content-type', 'application/json').send(body)
      },
    })

  read(
    {
      url: '/v1/session/info/*',
      wildcard: 'id',
      summary: 'One session, or an empty list. Blocks with ?index.',
    },
    (request) => {
      const id = sessionId(request)
      const found = (view: StateView): readonly Session[] => {
        const session = view.session(id)
        return session === undefined ? [] : [session]
      }
      // A session never changes, it only ends: others do not wake whoever waits for that.
      const index = (view: StateView) => view.session(id)?.modifyIndex ?? view.sessionsIndex
      return sessionsQuery(request, found, { index })
    },
  )
  read(
    {
      url: '/v1/session/node/*',
      wildcard: 'node',
      summary: 'The sessions of a node. Blocks with ?index.',
    },
    (request) => {
      const node = namedTail(request, 'node name').toLowerCase()
      return sessionsQuery(request, (view) =>
        view.sessions().filter((session) => session.node.toLowerCase() === node),
      )
    },
  )
  read(
    { url: '/v1/session/list', summary: 'Every session. Blocks with ?index.', query: FILTER_QUERY },
    (request) =>
      sessionsQuery(request, (view) => view.sessions(), { matches: requestFilter(request, SESSION) }),
  )
}

function sessionsQuery(
  request: FastifyRequest,
  find: (view: StateView) => readonly Session[],
  options: { readonly index?: (view: StateView) => number; readonly matches?: WireFilter } = {},
): DecisionQuery {
  const { index = (view) => view.sessionsIndex, matches = () => true } = options
  const text = (view: StateView): string => renderJson(request, find(view).map(sessionJson).filter(matches))
  return {
    selector: { kind: 'sessions' },
    index,
    fingerprint: text,
    body: (view) => Buffer.from(text(view)),
  }
}

/** Consul's JSON of a session. The TTL is echoed as it was written: clients parse it to know when to renew. */
function sessionJson(session: Session): Record<string, unknown> {
  const { nodeChecks, serviceChecks } = session
  return {
    ID: session.id,
    Name: session.name,
    Node: session.node,
    LockDelay: Math.round(session.lockDelayMs * NANOSECONDS_PER_MS),
    Behavior: session.behavior,
    TTL: session.ttl,
    ...(nodeChecks.length === 0 ? {} : { Checks: nodeChecks }),
    NodeChecks: nodeChecks,
    ServiceChecks: serviceChecks?.map(({ id, namespace }) => ({ ID: id, Namespace: namespace })) ?? null,
    CreateIndex: session.createIndex,
    ModifyIndex: session.modifyIndex,
  }
}

async function create(
  context: HttpContext,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const isEmpty = bodyBytes(request).toString('utf8').trim() === ''
  const body = isEmpty ? {} : bodyJson(request)
  const { catalog, config, consensus, membership } = context
  const spec = parseSession(new Fields(body, 'the body'), membership.local().name, config.sessions)
  const fault = validateSessionChecks(spec, catalog)
  if (fault !== null) throw refused(fault)
  const session = { ...spec, id: randomUUID() }
  const result = await consensus.propose({ type: 'session.create', session }, callOptions(reply))
  if (result.error !== undefined) throw refused(result.error)
  return sendJson(request, reply, { ID: session.id })
}

function callOptions(reply: FastifyReply) {
  return leaderCall(reply)
}

function sessionId(request: FastifyRequest): string {
  const id = namedTail(request, 'session')
  return id
}
