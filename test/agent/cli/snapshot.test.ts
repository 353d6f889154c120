import { chmod, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { archiveOf, folder, recordsOf } from '../snapshot/fixtures.ts'
import { inProcess, stubAgent } from './run.ts'

t.test('save writes a file that only its owner can read, and replaces none unasked', async (t) => {
  const archive = await archiveOf(recordsOf('a', 'b'))
  const agent = await stubAgent({
    'GET /v1/snapshot': { body: archive },
    'GET /v1/snapshot?stale': { body: archive },
  })
  t.teardown(() => agent.close())
  const path = await folder(t)
  const file = join(path, 'keys.tgz')
  const save = (...args: string[]) =>
    inProcess('snapshot', 'save', file, '--http-addr', agent.address, ...args)

  const first = await save()
  t.match(first, { code: 0, err: '' })
  t.match(
    first.out,
    new RegExp(`^saved: ${file}\nindex: +45\nterm: +2\n.*keys: +2\nbytes: +46\n.*checksum: +ok\n$`, 's'),
  )
  t.same(await readFile(file), archive)
  t.equal((await stat(file)).mode & 0o777, 0o600)
  t.same(await readdir(path), ['keys.tgz'])

  await writeFile(file, 'mine')
  t.match(await save(), { code: 1, err: /keys\.tgz exists; --force replaces it/ })
  t.equal(String(await readFile(file)), 'mine')
  t.equal(agent.seen.length, 1, 'nobody was asked')
  await writeFile(`${file}.tmp`, 'left by a crash')
  await chmod(`${file}.tmp`, 0o644)
  t.match(await save('--force', '--stale', '--json'), {
    code: 0,
    out: /^\{"index":45,.*"checksum":"ok"\}\n$/,
  })
  t.same(await readFile(file), archive)
  t.equal((await stat(file)).mode & 0o777, 0o600)
  t.same(await readdir(path), ['keys.tgz'])
})

t.test('what cannot be read back is not kept', async (t) => {
  const archive = await archiveOf(recordsOf('a'))
  const path = await folder(t)
  for (const [answer, text] of [
    [{ body: archive.subarray(0, -10) }, /cut short/],
    [{ body: 'hello' }, /not a snapshot/],
    [{ status: 500, body: 'No cluster leader' }, /answered 500: No cluster leader/],
  ] as const) {
    const agent = await stubAgent({ 'GET /v1/snapshot': answer })
    t.match(await inProcess('snapshot', 'save', join(path, 'x'), '--http-addr', agent.address), {
      code: 1,
      err: text,
    })
    await agent.close()
  }
  t.same(await readdir(path), [])
  const agent = await stubAgent({ 'GET /v1/snapshot': { body: archive } })
  t.teardown(() => agent.close())
  const nowhere = await inProcess('snapshot', 'save', join(path, 'no', 'x'), '--http-addr', agent.address)
  t.match(nowhere, { code: 1, err: /^constellation: cannot write .*ENOENT/ })
})

t.test('restore sends a file that is whole, and no other', async (t) => {
  const agent = await stubAgent({ 'PUT /v1/snapshot': {} })
  t.teardown(() => agent.close())
  const path = await folder(t)
  const file = join(path, 'keys.tgz')
  const archive = await archiveOf(recordsOf('a', 'b'))
  await writeFile(file, archive.subarray(0, -1))
  const restore = (...args: string[]) =>
    inProcess('snapshot', 'restore', file, '--http-addr', agent.address, ...args)
  t.match(await restore(), { code: 1, err: /keys\.tgz: the snapshot is damaged: it is cut short/ })
  t.equal(agent.seen.length, 0)
  await writeFile(file, archive)
  t.match(await restore(), { code: 0, out: /^restored: .*keys: +2\n/s })
  t.equal(agent.seen[0]?.body, archive.toString('latin1'))
})

t.test('inspect asks nobody', async (t) => {
  const path = await folder(t)
  const file = join(path, 'keys.tgz')
  await writeFile(file, await archiveOf(recordsOf('a', 'b')))
  const { code, out } = await inProcess('snapshot', 'inspect', file, '--json')
  t.equal(code, 0)
  t.match(JSON.parse(out), {
    index: 45,
    term: 2,
    created: '2026-11-21T03:41:07.500Z',
    cluster: 'home',
    clusterId: 'c-1',
    node: 'n1',
    keys: 2,
    bytes: 46,
    checksum: 'ok',
  })
  t.match(await inProcess('snapshot', 'inspect', join(path, 'none')), {
    code: 1,
    err: /cannot read .*ENOENT/,
  })
  t.match(await inProcess('snapshot', 'inspect'), { code: 64 })
})
