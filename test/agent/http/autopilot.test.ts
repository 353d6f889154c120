import t from 'tap'
import { nodeUuid } from '../../../agent/http/consul-shapes.ts'
import type { ServerReport } from '../../../consensus/client.ts'
import { type Harness, harness } from './harness.ts'

const URL = '/v1/operator/autopilot/configuration'
const DEFAULTS = {
  CleanupDeadServers: true,
  LastContactThreshold: '1s',
  MaxTrailingLogs: 250,
  MinQuorum: 0,
  ServerStabilizationTime: '2s',
  RedundancyZoneTag: '',
  DisableUpgradeMigration: false,
  UpgradeVersionTag: '',
  CreateIndex: 0,
  ModifyIndex: 0,
}

const get = async (h: Harness, query = '') => (await h.app.inject(`${URL}${query}`)).json()
const put = (h: Harness, body: unknown, query = '') =>
  h.app.inject({ method: 'PUT', url: `${URL}${query}`, payload: JSON.stringify(body) })

t.test('the defaults hold until somebody decides otherwise', async (t) => {
  const h = harness()
  t.same(await get(h), DEFAULTS)
  t.equal((await put(h, { CleanupDeadServers: false, MinQuorum: 3 })).body, 'true')
  t.same(await get(h), {
    ...DEFAULTS,
    CleanupDeadServers: false,
    MinQuorum: 3,
    CreateIndex: 8,
    ModifyIndex: 8,
  })
  t.equal((await put(h, { lastcontactthreshold: '300ms', server_stabilization_time: '10s' })).body, 'true')
  const changed = { LastContactThreshold: '300ms', ServerStabilizationTime: '10s' }
  t.same(await get(h, '?stale'), { ...DEFAULTS, ...changed, CreateIndex: 8, ModifyIndex: 9 })
})

t.test('what was read can be written back, as consul operator autopilot set-config does', async (t) => {
  const h = harness()
  const first = await get(h)
  t.equal((await put(h, { ...first, MaxTrailingLogs: 99 }, `?cas=${first.ModifyIndex}`)).body, 'true')
  t.equal((await put(h, { ...first, MaxTrailingLogs: 1 }, `?cas=${first.ModifyIndex}`)).body, 'false')
  const second = await get(h)
  t.equal(second.MaxTrailingLogs, 99)
  t.equal((await put(h, { ...second, MaxTrailingLogs: 98 }, `?cas=${second.ModifyIndex}`)).body, 'true')
  t.equal((await put(h, { LastContactThreshold: 5_000_000, MaxTrailingLogs: 0 })).body, 'true')
  t.match(await get(h), { LastContactThreshold: '5ms', MaxTrailingLogs: 0 })
})

t.test('what there is not, or out of range, is refused and changes nothing', async (t) => {
  const h = harness()
  const refused = async (body: unknown, text: string | RegExp) => {
    const answer = await put(h, body)
    t.equal(answer.statusCode, 400, JSON.stringify(body))
    t.match(answer.body, text)
  }
  await refused(
    { RedundancyZoneTag: 'zone' },
    'RedundancyZoneTag is not supported: it can only be "", not "zone"',
  )
  await refused(
    { DisableUpgradeMigration: true },
    'DisableUpgradeMigration is not supported: it can only be false, not true',
  )
  await refused({ UpgradeVersionTag: 'v' }, /^UpgradeVersionTag is not supported/)
  await refused({ MinQuorum: 8 }, 'MinQuorum must be from 0 to 7, not 8')
  await refused({ MinQuorum: -1 }, 'MinQuorum must be from 0 to 7, not -1')
  await refused({ MaxTrailingLogs: -1 }, /^MaxTrailingLogs must be from 0 to/)
  await refused({ MaxTrailingLogs: '250' }, /^Request decode failed: MaxTrailingLogs/)
  await refused({ LastContactThreshold: '0s' }, 'LastContactThreshold must be from 1ms to 24h0m0s, not 0s')
  await refused({ LastContactThreshold: 'soon' }, /^Request decode failed: LastContactThreshold/)
  await refused({ ServerStabilizationTime: '-1s' }, /^ServerStabilizationTime must be from 0s to/)
  await refused({ ServerStabilizationTime: '25h' }, /^ServerStabilizationTime must be from 0s to/)
  await refused({ CleanupDeadServers: 'yes' }, /^Request decode failed: CleanupDeadServers/)
  await refused([], /^Request decode failed/)
  t.equal((await put(h, {}, '?cas=x')).statusCode, 400)
  t.same(h.consensus.proposals, [])
  t.equal((await put(h, { ServerStabilizationTime: '0s' })).body, 'true')
  t.equal((await get(h)).ServerStabilizationTime, '0s')
})

