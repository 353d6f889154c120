import { chmod, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { installed, nextVersion, type Ring, statement } from '../../../discovery/keyring/ring.ts'
import { RingStore } from '../../../discovery/keyring/ring-store.ts'
import { keyFingerprint } from '../../../discovery/mesh/cluster-key.ts'
import { capturedLog, WARN } from '../mesh/cluster.ts'
import { tempDir } from '../temp-dir.ts'

const key = (n: number) => new Uint8Array(32).fill(n)
const said = (ring: Ring, n: number, present = true): Ring =>
  statement(
    ring,
    { fingerprint: keyFingerprint(key(n)), version: nextVersion(ring), key: present ? key(n) : null },
    { fingerprint: keyFingerprint(key(2)), version: nextVersion(ring) },
  )

async function open(dataDir: string, fileKey: Uint8Array | null = key(1)) {
  const { lines, log } = capturedLog()
  return { lines, store: await RingStore.open({ dataDir, fileKey }, { log }) }
}

const first = (store: RingStore) => store.keys().map((bytes) => bytes[0])
const ringOf = (store: RingStore): Ring => {
  if (store.ring === null) throw new Error('no ring')
  return store.ring
}

t.test('a node that changed nothing uses its key file, and writes nothing', async (t) => {
  const dir = tempDir(t)
  const { store } = await open(dir)
  t.same(first(store), [1])
  t.same(await readdir(dir), [])
  t.same(first((await open(dir, key(5))).store), [5], 'the file may still be replaced')
  t.same(first((await open(dir, null)).store), [])
})

t.test('a change is on disk, closed to others, before it counts', async (t) => {
  const dir = tempDir(t)
  const { store } = await open(dir)
  let written = ''
  store.onChange(() => {
    written = 'told'
  })
  await store.merge(said(ringOf(store), 2))
  t.equal(written, 'told')
  t.same(first(store), [2, 1])
  t.equal((await stat(join(dir, 'keyring.json'))).mode & 0o777, 0o600)
  t.same(first((await open(dir)).store), [2, 1])
})

t.test('the ring wins over the key file, with a warning that says what to do and shows no key', async (t) => {
  const dir = tempDir(t)
  const { store } = await open(dir)
  await store.merge(said(ringOf(store), 2))
  await store.merge(said(ringOf(store), 1, false))
  t.same(first(store), [2])
  const again = await open(dir)
  t.same(first(again.store), [2], 'a removed key stays removed')
  const warnings = again.lines.filter(({ level }) => level === WARN)
  t.equal(warnings.length, 1)
  t.match(warnings[0]?.msg, `(${keyFingerprint(key(1))}) is not in the keyring of this node and is not used`)
  t.match(warnings[0]?.msg, `put the primary key (${keyFingerprint(key(2))}) into that file`)
  t.notMatch(JSON.stringify(again.lines), Buffer.from(key(2)).toString('base64'))
  t.same((await open(dir, key(2))).lines, [])
  t.same(first((await open(dir, null)).store), [2])
})

t.test('a write that fails changes nothing', async (t) => {
  const dir = tempDir(t)
  const { store } = await open(join(dir, 'keyring.json', 'not-a-folder'))
  await writeFile(join(dir, 'keyring.json'), '')
  await t.rejects(store.merge(said(ringOf(store), 2)), { code: 'KRG_FILE' })
  t.same(first(store), [1])
})

t.test('a damaged or open file is a clear error at the start', async (t) => {
  const dir = tempDir(t)
  const path = join(dir, 'keyring.json')
  const { store } = await open(dir)
  await store.merge(said(ringOf(store), 2))
  const good = await readFile(path, 'utf8')
  for (const text of ['', '{', good.slice(0, -10), good.replace(/"version": 1/, '"version": 2')]) {
    t.not(text, good)
    await writeFile(path, text, { mode: 0o600 })
    await t.rejects(open(dir), { code: 'KRG_FILE', message: `the keyring ${path} is damaged` })
  }
  await writeFile(path, good)
  await chmod(path, 0o644)
  await t.rejects(open(dir), { code: 'KRG_FILE', message: /open to every user .* chmod 600/ })
  await chmod(path, 0o600)
  t.equal(installed(ringOf((await open(dir)).store)).length, 2)
})
