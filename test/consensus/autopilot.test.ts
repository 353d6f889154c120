import t from 'tap'
import {
  AUTOPILOT_DEFAULTS,
  autopilotCommand,
  decidedAutopilot,
  readAutopilot,
} from '../../consensus/autopilot.ts'
import { RAFT_DEFAULTS } from '../../consensus/raft/options.ts'
import { REPLICA_DEFAULTS } from '../../consensus/replica-options.ts'
import { heldUpMs } from '../held-up.ts'
import { eventually, set, TestCluster } from './cluster.ts'
import { Machine } from './state/machine.ts'

t.test('the configuration is a key: set, compared and set, and read with its indexes', async (t) => {
  const m = new Machine()
  t.same(readAutopilot(m.state), { config: AUTOPILOT_DEFAULTS, createIndex: 0, modifyIndex: 0 })
  t.equal(decidedAutopilot(m.state), null)
  t.equal(m.apply(autopilotCommand({ minQuorum: 3 }, 0)).ok, true)
  t.equal(m.apply(autopilotCommand({ minQuorum: 5 }, 0)).ok, false)
  const config = { ...AUTOPILOT_DEFAULTS, minQuorum: 3 }
  t.same(readAutopilot(m.state), { config, createIndex: 1, modifyIndex: 1 })
  t.same(decidedAutopilot(m.state), config)
  t.equal(m.apply(autopilotCommand({ cleanupDeadServers: false }, 1)).ok, true)
  t.same(readAutopilot(m.state), {
    config: { ...AUTOPILOT_DEFAULTS, cleanupDeadServers: false },
    createIndex: 1,
    modifyIndex: 3,
  })
})

t.test('a value that is no configuration counts as the defaults', async (t) => {
  for (const value of [
    '',
    'null',
    '[]',
    '{}',
    '{',
    'garbage',
    JSON.stringify({ ...AUTOPILOT_DEFAULTS, minQuorum: -1 }),
  ]) {
    const m = new Machine()
    m.set('constellation/autopilot', value)
    t.same(readAutopilot(m.state), { config: AUTOPILOT_DEFAULTS, createIndex: 1, modifyIndex: 1 }, value)
    t.equal(decidedAutopilot(m.state), null)
  }
})

t.test('the defaults are what the leader does without any decision', async (t) => {
  const electionMs = RAFT_DEFAULTS.electionTicks * REPLICA_DEFAULTS.tickMs
  t.equal(AUTOPILOT_DEFAULTS.lastContactThresholdMs, electionMs)
  t.equal(AUTOPILOT_DEFAULTS.serverStabilizationMs, 2 * electionMs)
})

const GRACE = { deadVoterGraceMs: 300, deadLearnerGraceMs: 60_000 }

function setUp(t: { teardown(fn: () => Promise<void>): void }) {
  const cluster = new TestCluster()
  t.teardown(() => cluster.close())
  return cluster
}

/** The servers as node `id` is told by the leader: `a!` for one that is not healthy, learners in brackets. */
async function servers(cluster: TestCluster, id: string): Promise<string> {
  const report = await cluster.client(id).report()
  return report.servers
    .map((server) => (server.voter ? server.id : `(${server.id})`) + (server.healthy ? '' : '!'))
    .join(' ')
}

