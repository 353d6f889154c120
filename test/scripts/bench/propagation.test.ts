import { createServer, type ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import t, { type Test } from 'tap'
import { follow } from '../../../scripts/bench/document-followers.ts'
import { tableText } from '../../../scripts/bench/propagation-table.ts'
import { AgentProcess } from '../../../test/real/agent-process.ts'

/** What answers like an agent whose only service changes when a test says so. */
async function standIn(t: Test, firstAnswerMs = 0) {
  const parked = new Set<ServerResponse>()
  let body = 'old'
  let index = 1
  const answer = (response: ServerResponse) => response.setHeader('x-consul-index', index).end('[]')
  const server = createServer(({ url = '' }, response) => {
    const asked = /index=(\d+)/.exec(url)?.[1]
    if (asked === undefined) response.end(body)
    else if (asked === '0') setTimeout(() => answer(response), firstAnswerMs)
    else if (Number(asked) < index) answer(response)
    else parked.add(response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const address = server.address()
  const http = typeof address === 'object' && address !== null ? address.port : 0
  const settings = { program: '', dataDir: tmpdir(), logFile: '', args: [], env: {} }
  return {
    agent: new AgentProcess({ ...settings, name: 'n1', ports: { http, mesh: 0, dns: 0 } }),
    change(next: string) {
      body = next
      index += 1
      for (const response of parked) answer(response)
      parked.clear()
    },
  }
}

t.test('tells when the document of the last agent has changed', async (t) => {
  const [first, second] = [await standIn(t), await standIn(t)]
  let changedAt = 0
  const followed = await follow(
    [first.agent, second.agent],
    'web',
    (body) => body === 'new',
    async () => {
      first.change('new')
      second.change('not yet')
      setTimeout(() => {
        changedAt = Date.now()
        second.change('new')
      }, 50)
    },
  )
  t.equal(followed.body, 'new')
  const [, at = 0] = followed.at
  t.ok(changedAt > 0 && at >= changedAt, `${followed.at}, changed at ${changedAt}`)
})

t.test('nothing is done before every agent has said where it stands', { timeout: 10_000 }, async (t) => {
  const busy = await standIn(t, 600)
  const followed = await follow(
    [busy.agent],
    'web',
    (body) => body === 'new',
    async () => busy.change('new'),
  )
  t.equal(followed.body, 'new')
})

t.test('documents that differ in the end are a failure', async (t) => {
  const [first, second] = [await standIn(t), await standIn(t)]
  const agents = [first.agent, second.agent]
  const isSo = (body: string) => body.startsWith('new')
  const differ = follow(agents, 'web', isSo, async () => {
    first.change('new 1')
    second.change('new 2')
  })
  await t.rejects(differ, { message: /2 different documents: new 1\nnew 2/ })
})

t.test('the table has the median and the maximum of each change', async (t) => {
  const sample = (value: number) => ({
    title: '`docker kill`',
    event: 'die',
    commandToEvent: value,
    commandToAll: value * 4,
    eventToFirst: value * 2,
    eventToAll: value * 3,
  })
  const text = tableText([{ nodes: 3, loadBefore: 1, loadAfter: 2.25, samples: [1, 2, 9].map(sample) }])
  t.match(text, '| 3 | `docker kill` | `die` | 2, 9 ms | 4, 18 ms | 6, 27 ms | 8, 36 ms |')
  t.match(text, '3 nodes: 1.0 before, 2.3 after')
})
