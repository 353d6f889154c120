import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { generateClusterKey } from '../../../discovery/mesh/cluster-key.ts'
import { constellation, runInProcess, stubAgent } from './run.ts'

const LIST = JSON.stringify({
  primary: 'aaaaaaaaaaaaaaaa',
  keys: [
    { fingerprint: 'aaaaaaaaaaaaaaaa', nodes: 2, primaryOn: 1 },
    { fingerprint: 'bbbbbbbbbbbbbbbb', nodes: 1, primaryOn: 0 },
  ],
  nodes: [
    {
      name: 'n1',
      status: 'alive',
      source: 'answered',
      keys: ['aaaaaaaaaaaaaaaa', 'bbbbbbbbbbbbbbbb'],
      problem: null,
    },
    { name: 'n2', status: 'failed', source: 'announced', keys: ['aaaaaaaa'], problem: 'it has failed' },
  ],
})
const DONE = JSON.stringify({ fingerprint: 'cccccccccccccccc', done: ['n1', 'n2'], missing: [] })
const PARTLY = JSON.stringify({
  fingerprint: 'cccccccccccccccc',
  done: ['n1'],
  missing: [{ name: 'n2', reason: 'it has failed' }],
})

t.test('list shows who has which key', async (t) => {
  const agent = await stubAgent({ 'GET /api/v1/keyring': { body: LIST } })
  t.teardown(() => agent.close())
  const { code, out } = await runInProcess(['keyring', 'list', '--http-addr', agent.address])
  t.equal(code, 0)
  t.equal(
    out,
    [
      'KEY               HERE     ON   PRIMARY ON',
      'aaaaaaaaaaaaaaaa  primary  2/2  1/2',
      'bbbbbbbbbbbbbbbb           1/2  0/2',
      '',
      'NODE  STATUS  PRIMARY           OTHERS            NOTES',
      'n1    alive   aaaaaaaaaaaaaaaa  bbbbbbbbbbbbbbbb',
      'n2    failed  aaaaaaaa          -                 announced: it has failed',
      '',
    ].join('\n'),
  )
  const json = await runInProcess(['keyring', 'list', '--json', '--http-addr', agent.address])
  t.equal(json.out, `${LIST}\n`)
})

t.test('install makes or reads a key, and never shows it', async (t) => {
  const agent = await stubAgent({ 'PUT /api/v1/keyring/install': { body: DONE } })
  t.teardown(() => agent.close())
  const file = join(t.testdir(), 'new.key')
  const made = await runInProcess(['keyring', 'install', '--generate', file, '--http-addr', agent.address])
  t.strictSame(made, { code: 0, out: 'installed: cccccccccccccccc on 2 of 2 nodes\n', err: '' })
  const key = readFileSync(file, 'utf8').trim()
  t.equal(statSync(file).mode & 0o777, 0o600)
  t.same(JSON.parse(agent.seen[0]?.body ?? ''), { key })
  const again = await runInProcess(['keyring', 'install', '--generate', file, '--http-addr', agent.address])
  t.equal(again.code, 1)
  t.match(again.err, 'it exists already')
  t.equal(readFileSync(file, 'utf8').trim(), key)
  await runInProcess(['keyring', 'install', file, '--http-addr', agent.address])
  t.same(JSON.parse(agent.seen[1]?.body ?? ''), { key })
  const piped = await constellation(['keyring', 'install', '-', '--http-addr', agent.address], {
    input: `${key}\n`,
  })
  t.equal(piped.code, 0)
  t.same(JSON.parse(agent.seen[2]?.body ?? ''), { key })
})

t.test('use and remove take a fingerprint or a file, and not a key', async (t) => {
  const agent = await stubAgent({
    'PUT /api/v1/keyring/use': { body: DONE },
    'PUT /api/v1/keyring/remove?force': { body: DONE },
  })
  t.teardown(() => agent.close())
  const at = ['--http-addr', agent.address]
  const key = generateClusterKey()
  const file = join(t.testdir(), 'k')
  writeFileSync(file, key)
  t.equal(
    (await runInProcess(['keyring', 'use', 'cccccccc', ...at])).out,
    'primary now: cccccccccccccccc on 2 of 2 nodes\n',
  )
  t.equal((await runInProcess(['keyring', 'remove', '--key-file', file, '--force', ...at])).code, 0)
  t.same(
    agent.seen.map(({ body }) => JSON.parse(body)),
    [{ fingerprint: 'cccccccc' }, { key }],
  )
  for (const args of [['use', key], ['use'], ['use', 'cccccccc', '--key-file', file], ['remove', 'ccc']]) {
    const { code, err } = await runInProcess(['keyring', ...args, ...at])
    t.equal(code, 64)
    t.notMatch(err, key.slice(0, 8))
  }
  t.equal(agent.seen.length, 2)
})

t.test('nodes that have not confirmed are named, and the command ends with 1', async (t) => {
  const agent = await stubAgent({
    'PUT /api/v1/keyring/use': { body: PARTLY },
    'PUT /api/v1/keyring/remove': {
      status: 409,
      body: '{"error":{"code":"KRG_STILL_NEEDED","message":"not yet, because of n2"}}',
    },
  })
  t.teardown(() => agent.close())
  const at = ['--http-addr', agent.address]
  const partly = await runInProcess(['keyring', 'use', 'cccccccc', ...at])
  t.equal(partly.code, 1)
  t.equal(partly.out, 'primary now: cccccccccccccccc on 1 of 2 nodes\n')
  t.match(partly.err, 'not confirmed by n2 (it has failed)')
  t.equal((await runInProcess(['keyring', 'use', 'cccccccc', '--json', ...at])).out, `${PARTLY}\n`)
  const refused = await runInProcess(['keyring', 'remove', 'cccccccc', ...at])
  t.equal(refused.code, 1)
  t.match(refused.err, 'answered 409: not yet, because of n2')
})
