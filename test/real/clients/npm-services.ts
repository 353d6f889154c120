import type { Test } from 'tap'
import type { AgentProcess } from '../agent-process.ts'
import { until } from '../until.ts'
import type { NpmCheck, NpmEntryOfService, NpmWatch } from './npm-consul.ts'
import { rejects, type Seat } from './npm-seat.ts'

/** Everything of `agent`, `catalog` and `health` about a service with its checks. */
export async function services(t: Test, { consul, agent, cluster, folder }: Seat): Promise<void> {
  const id = `${folder}/web 1`
  const name = `${folder}-web`
  await consul.agent.service.register({
    id,
    name,
    tags: ['v1', 'blue'],
    address: '127.0.0.1',
    port: 8080,
    meta: { env: 'qa' },
    checks: [
      { name: 'alive', ttl: '60s' },
      { name: 'also', ttl: '60s', status: 'passing' },
    ],
  })
  t.match(await consul.agent.service.list(), {
    [id]: { ID: id, Service: name, Tags: ['v1', 'blue'], Port: 8080, Meta: { env: 'qa' } },
  })
  t.same(Object.keys(await consul.agent.services({ filter: 'env in Meta' })), [id])
  t.same(await consul.agent.service.list({ filter: 'Meta.env == production' }), {})
  await consul.agent.check.register({ name: 'third', id: `${folder}-third`, serviceid: id, ttl: '60s' })
  const ids = (checks: readonly NpmCheck[]) => checks.map(({ CheckID }) => CheckID)
  const own = [`service:${id}:1`, `service:${id}:2`, `${folder}-third`]
  t.same(ids(Object.values(await consul.agent.checks())).sort(), own.sort())
  await consul.agent.check.pass({ id: `service:${id}:1`, note: 'fine' })
  await consul.agent.check.warn(`${folder}-third`)
  await rejects(t, consul.agent.check.pass('nothing'), {
    statusCode: 404,
    body: /Unknown check ID/,
  })

  t.same(await consul.catalog.datacenters(), ['dc1'])
  t.same(
    (await consul.catalog.node.list()).map(({ Node }) => Node),
    cluster.agents.map(({ name }) => name),
  )
  t.same(
    (await consul.catalog.nodes({ filter: `Node == ${agent.name}` })).map(({ Node }) => Node),
    [agent.name],
  )
  t.match(await consul.catalog.node.services(agent.name), {
    Node: { Node: agent.name },
    Services: { [id]: { Service: name }, consul: { Service: 'consul' } },
  })
  t.equal((await consul.catalog.service.list())[name]?.length, 2)
  t.match(await consul.catalog.service.nodes({ service: name, tag: 'blue', near: '_agent' }), [
    { Node: agent.name, ServiceID: id, ServicePort: 8080, ServiceMeta: { env: 'qa' } },
  ])
  t.same(await consul.catalog.service.nodes({ service: name, tag: 'green' }), [])
  t.same(await consul.catalog.connect.nodes(name), [])
  t.equal((await consul.catalog.service.nodes('consul')).length, cluster.agents.length)

  const health = async (options: object = {}) =>
    (await consul.health.service({ service: name, ...options })).map(({ Service }) => Service.ID)
  t.same(await health(), [id])
  t.same(await health({ passing: true }), [], 'one of its checks warns')
  t.same(await health({ filter: 'Checks.Status == warning and Service.Meta.env == qa' }), [id])
  t.same(await health({ filter: 'Checks.Status == critical' }), [])
  await rejects(t, consul.health.service({ service: name, filter: 'Nothing == 1' }), {
    statusCode: 500,
    body: /Selector "Nothing" is not valid/,
  })
  await consul.agent.check.pass(`${folder}-third`)
  t.same(await health({ passing: true }), [id])
  t.match(await consul.health.checks(name), [
    { Status: 'passing' },
    { Status: 'passing' },
    { Status: 'passing' },
  ])
  t.ok(ids(await consul.health.node(agent.name)).includes('serfHealth'))
  await consul.agent.check.fail(`service:${id}:2`)
  t.same(ids(await consul.health.state('critical')), [`service:${id}:2`])
  t.same(
    ids(await consul.health.state({ state: 'any', filter: `ServiceName == "${name}"` })).sort(),
    own.sort(),
  )

  t.equal((await consul.agent.self()).Config.NodeName, agent.name)
  const members = await consul.agent.members()
  t.same(
    members.map(({ Name, Status }) => [Name, Status]),
    cluster.agents.map(({ name }) => [name, 1]),
  )
  await consul.agent.check.deregister(`${folder}-third`)
  await consul.agent.service.deregister(id)
  t.same(await consul.agent.services(), {})
  await rejects(t, consul.agent.service.deregister(id), {
    statusCode: 404,
    body: /Unknown service ID/,
  })
}

