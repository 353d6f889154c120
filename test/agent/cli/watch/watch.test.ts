import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { until } from '../../../real/until.ts'
import { inProcess, runInProcess, startConstellation } from '../run.ts'
import { FakeQueries } from './fake-queries.ts'

t.test('every type asks its own question', async (t) => {
  const agent = await FakeQueries.open(t)
  const cases: readonly (readonly [args: string, url: string])[] = [
    ['key --key a b/c', '/v1/kv/a%20b/c'],
    ['keyprefix --prefix a/', '/v1/kv/a/?recurse='],
    ['services --filter x', '/v1/catalog/services?filter=x'],
    ['nodes', '/v1/catalog/nodes'],
    [
      'service --service web/1 --tag a --tag b --passing-only',
      '/v1/health/service/web%2F1?tag=a&tag=b&passing=1',
    ],
    ['checks', '/v1/health/state/any'],
    ['checks --state critical', '/v1/health/state/critical'],
    ['checks --service web', '/v1/health/checks/web'],
    ['event --name deploy --new-only', '/v1/event/list?name=deploy'],
  ]
  for (const [i, [line, url]] of cases.entries()) {
    const args = line
      .replace('a b', 'a+b')
      .split(' ')
      .map((arg) => arg.replace('+', ' '))
    const run = runInProcess(['watch', '--type', ...args, '--http-addr', agent.address])
    const query = await agent.query(i)
    t.equal(query.url, url)
    query.answer('no', 1, 403)
    t.match(await run, { code: 1, out: '', err: /answered 403: no\n$/ }, 'a refusal ends it')
  }
})

t.test('prints what there is and what changes, through an outage, until Ctrl-C', async (t) => {
  const agent = await FakeQueries.open(t)
  const { address, port } = agent
  const watch = startConstellation(['watch', '--type', 'key', '--key', 'k', '--http-addr', address])
  ;(await agent.query(0)).answer('', 7, 404)
  const second = await agent.query(1)
  t.equal(second.url, '/v1/kv/k?index=7&wait=60000ms')
  second.answer('[{"Key":"k","Value":"MQ==","Flags":18446744073709551615,"ModifyIndex":8}]', 8)
  ;(await agent.query(2)).answer(
    '[{"Key":"k","Value":"MQ==","Flags":18446744073709551615,"ModifyIndex":9}]',
    9,
  )
  const fourth = await agent.query(3)
  t.match(fourth.url, /index=9&/)
  fourth.answer('No cluster leader', undefined, 500)
  const fifth = await agent.query(4)
  t.equal(fifth.url, '/v1/kv/k', 'after an error it asks anew')
  fifth.cut()
  const sixth = await agent.query(5)
  await agent.close()
  t.ok(sixth)
  await agent.listen(port)
  ;(await agent.query(6)).answer([{ Key: 'k', Value: 'Mg==' }], 3)
  await until('the new value is printed', () => watch.out().split('\n').length === 4, { state: watch.out })
  t.match((await agent.query(7)).url, /index=3&/, 'an index that went back is taken as it is')
  watch.signal('SIGINT')
  t.match(await watch.ended, {
    code: 0,
    out: 'null\n{"Key":"k","Value":"MQ==","Flags":18446744073709551615,"ModifyIndex":8}\n{"Key":"k","Value":"Mg=="}\n',
  })
  t.match(watch.err(), /answered 500: No cluster leader; trying again\n.* answers again\n$/)
  t.equal(watch.err().split('trying again').length, 2, 'an outage is told once')
})

t.test('an index of 64 bits comes back as it was', async (t) => {
  const agent = await FakeQueries.open(t)
  const watch = startConstellation(['watch', '--type', 'event', '--http-addr', agent.address])
  ;(await agent.query(0)).answer([{ ID: 'a', Name: 'x' }], '17293822569102704641')
  const next = await agent.query(1)
  t.match(next.url, '/v1/event/list?index=17293822569102704641&wait=60000ms')
  next.answer(
    [
      { ID: 'a', Name: 'x' },
      { ID: 'b', Name: 'y' },
    ],
    '42',
  )
  await until('two lines', () => watch.out().split('\n').length === 3, { state: watch.out })
  watch.signal('SIGTERM')
  t.match(await watch.ended, { code: 0, out: '[{"ID":"a","Name":"x"}]\n[{"ID":"b","Name":"y"}]\n' })
})

t.test('what cannot be followed', async (t) => {
  const agent = await FakeQueries.open(t)
  const run = () => runInProcess(['watch', '--type', 'nodes', '--http-addr', agent.address])
  let running = run()
  ;(await agent.query(0)).answer('No cluster leader', undefined, 500)
  t.match(await running, { code: 1, err: /answered 500: No cluster leader\n$/ }, 'the first time')
  running = run()
  ;(await agent.query(1)).answer([])
  t.match(await running, { code: 1, err: /is no Constellation agent: no X-Consul-Index\n$/ })
  running = run()
  ;(await agent.query(2)).answer('<html>', 1)
  t.match(await running, { code: 1, err: /is no Constellation agent: not JSON\n$/ })
  t.match(await inProcess('watch'), { code: 64, err: /--type/ })
  t.match(await inProcess('watch', '--type', 'connect_leaf'), { code: 64, err: /Allowed choices are key, / })
  t.match(await inProcess('watch', '--type', 'key'), { code: 64, err: /--type key needs --key\n/ })
  t.match(await inProcess('watch', '--type', 'nodes', '--tag', 'x'), {
    code: 64,
    err: /--tag means nothing to --type nodes\n/,
  })
  t.match(await inProcess('watch', '--type', 'checks', '--service', 'a', '--state', 'passing'), {
    code: 64,
    err: /--service and --state exclude each other\n/,
  })
})

t.test('runs a command for each change, never two at a time, and not when nothing changed', async (t) => {
  const agent = await FakeQueries.open(t)
  const folder = t.testdir()
  const log = join(folder, 'log')
  const hold = join(folder, 'hold')
  writeFileSync(hold, '')
  // Says when it begins and ends, what it was told, and takes as long as the file is there.
  const script = `echo begin >> log; echo "$CONSUL_INDEX $(cat)" >> log; while [ -e hold ]; do sleep 0.02; done; echo end >> log; exit 3`
  const command = ['sh', '-c', `cd "$0" && ${script}`, folder]
  const watch = startConstellation([
    'watch',
    '--type',
    'services',
    '--http-addr',
    agent.address,
    '--',
    ...command,
  ])
  const lines = () => (existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : [])
  ;(await agent.query(0)).answer({ web: [] }, 5)
  await until('the first run has read', () => lines().length === 2, { state: lines })
  ;(await agent.query(1)).answer({ web: ['a'] }, 6)
  ;(await agent.query(2)).answer({ web: ['b'] }, 7)
  const waiting = await agent.query(3)
  rmSync(hold)
  await until('the second run has ended', () => lines().length === 6, { state: lines })
  t.strictSame(lines(), ['begin', '5 {"web":[]}', 'end', 'begin', '7 {"web":["b"]}', 'end'])
  waiting.answer({ web: ['b'] }, 8)
  ;(await agent.query(4)).answer({ api: [] }, 9)
  await until('the third run has ended', () => lines().length === 9, { state: lines })
  t.equal(lines()[7], '9 {"api":[]}')
  t.match(watch.err(), /the command ended with exit code 3\n/)
  watch.signal('SIGTERM')
  t.equal((await watch.ended).code, 0)
})
