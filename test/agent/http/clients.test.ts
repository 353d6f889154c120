import t from 'tap'
import { FakeMembership } from './fake-discovery.ts'
import { harness } from './harness.ts'

t.test('a client says who feeds it, and everybody knows it for one', async (t) => {
  const membership = new FakeMembership()
  membership.add('peer-8', 'n8', { fed: 'peer-2' })
  membership.add('peer-7', 'n7', { fed: '' })
  // It was a client, and became a learner before it said so.
  membership.add('peer-9', 'n9', { fed: 'peer-2' })
  const { app, consensus } = harness({ membership })
  t.teardown(() => app.close())
  const json = async (path: string) => (await app.inject(`/api/v1/${path}`)).json()
  const roles = (await json('nodes')).map((row: Record<string, unknown>) => [row.name, row.role, row.fedBy])
  t.same(roles, [
    ['n1', 'leader', undefined],
    ['n2', 'voter', undefined],
    ['n3', 'none', undefined],
    ['n7', 'client', undefined],
    ['n8', 'client', 'n2'],
    ['n9', 'learner', undefined],
  ])
  t.equal((await json('status')).feed, undefined)

  consensus.extra = { role: 'client', feed: { feeder: 'peer-2', lag: 3, restarts: 1 } }
  const feed = { feeder: 'n2', feederId: 'peer-2', lag: 3, restarts: 1 }
  t.match(await json('status'), { role: 'client', feed })
  t.match(await json('raft'), { role: 'client', feed })
  consensus.extra = { role: 'client', feed: { feeder: null, lag: 0, restarts: 0 } }
  t.match(await json('status'), { feed: { feeder: null, feederId: null } })
  consensus.extra = { followers: [{ id: 'peer-8', lag: 2 }] }
  t.same((await json('raft')).followers, [{ id: 'peer-8', name: 'n8', lag: 2 }])
})
