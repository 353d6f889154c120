import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { IDENTITY_FILE, loadIdentity } from '../../../discovery/mesh/identity.ts'

t.test('an identity is made once and kept', async (t) => {
  const dir = join(t.testdir(), 'data')
  const first = await loadIdentity(dir)
  const second = await loadIdentity(dir)
  t.ok(first.equals(second))
  t.equal(statSync(join(dir, IDENTITY_FILE)).mode & 0o777, 0o600)
  t.same(readdirSync(dir), [IDENTITY_FILE])
})

t.test('a temporary file left by a crash is no obstacle', async (t) => {
  const dir = t.testdir({ 'identity.key.tmp': 'half' })
  await loadIdentity(dir)
  t.same(readdirSync(dir), [IDENTITY_FILE])
})

t.test('a damaged identity is an error and stays as it is', async (t) => {
  const dir = t.testdir()
  const path = join(dir, IDENTITY_FILE)
  await loadIdentity(dir)
  const good = Buffer.from(readFileSync(path, 'utf8'), 'base64')
  const flipped = (at: number) => {
    const copy = Buffer.from(good)
    copy[at] = (copy[at] ?? 0) ^ 1
    return copy.toString('base64')
  }
  const damaged = [
    '',
    'garbage!',
    flipped(10),
    flipped(good.length - 1),
    good.subarray(0, 40).toString('base64'),
  ]
  for (const text of damaged) {
    writeFileSync(path, text)
    await t.rejects(loadIdentity(dir), { code: 'MSH_IDENTITY', message: path }, JSON.stringify(text))
    t.equal(readFileSync(path, 'utf8'), text)
  }
})

t.test('a data directory that cannot be made is named', async (t) => {
  const dir = t.testdir({ file: '' })
  await t.rejects(loadIdentity(join(dir, 'file', 'data')), { code: 'MSH_IDENTITY', message: 'identity.key' })
})
