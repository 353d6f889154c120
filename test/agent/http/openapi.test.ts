import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import type { TSchema } from 'typebox'
import { Value } from 'typebox/value'
import { ApiSchemas } from '../../../agent/http/api.ts'
import {
  AutopilotHealthSchema,
  AutopilotSchema,
  AutopilotStateSchema,
} from '../../../agent/http/autopilot.ts'
import { EventSchema } from '../../../agent/http/events.ts'
import { KeyringSchema } from '../../../agent/http/keyring.ts'
import { RaftConfigurationSchema } from '../../../agent/http/operator.ts'
import { PERMISSIONS } from '../../../agent/http/permissions.ts'
import {
  AgentServiceSchema,
  HealthCheckSchema,
  KvEntrySchema,
  MemberSchema,
  NodeSchema,
  SelfSchema,
  ServiceEntrySchema,
  ServiceNodeSchema,
} from '../../../agent/http/schemas.ts'
import { harness } from './harness.ts'

t.test('every route is described, with its permission', async (t) => {
  // Every route as the framework learns of it, whatever way it was added.
  const routes: { name: string; hidden: boolean }[] = []
  const onServer = (message: unknown): void => {
    const { fastify } = message as { fastify: FastifyInstance }
    fastify.addHook('onRoute', ({ method, url, schema }) => {
      for (const each of [method].flat()) {
        if (each !== 'HEAD') routes.push({ name: `${each} ${url}`, hidden: schema?.hide === true })
      }
    })
  }
  subscribe('fastify.initialization', onServer)
  const { app } = harness()
  unsubscribe('fastify.initialization', onServer)
  t.teardown(() => app.close())
  const answer = await app.inject('/openapi.json')
  const document = answer.json()
  t.equal(document.openapi, '3.1.0')
  const described: string[] = []
  for (const [path, item] of Object.entries<Record<string, Record<string, unknown>>>(document.paths)) {
    t.notMatch(path, '*')
    for (const [method, operation] of Object.entries(item)) {
      described.push(`${method.toUpperCase()} ${path.replace(/\{\w+\}/, '*')}`)
      t.ok(PERMISSIONS.includes(operation['x-permission'] as never), `${method} ${path}`)
      t.ok(operation.summary)
      t.ok((operation.tags as string[]).length > 0)
      t.ok((operation.responses as Record<string, unknown>)['200'])
    }
  }
  t.same(
    described.toSorted(),
    routes
      .filter(({ hidden }) => !hidden)
      .map(({ name }) => name.replace(/:\w+/, '*'))
      .toSorted(),
  )
  for (const { name } of routes.filter(({ hidden }) => hidden)) {
    const [method = '', url = ''] = name.split(' ')
    const refusal = await app.inject({ method: method as 'GET', url })
    t.equal(
      refusal.statusCode,
      method === 'OPTIONS' ? 200 : 405,
      `${name} is not described, so it does nothing`,
    )
  }
  const expected = [
    'GET /v1/kv/*',
    'PUT /v1/event/fire/*',
    'GET /api/v1/keyring',
    'PUT /api/v1/keyring/install',
    'PUT /api/v1/keyring/use',
    'PUT /api/v1/keyring/remove',
    'GET /v1/operator/keyring',
    'POST /v1/operator/keyring',
    'PUT /v1/operator/keyring',
    'DELETE /v1/operator/keyring',
    'PUT /v1/kv/*',
    'PUT /v1/session/create',
    'PUT /v1/session/destroy/*',
    'PUT /v1/session/renew/*',
    'PUT /v1/snapshot',
    'PUT /v1/txn',
    'DELETE /v1/kv/*',
    'GET /v1/agent/self',
    'GET /v1/agent/members',
    'GET /v1/agent/version',
    'PUT /v1/agent/leave',
    'PUT /v1/agent/maintenance',
    'PUT /v1/agent/reload',
    'GET /v1/agent/join/*',
    'PUT /v1/agent/join/*',
    'GET /v1/agent/connect/*',
    'POST /v1/agent/connect/*',
    'GET /v1/connect/ca/*',
    'PUT /v1/connect/ca/*',
    'GET /v1/agent/force-leave/*',
    'PUT /v1/agent/force-leave/*',
    'GET /v1/coordinate/nodes',
    'GET /v1/coordinate/node/*',
    'GET /v1/coordinate/datacenters',
    'GET /v1/agent/services',
    'GET /v1/agent/service/*',
    'PUT /v1/agent/service/maintenance/*',
    'PUT /v1/agent/service/register',
    'GET /v1/agent/service/deregister/*',
    'PUT /v1/agent/service/deregister/*',
    'GET /v1/agent/checks',
    'PUT /v1/agent/check/register',
    'GET /v1/agent/check/deregister/*',
    'PUT /v1/agent/check/deregister/*',
    'GET /v1/agent/check/pass/*',
    'PUT /v1/agent/check/pass/*',
    'GET /v1/agent/check/warn/*',
    'PUT /v1/agent/check/warn/*',
    'GET /v1/agent/check/fail/*',
    'PUT /v1/agent/check/fail/*',
    'PUT /v1/agent/check/update/*',
    'GET /v1/acl/*',
    'PUT /v1/acl/*',
    'POST /v1/acl/*',
    'DELETE /v1/acl/*',
    'PUT /v1/agent/token/*',
    'GET /v1/agent/health/service/id/*',
    'GET /v1/agent/health/service/name/*',
    'GET /v1/agent/host',
    'GET /v1/agent/metrics',
    'GET /v1/agent/monitor',
    'GET /v1/operator/usage',
    'GET /v1/catalog/connect/*',
    'GET /v1/health/connect/*',
    'GET /v1/health/ingress/*',
    'GET /v1/catalog/datacenters',
    'GET /v1/catalog/nodes',
    'GET /v1/catalog/services',
    'GET /v1/catalog/service/*',
    'GET /v1/catalog/node/*',
    'GET /v1/catalog/node-services/*',
    'PUT /v1/catalog/register',
    'PUT /v1/catalog/deregister',
    'GET /v1/health/node/*',
    'GET /v1/event/list',
    'GET /v1/health/checks/*',
    'GET /v1/health/service/*',
    'GET /v1/health/state/*',
    'GET /v1/session/info/*',
    'GET /v1/session/list',
    'GET /v1/session/node/*',
    'GET /v1/snapshot',
    'GET /v1/status/leader',
    'GET /v1/status/peers',
    'DELETE /v1/operator/raft/peer',
    'GET /v1/operator/autopilot/configuration',
    'GET /v1/operator/autopilot/health',
    'GET /v1/operator/autopilot/state',
    'GET /v1/operator/raft/configuration',
    'POST /v1/operator/raft/transfer-leader',
    'PUT /v1/operator/autopilot/configuration',
    'PUT /v1/operator/raft/transfer-leader',
    'GET /api/v1/status',
    'GET /api/v1/nodes',
    'GET /api/v1/services',
    'GET /api/v1/docker',
    'GET /api/v1/events',
    'GET /api/v1/kv/watch',
    'GET /api/v1/leases',
    'GET /api/v1/raft',
    'PUT /api/v1/nodes/*/cordon',
    'PUT /api/v1/nodes/*/drain',
    'PUT /api/v1/nodes/*/uncordon',
    'PUT /api/v1/raft/transfer',
    'PUT /api/v1/raft/peers/*',
    'DELETE /api/v1/raft/peers/*',
    'GET /api/v1/traefik',
    'GET /api/v1/traefik/explain',
    'GET /',
    'GET /healthz',
    'GET /readyz',
    'GET /metrics',
    'GET /openapi.json',
  ]
  t.same(described.toSorted(), expected.toSorted())
})

