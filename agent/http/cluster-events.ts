import { randomUUID } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { type ClusterEvent, EVENTS_KEPT } from '../cluster-events/event-log.ts'
import { CLUSTER_EVENT_TYPES, isClusterEventType } from '../cluster-events/event-types.ts'
import { FAILURES, Failure } from './api-failures.ts'
import type { HttpContext } from './collaborators.ts'
import { badRequest, ClientGoneError } from './errors.ts'
import { eventText, KEEP_ALIVE_MS, sendEventStream, WakeUp } from './event-stream.ts'
import { allParams, firstParam } from './query.ts'
import { clientSignal } from './replies.ts'
import type { RouteTable } from './routes.ts'

const BATCH = 64

const EventsQuery = Type.Object({
  recent: Type.Optional(
    Type.String({
      description: 'Begin with so many of the events that are remembered (up to 1,024) and asked for',
    }),
  ),
  type: Type.Optional(
    Type.Union([Type.String(), Type.Array(Type.String())], {
      description: 'Only events of this type; repeatable',
    }),
  ),
})

/** What happens in the cluster as this node sees it: /api/v1/events (server-sent events). */
export function addClusterEventRoutes(routes: RouteTable, context: HttpContext): void {
  // A position means something to the run of the agent that gave it only.
  const run = randomUUID().slice(0, 8)
  routes.add({
    method: 'GET',
    url: '/api/v1/events',
    permission: 'node:read',
    tag: 'api',
    summary: 'What happens in the cluster, as server-sent events; goes on behind Last-Event-ID.',
    query: EventsQuery,
    responses: {
      200: { description: 'Events', media: 'text/event-stream' },
      400: { description: 'A parameter is wrong', json: Failure },
      429: { description: 'Too many streams are open on this node', json: Failure },
      ...FAILURES,
    },
    handler: (request, reply) => stream(context, request, reply, run),
  })
}

async function stream(
  context: HttpContext,
  request: FastifyRequest,
  reply: FastifyReply,
  run: string,
): Promise<FastifyReply> {
  const { parking } = context
  const client = clientSignal(reply)
  const signal = AbortSignal.any([client, parking.closing])
  const recent = recentOf(request)
  const types = typesOf(request)
  if (request.method === 'HEAD') return reply.header('content-type', 'text/event-stream').send()
  if (client.aborted) throw new ClientGoneError()
  reply.raw.once('close', parking.enter())
  const header = request.headers['last-event-id']
  const position = positionOf(Array.isArray(header) ? header[0] : header, run)
  const accepts = ({ type }: ClusterEvent) => types.size === 0 || types.has(type)
  const options = { run, recent, position, accepts, signal, keepAliveMs: KEEP_ALIVE_MS }
  return sendEventStream(reply, clusterEventTexts(context.clusterEvents, options))
}

/** What a stream of cluster events is to hold. */
export interface ClusterStreamOptions {
  /** Names the run of the agent in the ids of events. */
  readonly run: string
  readonly recent: number
  /** Sequence of the last event the client has; null if it has none, `unknown` if it is not of this run. */
  readonly position: number | 'unknown' | null
  readonly accepts: (event: ClusterEvent) => boolean
  readonly signal: AbortSignal
  /** Silence after which the position is told. Milliseconds. */
  readonly keepAliveMs: number
}

/** The texts of one stream, until its signal aborts. */
export async function* clusterEventTexts(
  clusterEvents: HttpContext['clusterEvents'],
  options: ClusterStreamOptions,
): AsyncGenerator<string> {
  const { run, accepts, signal, keepAliveMs } = options
  let toldAtMs = performance.now()
  const wakeUp = new WakeUp()
  const stop = clusterEvents.onEvent(wakeUp.wake)
  const show = (event: ClusterEvent) =>
    eventText({
      event: event.type,
      id: `${run}-${event.sequence}`,
      data: { time: event.time, ...event.data },
    })
  try {
    const start = clusterEvents.sequence
    let position = typeof options.position === 'number' ? options.position : start
    let isReady = false
    if (options.position === 'unknown') yield reset()
    else if (options.position === null && options.recent > 0) {
      const remembered = clusterEvents.latest(EVENTS_KEPT).filter(accepts)
      for (const event of remembered.slice(-options.recent)) yield show(event)
    }
    while (!signal.aborted) {
      const limit = isReady ? BATCH : Math.min(BATCH, Math.max(0, start - position))
      const step = clusterEvents.after(position, limit)
      if (step === null) {
        position = clusterEvents.sequence
        yield reset()
        continue
      }
      for (const event of step) {
        position = event.sequence
        if (!accepts(event)) continue
        yield show(event)
        toldAtMs = performance.now()
      }
      if (!isReady && position >= start) {
        yield eventText({ event: 'ready', id: `${run}-${position}`, data: {} })
        isReady = true
        toldAtMs = performance.now()
        continue
      }
      if (performance.now() - toldAtMs >= keepAliveMs) {
        // With the id: of many events that were not asked for, the client has seen none.
        yield `: keep-alive\nid: ${run}-${position}\n\n`
        toldAtMs = performance.now()
      }
      if (step.length === 0) await wakeUp.wait(toldAtMs + keepAliveMs - performance.now(), signal)
    }
  } finally {
    stop()
  }
}

/** Says that something may have been missed: read the state again. */
function reset(): string {
  return eventText({
    event: 'reset',
    data: { reason: 'the events since then are not remembered; read the state again' },
  })
}

function recentOf(request: FastifyRequest): number {
  const text = firstParam(request.query, 'recent') ?? '0'
  if (!/^\d{1,6}$/.test(text)) throw badRequest('recent must be a whole number')
  return Number(text)
}

function typesOf(request: FastifyRequest): ReadonlySet<string> {
  const types = allParams(request.query, 'type')
  const unknown = types.find((type) => !isClusterEventType(type))
  if (unknown === undefined) return new Set(types)
  const known = CLUSTER_EVENT_TYPES.join(', ')
  throw badRequest(`${JSON.stringify(unknown)} is no type of event: there are ${known}`)
}

function positionOf(id: string | undefined, run: string): ClusterStreamOptions['position'] {
  if (id === undefined || id === '') return null
  const [, of, sequence] = /^([0-9a-f]{8})-(\d{1,15})$/.exec(id) ?? []
  return of === run ? Number(sequence) : 'unknown'
}