/** What a watch of the instances of a service tells of: the status of each, as the client would judge it. */
function watched(t: Test, { consul }: Seat, service: string, passing: boolean) {
  const seen: string[] = []
  const errors: unknown[] = []
  const watch: NpmWatch = consul.watch({
    method: consul.health.service,
    options: { service, wait: '60s', ...(passing ? { passing: true } : {}) },
    backoffFactor: 50,
  })
  watch.on('change', (entries: readonly NpmEntryOfService[]) => {
    seen.push(entries.map(({ Node, Checks }) => `${Node.Node} ${worst(Checks)}`).join(', '))
  })
  watch.on('error', (error: unknown) => errors.push(String(error)))
  t.teardown(() => watch.end())
  /** Waits for this state; what came before it on the way may be told or not. */
  const sees = (state: string) =>
    until(`the watch of ${service} tells of "${state}"`, () => seen.at(-1) === state, {
      timeoutMs: 30_000,
      intervalMs: 10,
      state: () => ({ seen, errors }),
    })
  return { seen, errors, sees, end: () => watch.end() }
}

function worst(checks: readonly NpmCheck[]): string {
  for (const status of ['critical', 'warning'])
    if (checks.some(({ Status }) => Status === status)) return status
  return 'passing'
}

/** A watch of a service that comes, turns critical, and goes. */
export async function serviceWatch(t: Test, seat: Seat): Promise<void> {
  const { consul, agent, folder } = seat
  const name = `${folder}-watched`
  const all = watched(t, seat, name, false)
  const well = watched(t, seat, name, true)
  await all.sees('')
  await well.sees('')
  await consul.agent.service.register({ name, check: { ttl: '60s', status: 'passing' } })
  await all.sees(`${agent.name} passing`)
  await well.sees(`${agent.name} passing`)

  // Another service, and this one registered again with the same words: nobody is told.
  const before = [all.seen.length, well.seen.length]
  await consul.agent.service.register(`${name}-not`)
  await consul.agent.service.deregister(`${name}-not`)
  await consul.agent.service.register({ name, check: { ttl: '60s', status: 'passing' } })
  await consul.agent.check.fail(`service:${name}`)
  await all.sees(`${agent.name} critical`)
  await well.sees('')
  t.same([all.seen.length, well.seen.length], [(before[0] ?? 0) + 1, (before[1] ?? 0) + 1])
  await consul.agent.service.deregister(name)
  await all.sees('')
  t.same([...all.errors, ...well.errors], [])
  all.end()
  well.end()
}

/** A watch of a service on another node, which dies and comes back. */
export async function deathOfNode(t: Test, seat: Seat, victim: AgentProcess): Promise<void> {
  const { cluster } = seat
  const name = `on-${victim.name}`
  const answer = await victim.ask('/v1/agent/service/register', {
    method: 'PUT',
    body: JSON.stringify({ name }),
  })
  t.equal(answer.status, 200)
  const all = watched(t, seat, name, false)
  const well = watched(t, seat, name, true)
  await all.sees(`${victim.name} passing`)
  await well.sees(`${victim.name} passing`)
  const killed = performance.now()
  await victim.kill()
  await all.sees(`${victim.name} critical`)
  await well.sees('')
  t.comment(`the watch told of the death after ${Math.round(performance.now() - killed)} ms`)
  await cluster.start([victim])
  await all.sees(`${victim.name} passing`)
  await well.sees(`${victim.name} passing`)
  t.same([...all.errors, ...well.errors], [])
}
