import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { until } from '../../../real/until.ts'
import { runInProcess, startConstellation } from '../run.ts'
import { FakeStream, put } from './fake-stream.ts'

const READY = 'event: ready\nid: 100\ndata: {"Index":100}\n\n'

t.test('prints what there is and what changes, until Ctrl-C', async (t) => {
  const agent = await FakeStream.open(t)
  const watch = startConstellation(['kv', 'watch', 'a b/', '--http-addr', agent.address])
  const stream = await agent.stream(0)
  t.equal(stream.url, '/api/v1/kv/watch?prefix=a%20b%2F')
  t.equal(stream.lastEventId, undefined)
  stream.send(`${put('a b/x', 'one')}${READY}: keep-alive\n\n`)
  stream.send(put('a b/x', 'two', '101', { ModifyIndex: 101, Session: 's1' }))
  stream.send('event: delete\nid: 102\ndata: {"Key":"a b/x","Index":102}\n\n')
  await until('three lines', () => watch.out().split('\n').length === 4, { state: watch.out })
  watch.signal('SIGINT')
  t.match(await watch.ended, {
    code: 0,
    out: 'put     5         a b/x  3 bytes  one\nput     101       a b/x  3 bytes  two  locked by s1\ndelete  102       a b/x\n',
    err: '',
  })
})

t.test('goes on where it ended after the connection broke, and tells a reset', async (t) => {
  const agent = await FakeStream.open(t)
  const { address, port } = agent
  const watch = startConstellation(['kv', 'watch', '--json', '--key', 'k', '--http-addr', address])
  const keys = () =>
    watch
      .out()
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line))
      .map(({ Event, Key, Value, Index }) => `${Event} ${Key} ${Value ?? Index}`)
  const first = await agent.stream(0)
  first.send(put('k', '1'))
  await until('the listing has begun', () => keys().length === 1)
  first.cut()
  const second = await agent.stream(1)
  t.equal(second.lastEventId, undefined, 'a listing that was cut off is not resumed')
  second.send(`${put('k', '1')}${put('kk', 'x')}${READY}${put('k', '2', '101')}`)
  await until('the change is told', () => keys().length === 2)
  second.end()
  const third = await agent.stream(2)
  t.equal(third.lastEventId, '101')
  third.send('event: delete\nid: 102\ndata: {"Key":"k","Index":102}\n\n')
  await until('the deletion is told', () => keys().length === 3)
  await agent.close()
  agent.refuse = { status: 500, body: 'No cluster leader' }
  await agent.listen(port)
  await until('it asked again', () => agent.requests > 4)
  agent.refuse = null
  const fourth = await agent.stream(3)
  t.equal(fourth.lastEventId, '102')
  fourth.send(
    `event: reset\ndata: {"Reason":"restored"}\n\n${put('k', '4')}event: ready\nid: é\ndata: {"Index":7}\n\n`,
  )
  await until('the new content is told', () => keys().length === 4)
  fourth.cut()
  t.equal((await agent.stream(4)).lastEventId, Buffer.from('é').toString('latin1'))
  watch.signal('SIGTERM')
  t.equal((await watch.ended).code, 0)
  t.strictSame(keys(), ['put k MQ==', 'put k Mg==', 'delete k 102', 'put k NA=='])
  t.match(watch.err(), /the stream of the agent at .* broke.*; trying again\n/)
  t.match(watch.err(), /connected to 127.0.0.1:\d+ again\nthe agent tells everything anew: restored\n/)
})

t.test('a stream that cannot be had ends the command', async (t) => {
  const agent = await FakeStream.open(t)
  const run = () => runInProcess(['kv', 'watch', 'a', '--http-addr', agent.address])
  agent.refuse = { status: 404, body: '{"error":{"code":"HTTP_NOT_FOUND","message":"no such endpoint"}}' }
  t.match(await run(), { code: 1, out: '', err: /answered 404: no such endpoint\n$/ })
  agent.refuse = { status: 500, body: 'x' }
  t.match(await run(), { code: 1, err: /answered 500: x\n$/ }, 'the first time')
  agent.refuse = null
  agent.contentType = 'text/html'
  t.match(await run(), { code: 1, err: /sends no stream of events\n$/ })
  agent.contentType = 'text/event-stream'
  const broken = run()
  ;(await agent.stream(1)).send('event: put\ndata: [\n\n')
  t.match(await broken, {
    code: 1,
    out: '',
    err: 'constellation: an event of the stream is no JSON object\n',
  })
  t.match(await runInProcess(['kv', 'watch']), { code: 64, err: /a prefix .* or --key KEY/ })
})

