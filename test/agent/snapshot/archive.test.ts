import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import fc from 'fast-check'
import t from 'tap'
import { ARCHIVE_BYTES_MAX, type Archive, readArchive } from '../../../agent/snapshot/archive.ts'
import { ArchiveError } from '../../../agent/snapshot/errors.ts'
import { readTar, TAR_END, tarHeader, tarPadding } from '../../../agent/snapshot/tar.ts'
import { archiveOf, folder, META, recordsOf } from './fixtures.ts'

/** An archive of these files, with right sums unless they are given. */
function pack(files: Readonly<Record<string, string | Buffer>>): Buffer {
  const sums = Object.entries(files)
    .map(([name, content]) => `${createHash('sha256').update(content).digest('hex')}  ${name}\n`)
    .join('')
  const parts = Object.entries({ ...files, SHA256SUMS: files.SHA256SUMS ?? sums }).flatMap(
    ([name, content]) => {
      const bytes = Buffer.from(content)
      return [tarHeader(name, bytes.length, 0), bytes, tarPadding(bytes.length)]
    },
  )
  return gzipSync(Buffer.concat([...parts, TAR_END]))
}

/** The files of an archive. */
function unpack(archive: Buffer): Record<string, Buffer> {
  return Object.fromEntries(readTar(gunzipSync(archive), 3))
}

t.test('an archive gives back what went in', async (t) => {
  const records = [
    { key: 'a', value: Buffer.from('1'), flags: 2n ** 64n - 1n },
    { key: 'a/b', value: Buffer.alloc(0), flags: 0n },
    { key: '\x00\xff', value: Buffer.alloc(600_000, 7), flags: 5n },
  ].toSorted((a, b) => (a.key < b.key ? -1 : 1))
  const archive = await readArchive(await archiveOf(records))
  t.same(archive.meta, { ...META, keys: 3 })
  t.same([...archive.records], records)
  t.same([...archive.records].length, 3, 'it can be read again')
  const empty = await readArchive(await archiveOf([]))
  t.equal(empty.meta.keys, 0)
  t.same([...empty.records], [])
})

t.test('the container is the one of Consul: names, sums, size, in its order', async (t) => {
  const archive = await archiveOf(recordsOf('a', 'b'))
  const files = unpack(archive)
  t.same(Object.keys(files), ['meta.json', 'state.bin', 'SHA256SUMS'])
  const meta = JSON.parse(String(files['meta.json']))
  t.match(meta, {
    Version: 1,
    Index: 45,
    Term: 2,
    Size: files['state.bin']?.length,
    Peers: '',
    ID: /^2-45-\d+$/,
  })
  t.match(meta, {
    Format: 'constellation-keys',
    Keys: 2,
    Created: META.created,
    ClusterID: 'c-1',
    Cluster: 'home',
  })
  for (const line of String(files.SHA256SUMS).trimEnd().split('\n')) {
    const [sum = '', name = ''] = line.split('  ')
    t.equal(
      createHash('sha256')
        .update(files[name] ?? '')
        .digest('hex'),
      sum,
      name,
    )
  }
})

const hasTar =
  spawnSync('tar', ['--version']).status === 0 && spawnSync('sha256sum', ['--version']).status === 0
const skip = hasTar ? {} : { skip: 'there is no GNU tar and sha256sum' }
t.test('tar and sha256sum read it, and what tar packed again is read', skip, async (t) => {
  const path = await folder(t)
  const file = join(path, 'keys.tgz')
  writeFileSync(file, await archiveOf(recordsOf('a', 'b', 'c')))
  const unpacked = join(path, 'x')
  mkdirSync(unpacked)
  t.equal(spawnSync('tar', ['-xzf', file, '-C', unpacked]).status, 0)
  t.equal(spawnSync('sha256sum', ['-c', 'SHA256SUMS'], { cwd: unpacked }).status, 0)
  const args = ['--format=ustar', '-czf', file, '-C', unpacked, './state.bin', './SHA256SUMS', './meta.json']
  t.equal(spawnSync('tar', args).status, 0)
  t.equal((await readArchive(readFileSync(file))).meta.keys, 3)
})

