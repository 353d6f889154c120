import { clusterTest, ms } from './cluster.ts'
import { until } from './until.ts'

clusterTest('a key written on one node is there on the others', { nodes: 3 }, async (t, cluster) => {
  const [n1, n2, n3] = [cluster.agent('n1'), cluster.agent('n2'), cluster.agent('n3')]
  const put = await n1.ask('/v1/kv/a/b', { method: 'PUT', body: 'v1' })
  t.equal(put.status, 200)
  t.equal(put.text, 'true')

  const read = await n3.ask('/v1/kv/a/b?consistent')
  t.equal(read.status, 200)
  t.match(read.headers['content-type'], /^application\/json/)
  const [entry] = read.json() as [{ ModifyIndex: number; CreateIndex: number }]
  t.strictSame(read.json(), [
    {
      LockIndex: 0,
      Key: 'a/b',
      Flags: 0,
      Value: 'djE=',
      CreateIndex: entry.CreateIndex,
      ModifyIndex: entry.ModifyIndex,
    },
  ])
  t.equal(entry.CreateIndex, entry.ModifyIndex)
  t.equal(read.headers['x-consul-index'], String(entry.ModifyIndex))
  t.equal(read.headers['x-consul-knownleader'], 'true')
  t.comment(`put ${ms(put.ms)}, consistent read on another node ${ms(read.ms)}`)

  await t.test('a default read on any node sees what was acknowledged on any other', async (t) => {
    const pairs = cluster.agents.flatMap((writer) =>
      cluster.others(writer).map((reader) => ({ writer, reader })),
    )
    const times: number[] = []
    for (let round = 0; round < 10; round++) {
      for (const { writer, reader } of pairs) {
        const value = `${writer.name} ${round}`
        if (!(await writer.put('fresh', value))) t.fail(`the write on ${writer.name} was refused`)
        const started = performance.now()
        const seen = await reader.get('fresh')
        times.push(performance.now() - started)
        if (seen !== value) t.fail(`${reader.name} answered ${seen} after ${value} was acknowledged`)
      }
    }
    times.sort((a, b) => a - b)
    t.equal(times.length, 60)
    t.comment(
      `default read after a write elsewhere: median ${ms(times[30] ?? 0)}, worst ${ms(times[59] ?? 0)}`,
    )
  })

  await t.test('a blocking query on one node ends with the write on another', async (t) => {
    const index = (await n2.ask('/v1/kv/a/b')).headers['x-consul-index']
    const waiting = n2.ask(`/v1/kv/a/b?index=${index}&wait=20s`, { timeoutMs: 10_000 })
    await until('the query is parked', async () => {
      const metrics = await n2.ask('/metrics')
      return /^constellation_http_blocking_queries\{[^}]*\} [1-9]/m.test(metrics.text)
    })
    const started = performance.now()
    t.equal(await n3.put('a/b', 'v2'), true)
    const answer = await waiting
    t.match(answer.json(), [{ Key: 'a/b', Value: 'djI=' }])
    t.ok(Number(answer.headers['x-consul-index']) > Number(index))
    t.comment(`woken ${ms(performance.now() - started)} after the write began`)
  })

  await t.test('keys of any bytes, large values, deletion', async (t) => {
    const key = 'odd/%2F%20%C3%A9/%00'
    t.equal(await n1.put(key, 'x'), true)
    t.equal(await n2.get(key), 'x')
    const large = 'x'.repeat(512 * 1024)
    t.equal(await n2.put('large', large), true)
    t.ok((await n3.get('large')) === large, 'the value arrived whole')
    const tooLarge = await n2.ask('/v1/kv/large', { method: 'PUT', body: `${large}x` })
    t.equal(tooLarge.status, 413)
    t.equal((await n3.ask('/v1/kv/odd?recurse', { method: 'DELETE' })).text, 'true')
    t.equal(await n1.get(key), null)
  })
})
