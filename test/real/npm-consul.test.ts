import type { Test } from 'tap'
import type { AgentProcess } from './agent-process.ts'
import { npmConsul } from './clients/npm-consul.ts'
import { keys, waiting } from './clients/npm-keys.ts'
import type { Seat } from './clients/npm-seat.ts'
import { deathOfNode, services, serviceWatch } from './clients/npm-services.ts'
import { locks, sessions, transactions } from './clients/npm-sessions.ts'
import { restore, watch } from './clients/npm-watch.ts'
import { UUID } from './clients/roles.ts'
import { clusterTest } from './cluster.ts'
import { until } from './until.ts'

clusterTest(
  'npm consul, unchanged, through the leader and a follower',
  { nodes: 3, timeoutMs: 90_000 },
  async (t, cluster) => {
    const leader = await cluster.leader()
    const [follower, third] = cluster.others(leader)
    if (follower === undefined || third === undefined) throw new Error('there are no two followers')
    for (const [agent, role] of [
      [leader, 'leader'],
      [follower, 'follower'],
    ] as const) {
      const seat: Seat = { consul: npmConsul(agent.ports.http), agent, cluster, folder: role }
      t.teardown(() => seat.consul.destroy())
      await t.test(`keys, ${role}`, (t) => keys(t, seat))
      await t.test(`waiting for keys, ${role}`, (t) => waiting(t, seat))
      await t.test(`sessions, ${role}`, (t) => sessions(t, seat))
      await t.test(`locks, ${role}`, (t) => locks(t, seat))
      await t.test(`transactions, ${role}`, (t) => transactions(t, seat))
      await t.test(`status, ${role}`, (t) => status(t, seat, leader))
      await t.test(`events, ${role}`, (t) => events(t, seat))
      await t.test(`services, ${role}`, (t) => services(t, seat))
      await t.test(`a watch of a service, ${role}`, (t) => serviceWatch(t, seat))
      await t.test(`a watch, ${role}`, (t) => watch(t, seat))
      await t.test(`a watch and a restore, ${role}`, (t) => restore(t, seat))
    }
    const seat: Seat = { consul: npmConsul(follower.ports.http), agent: follower, cluster, folder: 'death' }
    t.teardown(() => seat.consul.destroy())
    await t.test('a watch while a node dies', (t) => deathOfNode(t, seat, third))
  },
)

async function status(t: Test, { consul, cluster }: Seat, leader: AgentProcess): Promise<void> {
  t.equal(await consul.status.leader(), `127.0.0.1:${leader.ports.mesh}`)
  t.same(
    new Set(await consul.status.peers()),
    new Set(cluster.agents.map(({ ports }) => `127.0.0.1:${ports.mesh}`)),
  )
}

async function events(t: Test, { consul, agent, cluster }: Seat): Promise<void> {
  const name = `deploy-${agent.name}`
  t.same(await consul.event.list(name), [])
  const fired = await consul.event.fire({ name, payload: 'v2', node: '^n[123]$' })
  t.match(fired.ID, UUID)
  const event = {
    ID: fired.ID,
    Name: name,
    Payload: 'v2',
    NodeFilter: '^n[123]$',
    ServiceFilter: '',
    TagFilter: '',
    Version: 1,
  }
  t.same(fired, { ...event, LTime: 0 })
  for (const { ports } of cluster.agents) {
    const other = npmConsul(ports.http)
    const [listed, ...more] = await until('the event is there', async () => {
      const list = await other.event.list({ name })
      return list.length > 0 && list
    })
    other.destroy()
    t.ok((listed?.LTime ?? 0) > 0)
    t.same(listed, { ...event, LTime: listed?.LTime })
    t.same(more, [])
  }
  const [binary, empty] = [Buffer.from([0, 255]), await consul.event.fire(`${name}-empty`)]
  t.equal(empty.Payload, null)
  t.same((await consul.event.fire(`${name}-binary`, binary)).Payload, binary)
  const all = (await consul.event.list()).map(({ Name }) => Name)
  t.ok([name, `${name}-empty`, `${name}-binary`].every((each) => all.includes(each)))
}
