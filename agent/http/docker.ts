import { Type } from 'typebox'
import { FAILURES, Failure } from './api-failures.ts'
import type { HttpContext } from './collaborators.ts'
import { notFound } from './errors.ts'
import { sendJson } from './replies.ts'
import type { RouteTable } from './routes.ts'

const TextOrNull = Type.Union([Type.String(), Type.Null()])

/** Schema of GET /api/v1/docker. */
export const DockerSchema = Type.Object({
  engine: Type.Object({
    address: Type.String(),
    connected: Type.Boolean(),
    product: TextOrNull,
    version: TextOrNull,
    apiVersion: TextOrNull,
    error: TextOrNull,
    forMs: Type.Integer({ description: 'Since when it is connected or not' }),
  }),
  containers: Type.Array(
    Type.Object({
      id: Type.String(),
      name: Type.String(),
      state: Type.String(),
      health: TextOrNull,
      service: TextOrNull,
      instance: TextOrNull,
      status: TextOrNull,
      output: TextOrNull,
      reason: Type.String({ description: 'Why it is in the catalogue or not' }),
      runOnce: Type.Union(
        [Type.Object({ service: Type.String(), holder: TextOrNull, note: TextOrNull }), Type.Null()],
        { description: 'Of a copy of a service of which one runs in the cluster: who holds its lease' },
      ),
      problems: Type.Array(
        Type.Object({ code: Type.String(), about: Type.String(), message: Type.String() }),
      ),
    }),
  ),
})

/** The containers of this host: /api/v1/docker. */
export function addDockerRoutes(routes: RouteTable, context: HttpContext): void {
  const { docker } = context
  routes.add({
    method: 'GET',
    url: '/api/v1/docker',
    permission: 'agent:read',
    tag: 'api',
    summary: 'Every container of this host, what became of it and why.',
    responses: {
      200: { description: 'The engine and its containers', json: DockerSchema },
      404: { description: 'The Docker source is off on this node', json: Failure },
      ...FAILURES,
    },
    handler: (request, reply) => {
      if (docker === undefined || docker === null) {
        throw notFound('the Docker source is off on this node: see providers.docker')
      }
      return sendJson(request, reply, docker())
    },
  })
}
