import t from 'tap'
import { nodeUuid } from '../../../agent/http/consul-shapes.ts'
import type { ServerReport } from '../../../consensus/client.ts'
import { noLeader, outcomeUnknown } from '../../../consensus/errors.ts'
import { harness } from './harness.ts'

const server = (id: string, more: Partial<ServerReport>): ServerReport => ({
  id,
  voter: true,
  leader: false,
  lastContactMs: 40,
  lastIndex: 22,
  lastTerm: 3,
  healthy: true,
  stableSince: 0,
  ...more,
})

/** peer-1 leads, peer-2 follows and has failed, peer-9 learns and is unknown to the membership. */
function operated() {
  const h = harness()
  h.consensus.leaderReport = {
    term: 3,
    commitIndex: 23,
    servers: [
      server('peer-1', { leader: true, lastIndex: 23, lastContactMs: 0 }),
      server('peer-2', {}),
      server('peer-9', { voter: false, lastIndex: 0 }),
    ],
  }
  return h
}

t.test('the Raft configuration is what the leader says of its servers', async (t) => {
  const h = operated()
  const answer = await h.app.inject('/v1/operator/raft/configuration')
  t.equal(answer.statusCode, 200)
  const common = { ProtocolVersion: '3' }
  t.same(answer.json(), {
    Servers: [
      {
        ID: nodeUuid('peer-1'),
        Node: 'n1',
        Address: '10.0.0.1:7946',
        Leader: true,
        Voter: true,
        LastIndex: 23,
        ...common,
      },
      {
        ID: nodeUuid('peer-2'),
        Node: 'n2',
        Address: '[fd00::2]:7946',
        Leader: false,
        Voter: true,
        LastIndex: 22,
        ...common,
      },
      {
        ID: nodeUuid('peer-9'),
        Node: '(unknown)',
        Address: '',
        Leader: false,
        Voter: false,
        LastIndex: 0,
        ...common,
      },
    ],
    Index: 23,
  })
  t.equal(h.consensus.reports[0]?.timeoutMs, 2000)
})

t.test('its ids are those of agent/self and the members', async (t) => {
  const h = operated()
  const { Servers } = (await h.app.inject('/v1/operator/raft/configuration')).json()
  t.equal(Servers[0].ID, (await h.app.inject('/v1/agent/self')).json().Config.NodeID)
  const members = (await h.app.inject('/v1/agent/members')).json()
  const tags = new Map(
    members.map(({ Name, Tags }: { Name: string; Tags: { id: string } }) => [Name, Tags.id]),
  )
  t.equal(Servers[1].ID, tags.get('n2'))
})

t.test('without a leader only a stale one is answered', async (t) => {
  const h = operated()
  h.consensus.loseLeader()
  const refused = await h.app.inject('/v1/operator/raft/configuration')
  t.equal(refused.statusCode, 500)
  t.equal(refused.body, 'No cluster leader')
  const stale = await h.app.inject('/v1/operator/raft/configuration?stale')
  t.equal(stale.statusCode, 200)
  t.same(
    stale
      .json()
      .Servers.map((each: { ID: string; Leader: boolean; Voter: boolean; LastIndex: number }) => [
        each.ID,
        each.Leader,
        each.Voter,
        each.LastIndex,
      ]),
    [
      [nodeUuid('peer-1'), false, true, h.consensus.appliedIndex],
      [nodeUuid('peer-2'), false, true, 0],
      [nodeUuid('peer-9'), false, false, 0],
    ],
    'of the others it knows nothing',
  )
})

t.test('leadership is handed over to anybody, or to the server of an id, by POST and PUT', async (t) => {
  const h = operated()
  const transfer = (method: 'POST' | 'PUT', query = '') =>
    h.app.inject({ method, url: `/v1/operator/raft/transfer-leader${query}` })
  t.same((await transfer('POST')).json(), { Success: true })
  t.equal(h.consensus.leader, 'peer-2')
  t.same((await transfer('PUT', `?id=${nodeUuid('peer-1').toUpperCase()}`)).json(), { Success: true })
  t.equal(h.consensus.leader, 'peer-1')
  t.same((await transfer('PUT', '?id=peer-2')).json(), { Success: true })
  t.equal(h.consensus.leader, 'peer-2')
  const wrong = await h.app.inject({ method: 'GET', url: '/v1/operator/raft/transfer-leader' })
  t.equal(wrong.statusCode, 405)
  t.equal(wrong.headers.allow, 'OPTIONS,PUT,POST')
})

t.test('a server that cannot lead is 404, and the text says why', async (t) => {
  const h = operated()
  const transfer = (id: string) =>
    h.app.inject({ method: 'POST', url: `/v1/operator/raft/transfer-leader?id=${id}` })
  const learner = await transfer(nodeUuid('peer-9'))
  t.equal(learner.statusCode, 404)
  t.equal(learner.body, 'Failed to transfer Leader: peer-9 does not vote and cannot lead')
  const unknown = await transfer('nope')
  t.equal(unknown.statusCode, 404)
  t.equal(unknown.body, 'Failed to transfer Leader: id "nope" was not found in the Raft configuration')
  h.consensus.transferLeadership = async () => {
    throw noLeader()
  }
  t.equal((await transfer('peer-2')).body, 'No cluster leader')
  h.consensus.transferLeadership = async () => {
    throw outcomeUnknown()
  }
  const unclear = await transfer('peer-2')
  t.equal(unclear.statusCode, 500)
  t.match(unclear.body, /^outcome unknown/)
})

t.test('a dead server is removed by its id or its address', async (t) => {
  const h = operated()
  const remove = (query: string) => h.app.inject({ method: 'DELETE', url: `/v1/operator/raft/peer${query}` })
  const done = await remove(`?id=${nodeUuid('peer-9')}`)
  t.equal(done.statusCode, 200)
  t.equal(done.body, '')
  await remove('?id=peer-9')
  t.equal((await remove(`?address=${encodeURIComponent('[fd00::2]:7946')}`)).statusCode, 200)
  t.same(h.consensus.removed, ['peer-9', 'peer-9', 'peer-2'])
})

t.test('what cannot be removed is refused with the reason', async (t) => {
  const h = operated()
  const refused = async (query: string, status: number, text: string) => {
    const answer = await h.app.inject({ method: 'DELETE', url: `/v1/operator/raft/peer${query}` })
    t.equal(answer.statusCode, status, query)
    t.equal(answer.body, text)
  }
  const neither = "Must specify either ?id with the server's ID or ?address with IP:port of peer to remove"
  await refused('', 400, neither)
  await refused('?id=', 400, neither)
  await refused('?id=a&address=b', 400, 'Must specify only one of ?id or ?address')
  await refused('?id=nope', 500, 'id "nope" was not found in the Raft configuration')
  await refused('?address=1.2.3.4:1', 500, 'address "1.2.3.4:1" was not found in the Raft configuration')
  await refused('?id=peer-1', 500, 'n1 leads the cluster: transfer leadership to another node first')
  t.same(h.consensus.removed, [])
})
