import { Type } from 'typebox'
import type { HttpContext } from './collaborators.ts'
import { sendText } from './replies.ts'
import type { RouteTable } from './routes.ts'

const INDEX_PAGE = `Constellation agent

/api/v1/status     this node at a glance
/api/v1/nodes      nodes of the cluster
/api/v1/services   services and their instances
/api/v1/leases     leases and who holds them
/api/v1/raft       state of Raft
/api/v1/traefik    dynamic configuration for Traefik
/api/v1/docker     containers of this host and what became of them
/v1/               Consul-compatible API
/openapi.json      description of every route
/metrics           metrics for Prometheus
/healthz /readyz   probes
`

/** Probes, metrics, the API description and the front page. */
export function addOpsRoutes(
  routes: RouteTable,
  context: HttpContext,
  describe: () => Record<string, unknown>,
): void {
  const { metrics, readiness } = context
  const plain = (description: string) => ({ description, media: 'text/plain' as const })
  routes.add({
    method: 'GET',
    url: '/',
    permission: 'public',
    tag: 'ops',
    summary: 'Useful addresses.',
    responses: { 200: plain('Addresses') },
    handler: (_request, reply) => sendText(reply, 200, INDEX_PAGE),
  })
  const probe = (url: string, summary: string, failure: string, isFine: () => boolean) =>
    routes.add({
      method: 'GET',
      url,
      permission: 'public',
      tag: 'ops',
      summary,
      responses: { 200: plain('ok'), 503: plain(failure) },
      handler: (_request, reply) =>
        isFine() ? sendText(reply, 200, 'ok\n') : sendText(reply, 503, reasons(context)),
    })
  probe(
    '/healthz',
    'Whether the process works; 503 when only a restart helps.',
    'Not alive, with reasons',
    () => readiness.alive(),
  )
  probe(
    '/readyz',
    'Whether the node is ready to serve; 503 with one reason a line.',
    'Not ready, with reasons',
    () => readiness.ready(),
  )
  routes.add({
    method: 'GET',
    url: '/metrics',
    permission: 'agent:read',
    tag: 'ops',
    summary: 'Metrics in the text format of Prometheus.',
    responses: { 200: plain('Metrics') },
    handler: async (_request, reply) =>
      reply.header('content-type', metrics.contentType).send(await metrics.metrics()),
  })
  routes.add({
    method: 'GET',
    url: '/openapi.json',
    permission: 'public',
    tag: 'ops',
    summary: 'This description.',
    responses: { 200: { description: 'OpenAPI 3.1 document', json: Type.Object({}) } },
    handler: (_request, reply) => reply.send(describe()),
  })
}

function reasons({ readiness }: HttpContext): string {
  const lines = readiness.reasons()
  return `${lines.length === 0 ? 'not ready' : lines.join('\n')}\n`
}