t.test('without a leader the configuration can be read stale, and nothing else', async (t) => {
  const h = harness()
  h.consensus.loseLeader()
  t.same(await get(h, '?stale'), DEFAULTS)
  for (const answer of [
    await h.app.inject(URL),
    await put(h, {}),
    await h.app.inject('/v1/operator/autopilot/health'),
    await h.app.inject('/v1/operator/autopilot/state'),
  ]) {
    t.equal(answer.statusCode, 500)
    t.equal(answer.body, 'No cluster leader')
  }
})

const server = (id: string, more: Partial<ServerReport> = {}): ServerReport => ({
  id,
  voter: true,
  leader: false,
  lastContactMs: 41.7,
  lastIndex: 22,
  lastTerm: 3,
  healthy: true,
  stableSince: Date.UTC(2026, 10, 21, 8),
  ...more,
})

function reporting(...servers: ServerReport[]): Harness {
  const h = harness()
  h.consensus.leaderReport = { term: 3, commitIndex: 23, servers }
  return h
}

const LEADER = server('peer-1', { leader: true, lastContactMs: 0, lastIndex: 23 })

t.test('health is 200 while all servers are well', async (t) => {
  const h = reporting(LEADER, server('peer-2'), server('peer-3'))
  const answer = await h.app.inject('/v1/operator/autopilot/health')
  t.equal(answer.statusCode, 200)
  const { Healthy, FailureTolerance, Servers } = answer.json()
  t.equal(Healthy, true)
  t.equal(FailureTolerance, 1)
  t.same(Servers[0], {
    ID: nodeUuid('peer-1'),
    Name: 'n1',
    Address: '10.0.0.1:7946',
    SerfStatus: 'alive',
    Version: '1.16.4',
    Leader: true,
    LastContact: '0s',
    LastTerm: 3,
    LastIndex: 23,
    Healthy: true,
    Voter: true,
    StableSince: '2026-11-21T08:00:00.000Z',
  })
  t.match(Servers[1], { Name: 'n2', SerfStatus: 'failed', LastContact: '42ms', Leader: false })
})

t.test('and 429 as soon as one is not', async (t) => {
  const sick = server('peer-2', { healthy: false })
  const h = reporting(LEADER, sick, server('peer-3'), server('peer-9', { voter: false }))
  const answer = await h.app.inject('/v1/operator/autopilot/health?pretty')
  t.equal(answer.statusCode, 429)
  t.equal(answer.headers['content-type'], 'application/json')
  const { Healthy, FailureTolerance, Servers } = answer.json()
  t.equal(Healthy, false)
  t.equal(FailureTolerance, 0, 'two of three are left')
  t.match(Servers[3], { Name: '(unknown)', SerfStatus: 'none', Voter: false })
  const both = reporting(LEADER, sick, { ...sick, id: 'peer-3' })
  t.equal((await both.app.inject('/v1/operator/autopilot/health')).json().FailureTolerance, 0, 'not less')
  const five = ['peer-2', 'peer-3', 'peer-4', 'peer-5'].map((id) => server(id))
  const large = await reporting(LEADER, ...five).app.inject('/v1/operator/autopilot/health')
  t.equal(large.json().FailureTolerance, 2)
})

t.test('the state is a map by id', async (t) => {
  const h = reporting(LEADER, server('peer-2'), server('peer-9', { voter: false, healthy: false }))
  const answer = await h.app.inject('/v1/operator/autopilot/state')
  t.equal(answer.statusCode, 200, 'whatever the health')
  const state = answer.json()
  t.same(
    { ...state, Servers: Object.keys(state.Servers) },
    {
      Healthy: false,
      FailureTolerance: 0,
      OptimisticFailureTolerance: 0,
      Servers: [nodeUuid('peer-1'), nodeUuid('peer-2'), nodeUuid('peer-9')],
      Leader: nodeUuid('peer-1'),
      Voters: [nodeUuid('peer-1'), nodeUuid('peer-2')],
    },
  )
  t.same(state.Servers[nodeUuid('peer-2')], {
    ID: nodeUuid('peer-2'),
    Name: 'n2',
    Address: '[fd00::2]:7946',
    NodeStatus: 'failed',
    Version: '1.16.4',
    LastContact: '42ms',
    LastTerm: 3,
    LastIndex: 22,
    Healthy: true,
    StableSince: '2026-11-21T08:00:00.000Z',
    ReadReplica: false,
    Status: 'voter',
    Meta: { zone: 'b' },
    NodeType: 'voter',
  })
  t.equal(state.Servers[nodeUuid('peer-1')].Status, 'leader')
  t.equal(state.Servers[nodeUuid('peer-9')].Status, 'non-voter')
})