t.test('foreign files are called foreign', async (t) => {
  const ours = unpack(await archiveOf(recordsOf('a')))
  const meta = JSON.parse(String(ours['meta.json']))
  const state = ours['state.bin'] ?? Buffer.alloc(0)
  const newer = Buffer.from(state)
  newer[7] = 2
  const consul = { Version: 1, ID: '2-45', Index: 45, Term: 2, Size: 4 }
  const withMeta = (change: object, bytes = state) =>
    pack({ 'meta.json': JSON.stringify({ ...meta, ...change }), 'state.bin': bytes })
  for (const [bytes, reason] of [
    [Buffer.alloc(0), /not compressed/],
    [Buffer.from('a text file'), /not compressed/],
    [pack({ 'meta.json': JSON.stringify(consul), 'state.bin': 'abcd' }), /looks like one of Consul/],
    [pack({ readme: 'x' }), /does not hold meta\.json, state\.bin, SHA256SUMS/],
    [withMeta({ FormatVersion: 2 }), /version 2, this program knows 1/],
    [withMeta({}, newer), /state\.bin has version 2/],
    [withMeta({ Size: 8 }, Buffer.from('whatever')), /another format/],
  ] as const) {
    await t.rejects(readArchive(bytes), { code: 'SNP_FOREIGN', message: reason })
  }
})

t.test('damage is called damage', async (t) => {
  const archive = await archiveOf(recordsOf('a', 'b'))
  const files = unpack(archive)
  const meta = JSON.parse(String(files['meta.json']))
  const state = files['state.bin'] ?? Buffer.alloc(0)
  const withState = (bytes: Buffer, change: object = {}) =>
    pack({ 'meta.json': JSON.stringify({ ...meta, Size: bytes.length, ...change }), 'state.bin': bytes })
  const reordered = unpack(await archiveOf(recordsOf('b', 'a')))['state.bin'] ?? Buffer.alloc(0)
  const link = Buffer.from(tarHeader('meta.json', 0, 0))
  link.write('2', 156)
  link.write('        ', 148)
  link.write(
    link
      .reduce((sum, byte) => sum + byte, 0)
      .toString(8)
      .padStart(6, '0'),
    148,
  )
  for (const [bytes, reason] of [
    [archive.subarray(0, archive.length - 20), /cut short/],
    [gzipSync(gunzipSync(archive).subarray(0, 700)), /cut short/],
    [gzipSync(Buffer.from('x'.repeat(2000))), /no tar/],
    [gzipSync(Buffer.concat([link, TAR_END])), /no regular file/],
    [pack({ ...files, SHA256SUMS: 'no sums' }), /checksums/],
    [pack({ a: '', b: '', c: '', d: '' }), /other files/],
    [withState(state, { Size: 7 }), /has \d+ of 7 bytes/],
    [withState(state, { Keys: 3 }), /2 of 3 keys/],
    [withState(state, { Index: -1 }), /no Index/],
    [withState(state, { Created: 7 }), /no Created/],
    [withState(state.subarray(0, -1)), /cut short/],
    [withState(state.subarray(0, 20)), /cut short/],
    [withState(reordered), /out of order/],
    [pack({ 'meta.json': '{', 'state.bin': '' }), /meta\.json cannot be read/],
  ] as const) {
    await t.rejects(readArchive(bytes), { code: 'SNP_DAMAGED', message: reason }, String(reason))
  }
})

t.test('no flipped bit changes what is read', async (t) => {
  const archive = await archiveOf(recordsOf('a', 'b', 'c'))
  const original = { meta: { ...META, keys: 3 }, records: recordsOf('a', 'b', 'c') }
  const whole = gunzipSync(archive)
  const files = unpack(archive)
  const size = (name: string) => files[name]?.length ?? 0
  await fc.assert(
    fc.asyncProperty(fc.nat(size('state.bin') - 1), fc.nat(7), async (at, bit) => {
      const bytes = Buffer.from(whole)
      const start = bytes.indexOf('CSTLKEY')
      bytes[start + at] = (bytes[start + at] ?? 0) ^ (1 << bit)
      await t.rejects(readArchive(gzipSync(bytes)), { name: 'ArchiveError' })
    }),
    { numRuns: 50 },
  )
  await fc.assert(
    fc.asyncProperty(fc.nat(archive.length - 1), fc.nat(7), async (at, bit) => {
      const bytes = Buffer.from(archive)
      bytes[at] = (bytes[at] ?? 0) ^ (1 << bit)
      // Some bits do not matter: the time in the header of gzip, what fills its last byte.
      const read = await readArchive(bytes).catch((error: unknown) => error)
      if (read instanceof ArchiveError) return
      const { meta, records } = read as Archive
      t.same({ meta, records: [...records] }, original)
    }),
    { numRuns: 200 },
  )
})

t.test('what is too large is refused before it fills the memory', async (t) => {
  const bomb = gzipSync(Buffer.alloc(ARCHIVE_BYTES_MAX + 1), { level: 1 })
  t.ok(bomb.length < 4 << 20)
  await t.rejects(readArchive(bomb), { code: 'SNP_TOO_LARGE' })
})