t.test('runs a command for each batch, never two at a time, and not when nothing changed', async (t) => {
  const agent = await FakeStream.open(t)
  const folder = t.testdir()
  const log = join(folder, 'log')
  const hold = join(folder, 'hold')
  writeFileSync(log, '')
  writeFileSync(hold, '')
  // Says when it begins and ends, what it was told, and takes as long as the file is there.
  const script = `echo begin >> log; cat >> log; while [ -e hold ]; do sleep 0.02; done; echo end >> log; exit 3`
  const command = ['sh', '-c', `cd "$0" && ${script}`, folder]
  const watch = startConstellation(['kv', 'watch', '--http-addr', agent.address, 'k/', '--', ...command])
  const lines = () =>
    readFileSync(log, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => (line.startsWith('{') ? `${JSON.parse(line).Key}=${JSON.parse(line).Value}` : line))
  const stream = await agent.stream(0)
  stream.send(put('k/a', '1'))
  stream.send(`${put('k/b', '1')}${READY}`)
  await until('the first batch is the listing', () => lines().length === 3, { state: lines })
  t.strictSame(lines(), ['begin', 'k/a=MQ==', 'k/b=MQ=='])
  // While it runs: one key changes twice, one changes and changes back.
  stream.send(put('k/a', '2', '101'))
  stream.send(put('k/a', '3', '102'))
  stream.send(put('k/b', '2', '103'))
  stream.send(put('k/b', '1', '104'))
  rmSync(hold)
  await until('the second batch has ended', () => lines().length === 7, { state: lines })
  t.strictSame(lines().slice(3), ['end', 'begin', 'k/a=Mw==', 'end'])
  // The same content again, then a deletion of what nobody knows: no run. The next one shows that it was skipped.
  stream.send(
    `${put('k/a', '3', '105', { ModifyIndex: 105 })}event: delete\nid: 106\ndata: {"Key":"k/none","Index":106}\n\n`,
  )
  stream.cut()
  const again = await agent.stream(1)
  again.send(`event: reset\ndata: {"Reason":"x"}\n\n${put('k/a', '3')}`)
  again.send(READY)
  await until('the third batch', () => lines().length === 10, { state: lines })
  t.strictSame(lines().slice(7), ['begin', 'k/b=undefined', 'end'], 'only what is gone')
  t.match(watch.err(), /the command ended with exit code 3\n/)
  writeFileSync(hold, '')
  again.send(put('k/a', '9', '107'))
  await until('the fourth batch', () => lines().length === 12, { state: lines })
  watch.signal('SIGTERM')
  t.equal((await watch.ended).code, 0, 'a command that runs is stopped first')
})

t.test('a command that cannot be run, or reads nothing', async (t) => {
  const agent = await FakeStream.open(t)
  const missing = startConstellation([
    'kv',
    'watch',
    '--key',
    'k',
    '--http-addr',
    agent.address,
    '--',
    '/does/not/exist',
  ])
  ;(await agent.stream(0)).send(`${put('k', 'x'.repeat(200_000))}${READY}`)
  t.match(await missing.ended, { code: 1, out: '', err: /cannot run \/does\/not\/exist: .*ENOENT\n$/ })
  const deaf = startConstellation([
    'kv',
    'watch',
    '--key',
    'k',
    '--http-addr',
    agent.address,
    '--',
    'echo',
    'ran',
  ])
  ;(await agent.stream(1)).send(`${put('k', 'x'.repeat(200_000))}${READY}`)
  await until('it ran', () => deaf.out() === 'ran\n')
  deaf.signal('SIGINT')
  t.match(await deaf.ended, { code: 0, err: '' })
})