t.test('answers are what their schemas say', async (t) => {
  const { app, consensus } = harness()
  t.teardown(() => app.close())
  const server = { id: 'peer-1', voter: true, leader: true, lastContactMs: 0, lastIndex: 7, lastTerm: 3 }
  consensus.leaderReport = {
    term: 3,
    commitIndex: 7,
    servers: [{ ...server, healthy: true, stableSince: 0 }],
  }
  const put = (url: string, payload: string) => app.inject({ method: 'PUT', url, payload })
  await put('/v1/event/fire/e', 'payload')
  await put('/v1/kv/k?flags=1', 'v')
  await put(
    '/v1/agent/service/register',
    '{"Name":"web","Check":{"TTL":"1m"},"TaggedAddresses":{"lan":{"Address":"a","Port":1}}}',
  )
  const lists: [string, TSchema][] = [
    ['/v1/agent/members', MemberSchema],
    ['/v1/catalog/nodes', NodeSchema],
    ['/v1/catalog/service/web', ServiceNodeSchema],
    ['/v1/health/service/web', ServiceEntrySchema],
    ['/v1/health/state/any', HealthCheckSchema],
    ['/v1/event/list', EventSchema],
  ]
  for (const [url, schema] of lists) {
    const items = (await app.inject(url)).json()
    t.ok(items.length > 0, url)
    for (const item of items) t.same([...Value.Errors(schema, item)], [], url)
  }
  for (const [url, schema] of [
    ['/v1/agent/services', AgentServiceSchema],
    ['/v1/agent/checks', HealthCheckSchema],
  ] as const) {
    const items = Object.values((await app.inject(url)).json())
    t.ok(items.length > 0, url)
    for (const item of items) t.same([...Value.Errors(schema, item)], [], url)
  }
  for (const [url, schema] of [
    ['/v1/kv/k', KvEntrySchema],
    ['/v1/agent/self', SelfSchema],
    ['/v1/operator/raft/configuration', RaftConfigurationSchema],
    ['/v1/operator/autopilot/configuration', AutopilotSchema],
    ['/v1/operator/autopilot/health', AutopilotHealthSchema],
    ['/v1/operator/autopilot/state', AutopilotStateSchema],
    ['/api/v1/status', ApiSchemas.status],
    ['/api/v1/nodes', ApiSchemas.nodes],
    ['/api/v1/services', ApiSchemas.services],
    ['/api/v1/leases', ApiSchemas.leases],
    ['/api/v1/raft', ApiSchemas.raft],
    ['/api/v1/keyring', KeyringSchema],
  ] as const) {
    t.same([...Value.Errors(schema, (await app.inject(url)).json())], [], url)
  }
})
