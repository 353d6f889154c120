import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { harness, listen } from '../http/harness.ts'
import { runInProcess, stubAgent } from './run.ts'

const entry = (key: string, value: string | null, more = '') =>
  `{"KV":{"LockIndex":0,"Key":"${key}","Flags":0,"Value":${value === null ? null : `"${value}"`}${more},"CreateIndex":20,"ModifyIndex":20}}`
const DONE = `{"Results":[${entry('t/a', null)},${entry('t/b\\n', 'MQ==', ',"Session":"s1"').replace('"Flags":0', '"Flags":18446744073709551615')},${entry('t/c', '/wA=')}],"Errors":null}`
const REFUSED = `{"Results":null,"Errors":[{"OpIndex":1,"What":"failed index check for key \\"t/a\\", current modify index 20 != 1"},{"OpIndex":2,"What":"key \\"x\\" doesn't exist"}]}`
const OPERATIONS = `[{"KV":{"Verb":"set","Key":"t/b","Value":"MQ==","Flags":18446744073709551615}},
 {"KV":{"Verb":"check-index","Key":"t/a","Index":1}}, {"Node":{}}]`

async function agent(t: Test, status: number, body: string) {
  const stub = await stubAgent({ 'PUT /v1/txn': { status, body } })
  t.teardown(() => stub.close())
  return { ...stub, at: ['--http-addr', stub.address] }
}

t.test('sends the file as it is and shows the results', async (t) => {
  const { at, seen } = await agent(t, 200, DONE)
  const file = join(t.testdir(), 'txn.json')
  writeFileSync(file, OPERATIONS)
  t.strictSame(await runInProcess(['txn', file, ...at]), {
    code: 0,
    out: `KEY   INDEX  FLAGS                 SESSION  VALUE
t/a   20     0                     -        -
t/b?  20     18446744073709551615  s1       1
t/c   20     0                     -        (2 bytes)
`,
    err: '',
  })
  t.strictSame(seen, [{ method: 'PUT', url: '/v1/txn', body: OPERATIONS }])
  t.strictSame(await runInProcess(['txn', '--json', '-', ...at], { input: OPERATIONS }), {
    code: 0,
    out: `${DONE}\n`,
    err: '',
  })
  t.strictSame(seen[1], seen[0])
  const quiet = await agent(t, 200, '{"Results":null,"Errors":null}')
  t.equal((await runInProcess(['txn', `@${file}`, ...quiet.at])).out, 'done; no results\n')
})

t.test('a conflict names each operation that failed, and is exit code 1', async (t) => {
  const { at } = await agent(t, 409, REFUSED)
  const err = `operation 2 of 3 (check-index t/a): failed index check for key "t/a", current modify index 20 != 1
operation 3 of 3: key "x" doesn't exist
constellation: nothing was written: 2 of 3 operations failed
`
  t.strictSame(await runInProcess(['txn', '-', ...at], { input: OPERATIONS }), { code: 1, out: '', err })
  t.strictSame(await runInProcess(['txn', '--json', '-', ...at], { input: OPERATIONS }), {
    code: 1,
    out: `${REFUSED}\n`,
    err,
  })
})

t.test('what is no list of operations is not sent', async (t) => {
  const { at, seen } = await agent(t, 413, 'Transaction contains too many operations (129 > 128)')
  const run = (input: string) => runInProcess(['txn', '-', ...at], { input })
  t.match(await run('[{]'), { code: 1, err: /^constellation: standard input is not JSON: .*position 2/ })
  t.match(await run('{}'), {
    code: 1,
    err: 'constellation: standard input is not a JSON array of operations\n',
  })
  t.strictSame(seen, [])
  t.match(await run('[]'), {
    code: 1,
    out: '',
    err: /answered 413: Transaction contains too many operations \(129 > 128\)\n$/,
  })
  t.match(await runInProcess(['txn', '/does/not/exist', ...at]), {
    code: 1,
    err: /cannot read \/does\/not\/exist: ENOENT/,
  })
})

t.test('against the endpoint: all or none', async (t) => {
  const { app, consensus } = harness()
  const at = ['--http-addr', `127.0.0.1:${await listen(app)}`]
  t.teardown(() => app.close())
  const txn = (...operations: object[]) =>
    runInProcess(['txn', '-', ...at], { input: JSON.stringify(operations.map((KV) => ({ KV }))) })
  const set = { Verb: 'set', Key: 'a', Value: 'MQ==' }
  t.match(await txn(set, { Verb: 'get', Key: 'a' }), { code: 0, out: /^KEY .*\na .* -\na .* 1\n$/, err: '' })
  t.match(await txn({ Verb: 'delete', Key: 'a' }), { code: 0, out: 'done; no results\n' })
  t.strictSame(await txn(set, { Verb: 'check-index', Key: 'none', Index: 1 }), {
    code: 1,
    out: '',
    err: `operation 2 of 2 (check-index none): failed to check index, key "none" doesn't exist
constellation: nothing was written: 1 of 2 operations failed
`,
  })
  t.equal(consensus.state.kvGet('a'), undefined)
})
