import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { CLUSTER_KEYS, CLUSTER_PREFIXES } from '../../../../agent/cli/transfer/entries.ts'
import { ProgressLines } from '../../../../agent/cli/transfer/progress.ts'
import { noLeader } from '../../../../consensus/errors.ts'
import {
  AUTOPILOT_KEY,
  CLAIM_PREFIX,
  CORDON_PREFIX,
  isOfCluster,
  LEASE_PREFIX,
  textToKey,
} from '../../../../consensus/state/keys.ts'
import { type Harness, harness, listen } from '../../http/harness.ts'
import { constellation, runInProcess } from '../run.ts'

const FLAGS_MAX = 2n ** 64n - 1n

async function agent(t: Test): Promise<Harness & { readonly at: readonly string[] }> {
  const made = harness()
  const port = await listen(made.app)
  t.teardown(() => made.app.close())
  return { ...made, at: ['--http-addr', `127.0.0.1:${port}`] }
}

/** Writes an entry below the API, which could not name every key. */
async function set(
  consensus: Harness['consensus'],
  key: string,
  value: Uint8Array,
  flags = 0n,
): Promise<void> {
  await consensus.propose({ type: 'kv.set', key, value, flags })
}

const utf8 = (text: string): string => Buffer.from(text, 'latin1').toString('utf8')

t.test('what was exported and imported elsewhere is the same', async (t) => {
  const from = await agent(t)
  const bytes = Uint8Array.from({ length: 256 }, (_, i) => i)
  await set(from.consensus, textToKey('app/binary'), bytes, FLAGS_MAX)
  await set(from.consensus, textToKey('app/empty'), new Uint8Array())
  await set(
    from.consensus,
    textToKey('app/ç a//../b%2F?#"\\\n\u0000'),
    Buffer.from('text'),
    9007199254740993n,
  )
  await set(from.consensus, textToKey('app/\u{1F600}\uFFFD'), Buffer.from('x'), 3304740253564472344n)
  await set(from.consensus, textToKey('other'), Buffer.from('y'))
  const exported = await constellation(['kv', 'export', ...from.at])
  t.match(exported, { code: 0, err: '' })
  const text = utf8(exported.out)
  t.match(JSON.parse(text), [
    { key: 'app/binary', value: Buffer.from(bytes).toString('base64') },
    { key: 'app/empty', flags: 0, value: '' },
    { key: 'app/ç a//../b%2F?#"\\\n\u0000' },
    { key: 'app/\u{1F600}\uFFFD' },
    { key: 'other', flags: 0, value: 'eQ==' },
  ])
  t.match(text, `"flags":${FLAGS_MAX},`)
  t.match(text, '"flags":9007199254740993,')
  const to = await agent(t)
  const imported = await constellation(['kv', 'import', '-', ...to.at], { input: text })
  t.strictSame(imported, { code: 0, out: 'imported: 5 keys\n', err: '' })
  const content = ({ consensus }: Harness) =>
    consensus.kvList('').map(({ key, value, flags }) => ({ key, value: [...value], flags }))
  t.strictSame(content(to), content(from))
  t.equal(
    (await runInProcess(['kv', 'export', 'app/', ...to.at])).out.split('\n').length,
    7,
    'one line per key',
  )
})

t.test('nothing below the prefix is an empty array', async (t) => {
  const { at } = await agent(t)
  t.strictSame(await runInProcess(['kv', 'export', 'none/', ...at]), { code: 0, out: '[]\n', err: '' })
  const file = join(t.testdir(), 'empty.json')
  writeFileSync(file, '[]\n')
  t.strictSame(await runInProcess(['kv', 'import', file, ...at]), {
    code: 0,
    out: 'imported: 0 keys\n',
    err: '',
  })
})

t.test('keys that are not UTF-8 are named, left out, and the exit code is 1', async (t) => {
  const { consensus, at } = await agent(t)
  await set(consensus, 'a', Buffer.from('1'))
  await set(consensus, 'b\xff', Buffer.from('2'))
  await set(consensus, 'b\xfe', Buffer.from('3'))
  // The API shows it like the two before, and it is what it shows.
  await set(consensus, textToKey('b\uFFFD'), Buffer.from('4'))
  const { code, out, err } = await runInProcess(['kv', 'export', ...at])
  t.equal(code, 1)
  t.strictSame(JSON.parse(utf8(out)), [
    { key: 'a', flags: 0, value: 'MQ==' },
    { key: 'b\uFFFD', flags: 0, value: 'NA==' },
  ])
  t.equal(
    err,
    'constellation: left out: 2 keys that are not UTF-8 (b\uFFFD, b\uFFFD); `constellation snapshot save` keeps them\n',
  )
})

t.test('keys with a TTL are left out', async (t) => {
  const { consensus, at } = await agent(t)
  await set(consensus, 'stays', new Uint8Array())
  await consensus.propose({ type: 'kv.set', key: 'goes', value: new Uint8Array(), flags: 0n, ttlMs: 10_000 })
  t.strictSame(await runInProcess(['kv', 'export', ...at]), {
    code: 0,
    out: '[\n{"key":"stays","flags":0,"value":""}\n]\n',
    err: 'left out: 1 keys that go by themselves (TTL)\n',
  })
})

