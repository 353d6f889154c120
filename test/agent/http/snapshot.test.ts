import t from 'tap'
import { ARCHIVE_BYTES_MAX, readArchive } from '../../../agent/snapshot/archive.ts'
import { set, TestCluster } from '../../consensus/cluster.ts'
import { archiveOf, recordsOf } from '../snapshot/fixtures.ts'
import { dial, harness, listen, until } from './harness.ts'

/** A server over one real consensus node. */
async function server(t: { teardown(fn: () => Promise<unknown>): void }) {
  const cluster = new TestCluster()
  await cluster.add('a', { expect: 1 })
  await cluster.leader()
  const client = cluster.client('a')
  const { app } = harness({ consensus: client })
  t.teardown(async () => {
    await app.close()
    await cluster.close()
  })
  const keys = async () => (await client.read('consistent')).view.kvList('').map(({ key }) => key)
  return { app, client, cluster, keys }
}

t.test('save, change, restore', async (t) => {
  const { app, client, keys } = await server(t)
  await client.propose(set('a', '1'))
  await client.propose(set('b', '2'))
  for (const query of ['', '?stale', '?consistent']) {
    const answer = await app.inject({ method: 'GET', url: `/v1/snapshot${query}` })
    t.equal(answer.statusCode, 200)
    t.match(answer.headers, {
      'content-type': 'application/gzip',
      'x-consul-index': String(client.status().appliedIndex),
      'x-consul-knownleader': 'true',
      'x-consul-lastcontact': '0',
      'x-consul-effective-consistency': query === '' ? 'leader' : query.slice(1),
    })
    t.equal(answer.headers['content-encoding'], undefined)
    const { meta } = await readArchive(answer.rawPayload)
    t.match(meta, { keys: 2, cluster: 'home', node: 'n1', clusterId: client.status().clusterId })
  }
  const saved = (await app.inject('/v1/snapshot')).rawPayload
  await client.propose(set('c', '3'))
  const answer = await app.inject({ method: 'PUT', url: '/v1/snapshot', payload: saved })
  t.equal(answer.statusCode, 200)
  t.equal(answer.body, '')
  t.same(await keys(), ['a', 'b'])
})

t.test('what is no archive is refused before anything changes', async (t) => {
  const { app, client, keys } = await server(t)
  await client.propose(set('k', 'v'))
  const { appliedIndex } = client.status()
  const archive = await archiveOf(recordsOf('x'))
  for (const [payload, text] of [
    ['', /^this is not a snapshot of Constellation/],
    ['text', /^this is not a snapshot of Constellation/],
    [archive.subarray(0, -9), /^the snapshot is damaged: it is cut short$/],
  ] as const) {
    const answer = await app.inject({ method: 'PUT', url: '/v1/snapshot', payload: Buffer.from(payload) })
    t.equal(answer.statusCode, 500)
    t.match(answer.body, text)
  }
  const headers = { 'content-length': String(ARCHIVE_BYTES_MAX * 2) }
  const large = await app.inject({ method: 'PUT', url: '/v1/snapshot', headers, payload: 'x' })
  t.equal(large.statusCode, 413)
  t.same(await keys(), ['k'])
  t.equal(client.status().appliedIndex, appliedIndex)
})

t.test('a client that loses its connection while it sends leaves the store as it was', async (t) => {
  const { app, client, keys } = await server(t)
  await client.propose(set('k', 'v'))
  const { appliedIndex } = client.status()
  const port = await listen(app)
  const archive = await archiveOf(recordsOf('x', 'y'))
  const head = `PUT /v1/snapshot HTTP/1.1\r\nHost: x\r\nContent-Length: ${archive.length}\r\n\r\n`
  const socket = await dial(port, Buffer.concat([Buffer.from(head), archive.subarray(0, 100)]))
  let open = 0
  await until('the request is there', () => {
    app.server.getConnections((_, count) => {
      open = count
    })
    return open === 1
  })
  socket.destroy()
  await until('the server noticed', () => {
    app.server.getConnections((_, count) => {
      open = count
    })
    return open === 0
  })
  t.same(await keys(), ['k'])
  t.equal(client.status().appliedIndex, appliedIndex)
})

t.test('permissions, methods, and a store without a leader', async (t) => {
  const asked: string[] = []
  const authorizer = {
    authorize: ({ method, permission }: { method: string; permission: string }) => {
      asked.push(`${method} ${permission}`)
      return false
    },
  }
  const { app, consensus } = harness({ authorizer })
  t.teardown(() => app.close())
  t.equal((await app.inject('/v1/snapshot')).statusCode, 403)
  t.equal((await app.inject({ method: 'PUT', url: '/v1/snapshot' })).statusCode, 403)
  t.same(asked, ['GET operator:read', 'PUT operator:write'])
  t.match(await app.inject({ method: 'DELETE', url: '/v1/snapshot' }), {
    statusCode: 405,
    headers: { allow: 'OPTIONS,GET,PUT' },
  })

  const open = harness({ consensus })
  t.teardown(() => open.app.close())
  consensus.leader = null
  t.match(await open.app.inject('/v1/snapshot'), { statusCode: 500, body: 'No cluster leader' })
  t.match(await open.app.inject('/v1/snapshot?stale'), {
    statusCode: 200,
    headers: { 'x-consul-knownleader': 'false' },
  })
  const payload = await archiveOf(recordsOf('x'))
  const restore = await open.app.inject({ method: 'PUT', url: '/v1/snapshot', payload })
  t.match(restore, { statusCode: 500, body: 'No cluster leader' })
})