t.test('every node, a client too, is told by the leader how the servers are', async (t) => {
  const cluster = setUp(t)
  const ids = await cluster.found(3, { ...GRACE, learnersMax: 0, votersTarget: 3 })
  await cluster.add('d', { expect: 0, ...GRACE, learnersMax: 0, votersTarget: 3 })
  await eventually('d is a client', () => cluster.client('d').status().role === 'client')
  const leader = await cluster.leader()
  await cluster.client('d').propose(set('k', 'v'))
  for (const id of ['a', 'b', 'c', 'd']) {
    const seen = await eventually(`${id} hears that all are well`, async () => {
      const report = await cluster.client(id).report()
      const { lastIndex = 0 } = report.servers.find((server) => server.leader) ?? {}
      const level = report.servers.every((server) => server.healthy && server.lastIndex === lastIndex)
      return level && report
    })
    t.same(
      seen.servers.map((server) => server.id),
      ids,
    )
    const [first] = seen.servers.filter((server) => server.leader)
    t.match(first, { id: leader, lastContactMs: 0, lastTerm: seen.term })
    t.equal(seen.term, cluster.client(leader).status().term)
  }

  const victim = ids.find((id) => id !== leader) ?? ''
  const before = Date.now()
  await cluster.client('d').setAutopilot({ lastContactThresholdMs: 100, cleanupDeadServers: false })
  cluster.kill(victim)
  const sick = () =>
    eventually('it is not healthy', async () => {
      const report = await cluster.client('d').report()
      return report.servers.find(({ id, healthy }) => id === victim && !healthy)
    })
  const dead = await sick()
  t.ok(dead.lastContactMs > 100)
  t.ok(dead.stableSince >= before, 'since a moment ago')
  // A leader that stood still itself says nothing of the time before.
  const [earlier, later] = await eventually('two reports without a pause in between', async () => {
    const heldUp = heldUpMs()
    const reports = [await sick(), await sick()]
    return heldUpMs() === heldUp && reports
  })
  t.equal(later?.stableSince, earlier?.stableSince, 'which does not move')
})

t.test('a leader says nothing of the time before its election', async (t) => {
  const cluster = setUp(t)
  const ids = await cluster.found(3, GRACE)
  const leader = await cluster.leader()
  const since = async () =>
    (await cluster.client(leader).report()).servers.map((server) => server.stableSince)
  const latest = Math.max(...(await since()))
  await eventually('the clock goes on', () => Date.now() > latest)
  const other = ids.find((id) => id !== leader) ?? ''
  await cluster.client(leader).transferLeadership(other)
  await cluster.client(other).transferLeadership(leader)
  t.ok(Math.min(...(await since())) > latest)
})

t.test('without a quorum nobody reports', async (t) => {
  const cluster = setUp(t)
  const ids = await cluster.found(3, GRACE)
  const leader = await cluster.leader()
  for (const id of ids) if (id !== leader) cluster.kill(id)
  await t.rejects(cluster.client(leader).report({ timeoutMs: 300 }), { code: 'CST_NO_LEADER' })
})

/** Voters a, b, c with a learner d, one of the voters dead for longer than the grace. Answers the dead one. */
async function withDead(cluster: TestCluster, config: object): Promise<string> {
  const ids = await cluster.found(3, GRACE)
  const leader = await cluster.leader()
  await cluster
    .client(leader)
    .setAutopilot({ lastContactThresholdMs: 100, serverStabilizationMs: 100, ...config })
  await cluster.add('d', { expect: 0, ...GRACE })
  await eventually('d learns', async () => (await servers(cluster, leader)).includes('(d)'))
  const victim = ids.find((id) => id !== leader) ?? ''
  cluster.kill(victim)
  await eventually('its grace is over', async () => {
    const report = await cluster.client(leader).report()
    const dead = report.servers.find(({ id }) => id === victim)
    return dead === undefined || dead.lastContactMs > 3 * GRACE.deadVoterGraceMs
  })
  return victim
}

t.test('the leader keeps dead servers as long as it is told to', async (t) => {
  const cluster = setUp(t)
  const victim = await withDead(cluster, { cleanupDeadServers: false })
  const leader = await cluster.leader()
  t.match(await servers(cluster, leader), `${victim}!`)
  await cluster.client(leader).setAutopilot({ cleanupDeadServers: true, serverStabilizationMs: 100 })
  await eventually('it is replaced', async () => {
    const now = await servers(cluster, leader)
    return !now.includes(victim) && now.includes(' d')
  })
})

t.test('a server gets a vote only after it has been stable for as long as is asked', async (t) => {
  const cluster = setUp(t)
  const victim = await withDead(cluster, { serverStabilizationMs: 60_000 })
  const leader = await cluster.leader()
  t.match(await servers(cluster, leader), '(d)', 'd has not been here for a minute')
  t.match(await servers(cluster, leader), `${victim}!`, 'and nobody else could take its place')
  await cluster.client(leader).setAutopilot({ serverStabilizationMs: 0 })
  await eventually('d votes', async () => (await servers(cluster, leader)).includes(' d'))
})