t.test('keys of the cluster itself are neither exported nor imported', async (t) => {
  t.strictSame(CLUSTER_PREFIXES, [LEASE_PREFIX, CLAIM_PREFIX, CORDON_PREFIX], 'as a snapshot sees it')
  t.strictSame(CLUSTER_KEYS, [AUTOPILOT_KEY])
  t.ok([...CLUSTER_PREFIXES, ...CLUSTER_KEYS].every((key) => isOfCluster(key)))
  const { consensus, at } = await agent(t)
  await set(consensus, `${LEASE_PREFIX}dns`, Buffer.from('n1'))
  await set(consensus, AUTOPILOT_KEY, Buffer.from('{}'))
  await set(consensus, 'constellation/mine', Buffer.from('n1'))
  const exported = await runInProcess(['kv', 'export', ...at])
  t.strictSame(exported, {
    code: 0,
    out: '[\n{"key":"constellation/mine","flags":0,"value":"bjE="}\n]\n',
    err: 'left out: 2 keys that the agents keep about this cluster\n',
  })
  const file = join(t.testdir(), 'keys.json')
  writeFileSync(file, `[{"key":"lease/dns","flags":0,"value":"eA=="},{"key":"x","value":"eA=="}]`)
  const imported = await runInProcess([
    'kv',
    'import',
    '--json',
    '--prefix',
    'constellation/',
    `@${file}`,
    ...at,
  ])
  t.strictSame(imported, {
    code: 0,
    out: '{"written":1,"leftOut":1}\n',
    err: 'left out: 1 keys that belong to the agents of a cluster\n',
  })
  t.equal(Buffer.from(consensus.state.kvGet(`${LEASE_PREFIX}dns`)?.value ?? []).toString(), 'n1')
  t.equal(Buffer.from(consensus.state.kvGet('constellation/x')?.value ?? []).toString(), 'x')
})

t.test('a file with a mistake is refused as a whole, with every entry that is wrong', async (t) => {
  const { consensus, at } = await agent(t)
  const file = join(t.testdir(), 'keys.json')
  const refusal = async (content: string | Buffer): Promise<string> => {
    writeFileSync(file, content)
    const { code, out, err } = await runInProcess(['kv', 'import', file, ...at])
    t.match({ code, out }, { code: 1, out: '' })
    return err.replace(`constellation: ${file}`, 'FILE')
  }
  const good = '{"key":"a","flags":1,"value":"eA=="}'
  const entry = (text: string) => refusal(`[${good},${text}]`)
  const range = '0-18446744073709551615'
  for (const [text, reason] of [
    ['7', 'not an object'],
    ['{"flags":0,"value":""}', 'key must be text that is not empty'],
    ['{"key":"","value":""}', 'key must be text that is not empty'],
    ['{"key":"\\ud800","value":""}', 'key has half of a surrogate pair, which has no UTF-8'],
    ['{"key":"b","value":"","flag":1}', 'unknown field "flag"; allowed: key, flags, value'],
    ['{"key":"b","value":"","flags":-1}', `flags must be a whole number ${range}`],
    ['{"key":"b","value":"","flags":1.0}', `flags must be a whole number ${range}`],
    ['{"key":"b","value":"","flags":1e2}', `flags must be a whole number ${range}`],
    ['{"key":"b","value":"","flags":"1"}', `flags must be a whole number ${range}`],
    ['{"key":"b","value":"","flags":18446744073709551616}', `flags must be a whole number ${range}`],
    ['{"key":"b"}', 'value must be base64 text'],
    ['{"key":"b","value":"eA"}', 'value is not base64'],
    ['{"key":"b","value":"e-_="}', 'value is not base64'],
    ['{"key":"b","value":"=A=="}', 'value is not base64'],
    [good, 'the same key as entry 1'],
  ] as const) {
    t.equal(await entry(text), `FILE: entry 2: ${reason}. Nothing was written\n`, text)
  }
  t.match(
    await refusal(`[1,${good},2]`),
    'FILE: entry 1: not an object; entry 3: not an object. Nothing was written',
  )
  const many = await refusal(`[${Array.from({ length: 30 }, () => 0).join(',')}]`)
  t.match(many, /entry 20: not an object; and 10 more\. Nothing was written\n$/)
  t.match(await refusal('[{]'), /^FILE is not JSON: .*position 2/)
  t.equal(await refusal('{}'), 'FILE is not a JSON array of entries\n')
  t.equal(await refusal(Buffer.of(0x5b, 0xff, 0x5d)), 'FILE is not UTF-8 text\n')
  t.match(await runInProcess(['kv', 'import', '/does/not/exist', ...at]), {
    code: 1,
    err: /cannot read .*ENOENT/,
  })
  t.strictSame(consensus.proposals, [], 'not one write was tried')
})

t.test('an import that stops half way says how many keys are written', async (t) => {
  const { consensus, at } = await agent(t)
  const keys = Array.from({ length: 100 }, (_, i) => `k${i}`)
  const text = JSON.stringify(keys.map((key) => ({ key, flags: 0, value: 'eA==' })))
  const propose = consensus.propose.bind(consensus)
  consensus.propose = (command, options) =>
    'key' in command && command.key === 'k50' ? Promise.reject(noLeader()) : propose(command, options)
  const { code, out, err } = await runInProcess(['kv', 'import', '-', ...at], { input: text })
  const written = consensus.kvList('').length
  t.match({ code, out }, { code: 1, out: '' })
  t.match(
    err,
    new RegExp(
      `^constellation: k50: the agent at .* answered 500: No cluster leader; ${written} of 100 keys are written\\. The same command again`,
    ),
  )
  t.ok(written >= 50 && written < 70, `only those under way went on: ${written}`)
})

t.test('progress is told now and then, and not at all when it is quick', (t) => {
  let now = 0
  const lines: string[] = []
  const progress = new ProgressLines({ everyMs: 2000, now: () => now, print: (line) => lines.push(line) })
  for (let written = 1; written <= 10; written++) {
    now += 500
    progress.at(`${written} written`)
  }
  t.strictSame(lines, ['4 written', '8 written'])
  t.end()
})
