import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import type { Coordinate } from '../../discovery/membership/core/coordinate.ts'
import type { Member } from '../../discovery/membership/types.ts'
import type { HttpContext } from './collaborators.ts'
import { DATACENTER } from './consul-shapes.ts'
import { nodeNamed } from './lookups.ts'
import { namedTail } from './raw-path.ts'
import { clientSignal, renderJson, sendJson, sendJsonText } from './replies.ts'
import type { RouteTable } from './routes.ts'
import { ERRORS, query, READ_QUERY } from './schemas.ts'
import { readOptions, setReadHeaders } from './store-reads.ts'

/** Coordinates move with every probe; who blocks on them is told this often, as Consul's are written this often. */
const UPDATE_MS = 5000

const CoordinateSchema = Type.Object({
  Node: Type.String(),
  Segment: Type.String(),
  Coord: Type.Object({
    Adjustment: Type.Number(),
    Error: Type.Number(),
    Height: Type.Number(),
    Vec: Type.Array(Type.Number()),
  }),
})

/** Where the nodes are in the network: /v1/coordinate (Consul coordinate API). In seconds, as there. */
export function addCoordinateRoutes(routes: RouteTable, context: HttpContext): void {
  const clock = new CoordinateIndex(context, () => performance.now())
  routes.add({
    method: 'GET',
    url: '/v1/coordinate/nodes',
    permission: 'node:read',
    tag: 'coordinate',
    summary: 'The network coordinate of every member that has measured something. Blocks with ?index.',
    query: query(READ_QUERY),
    responses: { 200: { description: 'Coordinates', json: Type.Array(CoordinateSchema) }, ...ERRORS },
    handler: (request, reply) => answer(context, clock, request, reply, () => coordinates(context)),
  })
  routes.add({
    method: 'GET',
    url: '/v1/coordinate/node/*',
    wildcard: 'node',
    permission: 'node:read',
    tag: 'coordinate',
    summary: 'The network coordinate of one member. Blocks with ?index.',
    query: query(READ_QUERY),
    responses: {
      200: { description: 'Its coordinate, in an array', json: Type.Array(CoordinateSchema) },
      404: { description: 'Unknown, or it has measured nothing yet' },
      ...ERRORS,
    },
    handler: (request, reply) => {
      const wanted = namedTail(request, 'node name')
      return answer(context, clock, request, reply, () => {
        const name = nodeNamed(context.catalog, wanted)?.record.name ?? wanted
        const found = coordinates(context).filter(({ Node }) => Node === name)
        return found.length === 0 ? null : found
      })
    },
  })
  routes.add({
    method: 'GET',
    url: '/v1/coordinate/datacenters',
    permission: 'node:read',
    tag: 'coordinate',
    summary: 'The coordinates by datacenter; there is one.',
    responses: {
      200: {
        description: 'Coordinates',
        json: Type.Array(
          Type.Object({
            Datacenter: Type.String(),
            AreaID: Type.String(),
            Coordinates: Type.Array(CoordinateSchema),
          }),
        ),
      },
      ...ERRORS,
    },
    handler: (request, reply) => {
      const named = coordinates(context).map((each) => ({ ...each, Node: `${each.Node}.${DATACENTER}` }))
      return sendJson(request, reply, [{ Datacenter: DATACENTER, AreaID: 'wan', Coordinates: named }])
    },
  })
}

async function answer(
  context: HttpContext,
  clock: CoordinateIndex,
  request: FastifyRequest,
  reply: FastifyReply,
  value: () => object | null,
): Promise<FastifyReply> {
  const options = readOptions(request)
  const source = {
    read: async () => ({
      index: clock.index,
      storeIndex: clock.index,
      answer: { value: value(), index: clock.index },
    }),
    watch: (listener: () => void) => {
      const timer = setInterval(listener, UPDATE_MS)
      return () => clearInterval(timer)
    },
  }
  const found = await context.parking.answer(options, source, clientSignal(reply))
  const { leader, lastContactMs } = context.consensus.status()
  setReadHeaders(reply, {
    index: found.index,
    knownLeader: leader !== null,
    lastContactMs,
    consistency: 'stale',
  })
  if (found.value === null) return reply.code(404).send()
  return sendJsonText(reply, renderJson(request, found.value))
}

/** Rises when the coordinates moved, at most once per update interval. */
class CoordinateIndex {
  readonly #context: HttpContext
  readonly #now: () => number
  #index = 1
  #seen = ''
  #lookAt = Number.NEGATIVE_INFINITY

  constructor(context: HttpContext, now: () => number) {
    this.#context = context
    this.#now = now
  }

  get index(): number {
    const now = this.#now()
    if (now < this.#lookAt) return this.#index
    this.#lookAt = now + UPDATE_MS
    const seen = JSON.stringify(coordinates(this.#context))
    if (seen !== this.#seen) this.#index++
    this.#seen = seen
    return this.#index
  }
}

function coordinates({ membership }: HttpContext) {
  return membership.members().flatMap((member: Member) => {
    const coordinate = member.status === 'left' ? null : membership.coordinate(member.id)
    return coordinate === null ? [] : [coordinateJson(member.name, coordinate)]
  })
}

function coordinateJson(node: string, { adjustment, error, height, vec }: Coordinate) {
  return {
    Node: node,
    Segment: '',
    Coord: { Adjustment: adjustment, Error: error, Height: height, Vec: vec },
  }
}
