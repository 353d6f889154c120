import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { AgentProcess } from './agent-process.ts'
import { Cluster } from './cluster.ts'
import { until } from './until.ts'

const put = { method: 'PUT' } as const

async function passing(agent: AgentProcess, service: string): Promise<readonly string[]> {
  const entries = await agent.json<{ Service: { ID: string } }[]>(`/v1/health/service/${service}?passing`)
  return entries.map(({ Service }) => Service.ID)
}

t.test('service files and maintenance, over a restart', { timeout: 60_000 }, async (t) => {
  const cluster = await Cluster.create(t)
  const directory = join(cluster.folder, 'services')
  mkdirSync(directory)
  const write = (name: string, text: string): void => writeFileSync(join(directory, name), text)
  write(
    'web.yaml',
    'name: web\nport: 8080\nlabels:\n  traefik.enable: true\n  traefik.http.routers.web.rule: Host(`web.example`)\n',
  )
  write('db.json', '{"service":{"name":"db","port":5432,"check":{"ttl":"1h","status":"passing"}}}')
  const env = { CONSTELLATION_PROVIDERS_FILES_DIRECTORY: directory }
  const agent = await cluster.add('solo', { join: [], env })
  await cluster.start()
  await until(
    'both are there',
    async () => (await passing(agent, 'web')).length + (await passing(agent, 'db')).length === 2,
  )

  write('extra.yaml', 'name: extra\n')
  await until('a new file is found', async () => (await passing(agent, 'extra')).length === 1)
  const refusal = await agent.ask('/v1/agent/service/deregister/web', put)
  t.match(refusal, { status: 400, text: 'Service ID "web" comes from the file web.yaml: change it there' })
  await agent.ask('/v1/agent/service/register', { ...put, body: '{"Name":"api"}' })
  write('clash.yaml', 'name: api\n')
  await until('it is refused', async () =>
    agent.log().some(({ msg }) => /clash\.yaml is not taken: the id "api" belongs/.test(msg)),
  )

  const { serviceFiles } = await agent.json<{ serviceFiles: object }>('/api/v1/status')
  const problem = 'clash.yaml: the id "api" belongs to the service "api" that was registered through the API'
  t.same(serviceFiles, { directory, taken: 3, refused: 1, problems: [problem] })

  const traefik = async () => (await agent.ask('/api/v1/traefik')).text
  const document = await traefik()
  t.match(document, /Host\(`web\.example`\)/)
  t.match(document, /http:\/\/127\.0\.0\.1:8080/)
  await agent.ask('/v1/agent/maintenance?enable=true&reason=disk', put)
  await agent.ask('/v1/agent/service/maintenance/web?enable=true&reason=slow', put)
  t.same(await passing(agent, 'db'), [])
  t.notMatch(await traefik(), ':8080', 'nothing is sent to what is in maintenance')
  await agent.stop()
  rmSync(join(directory, 'extra.yaml'))
  write('web.yaml', 'name: [')
  agent.start()
  await cluster.settled()
  const checks = await agent.json<Record<string, { Notes: string }>>('/v1/agent/checks')
  t.equal(checks._node_maintenance?.Notes, 'disk')
  t.equal(checks['_service_maintenance:web']?.Notes, 'slow')
  const services = await agent.json<Record<string, object>>('/v1/agent/services')
  t.same(
    Object.keys(services).toSorted(),
    ['api', 'db', 'web'],
    'the file that went is forgotten, the broken one kept',
  )
  await agent.ask('/v1/agent/maintenance?enable=false', put)
  t.same(
    [await passing(agent, 'db'), await passing(agent, 'web'), await passing(agent, 'api')],
    [['db'], [], ['api']],
  )
  await agent.ask('/v1/agent/service/maintenance/web?enable=false', put)
  t.same(await passing(agent, 'web'), ['web'])
  write('db.json', '{"name":"db","port":5433}')
  await agent.ask('/v1/agent/reload', put)
  await until(
    'the new port',
    async () => (await agent.json<Record<string, { Port: number }>>('/v1/agent/services')).db?.Port === 5433,
  )
})
