import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import t, { type Test } from 'tap'
import { readArchive, writeArchive } from '../../../agent/snapshot/archive.ts'
import type { SavedArchive } from '../../../agent/snapshot/backups.ts'
import { parseSnapshotFileName, snapshotFileName } from '../../../agent/snapshot/file-names.ts'
import { BackupMetrics } from '../../../agent/snapshot/metrics.ts'
import { SnapshotSchedule } from '../../../agent/snapshot/schedule.ts'
import { noLeader } from '../../../consensus/errors.ts'
import { folder, META, recordsOf } from './fixtures.ts'

const HOUR_MS = 3_600_000

/** A schedule of one hour that keeps two files, over a store of its own and a clock that stands still. */
async function scheduled(t: Test, given: { directory?: string; keep?: number } = {}) {
  const directory = given.directory ?? join(await folder(t), 'sub', 'snapshots')
  const clock = {
    ms: 0,
    startWall: Date.UTC(2026, 10, 21),
    now: () => clock.ms,
    wall: () => clock.startWall + clock.ms,
  }
  const registry = new Registry()
  const lines: string[] = []
  const store = {
    index: 45,
    keys: ['a'],
    failure: null as Error | null,
    breakAfter: Number.POSITIVE_INFINITY,
    saves: 0,
  }
  const save = async (): Promise<SavedArchive> => {
    if (store.failure !== null) throw store.failure
    store.saves++
    const records = recordsOf(...store.keys)
    const { index } = store
    const meta = { ...META, index, modifyIndex: index, created: new Date(clock.wall()).toISOString() }
    return {
      meta: { ...meta, keys: records.length },
      open: () => (store.breakAfter > 0 ? writeArchive(meta, records) : broken()),
      knownLeader: true,
      lastContactMs: 0,
    }
  }
  const options = { node: 'n1', everyMs: HOUR_MS, keep: given.keep ?? 2, directory }
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) })
  const metrics = new BackupMetrics(registry)
  const create = () => new SnapshotSchedule(options, { backups: { save }, log, metrics, clock })
  const files = async () => (await readdir(directory).catch(() => [])).toSorted()
  const metric = async (name: string) => (await registry.getSingleMetric(name)?.get())?.values ?? []
  return { schedule: create(), create, clock, store, files, lines, metric, directory }
}

/** A disk that becomes full after the first bytes. */
function broken(): Readable {
  async function* bytes() {
    yield Buffer.alloc(100)
    throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' })
  }
  return Readable.from(bytes(), { objectMode: false })
}

t.test('saves at once and then every hour, if a key changed, and keeps the newest', async (t) => {
  const { schedule, clock, store, files, directory, metric } = await scheduled(t)
  await schedule.check()
  t.same(await files(), ['constellation-n1-20261121T000000Z-45.tgz'])
  const path = join(directory, (await files())[0] ?? '')
  t.equal((await stat(path)).mode & 0o777, 0o600)
  t.equal((await stat(directory)).mode & 0o777, 0o700)
  t.equal((await readArchive(await readFile(path))).meta.keys, 1)
  await schedule.check()
  clock.ms += HOUR_MS - 1
  await schedule.check()
  t.equal(store.saves, 1, 'not before its time')
  clock.ms += 1
  await schedule.check()
  t.equal(store.saves, 2)
  t.equal((await files()).length, 1, 'nothing changed, no file')
  t.match(await metric('constellation_backup_last_success_timestamp_seconds'), [
    { value: clock.wall() / 1000 },
  ])
  for (const index of [50, 60, 70]) {
    clock.ms += HOUR_MS
    store.index = index
    await schedule.check()
  }
  t.same(await files(), [
    'constellation-n1-20261121T030000Z-60.tgz',
    'constellation-n1-20261121T040000Z-70.tgz',
  ])
  const runs = await metric('constellation_backup_runs_total')
  t.same(
    runs.map(({ labels, value }) => [labels.result, value]),
    [
      ['saved', 4],
      ['unchanged', 1],
    ],
  )
  t.match(await metric('constellation_backup_bytes'), [
    { value: (await stat(join(directory, 'constellation-n1-20261121T040000Z-70.tgz'))).size },
  ])
})

t.test('a deleted key counts as a change', async (t) => {
  const { schedule, clock, store, files } = await scheduled(t)
  store.keys = ['a', 'b']
  await schedule.check()
  clock.ms += HOUR_MS
  store.keys = ['a']
  await schedule.check()
  t.equal((await files()).length, 2)
})

t.test('removes only what it made', async (t) => {
  const { schedule, create, clock, store, files, lines, directory } = await scheduled(t, { keep: 1 })
  await mkdir(directory, { recursive: true })
  const others = [
    'constellation-n1-20201121T000000Z-1.tgz.bak',
    'constellation-n1-old-20201121T000000Z-1.tgz',
    'constellation-n10-20201121T000000Z-1.tgz',
    'constellation-n2-20201121T000000Z-1.tgz',
    'keys.tgz',
    'keys.tgz.tmp',
    'my-constellation-n1-20201121T000000Z-1.tgz',
  ]
  for (const name of others) await writeFile(join(directory, name), '')
  await mkdir(join(directory, 'constellation-n1-20201121T000000Z-2.tgz'))
  await writeFile(join(directory, 'constellation-n1-20201121T000000Z-1.tgz'), 'damaged')
  await writeFile(join(directory, 'constellation-n1-20201121T000000Z-3.tgz.tmp'), 'of a crash')
  await schedule.check()
  t.notMatch(lines.join(''), /could not be saved/)
  const expected = [...others, 'constellation-n1-20201121T000000Z-2.tgz']
  t.same(await files(), [...expected, 'constellation-n1-20261121T000000Z-45.tgz'].toSorted())
  // Its clock is set back: the file just made looks older than the one before.
  clock.startWall -= 24 * HOUR_MS
  store.index = 46
  const again = create()
  clock.ms += HOUR_MS
  await again.check()
  clock.ms += HOUR_MS
  await again.check()
  t.ok(
    (await files()).some((name) => name.endsWith('-46.tgz')),
    'the file just made stays',
  )
})

t.test('a restart neither repeats what is there nor puts the next one off', async (t) => {
  const { schedule, create, clock, store, files } = await scheduled(t)
  await schedule.check()
  clock.ms += HOUR_MS / 2
  const restarted = create()
  await restarted.check()
  t.equal(store.saves, 1)
  clock.ms += HOUR_MS / 2
  await restarted.check()
  t.equal(store.saves, 2)
  t.equal((await files()).length, 1, 'it knows from the file that nothing changed')
})

t.test('a failure is counted, leaves no file, and the next time goes on', async (t) => {
  const { schedule, clock, store, files, lines, metric } = await scheduled(t)
  store.failure = noLeader()
  await schedule.check()
  store.failure = null
  store.breakAfter = 0
  await schedule.check()
  t.equal(store.saves, 0, 'not at once')
  clock.ms += 60_000
  await schedule.check()
  t.equal(store.saves, 1)
  t.same(await files(), [], 'a full disk leaves nothing')
  t.equal(lines.filter((line) => /could not be saved/.test(line)).length, 2)
  t.match(lines[1], /no space left/)
  store.breakAfter = Number.POSITIVE_INFINITY
  clock.ms += 60_000
  await schedule.check()
  t.equal((await files()).length, 1)
  const runs = await metric('constellation_backup_runs_total')
  t.same(
    runs.map(({ labels, value }) => [labels.result, value]),
    [
      ['failed', 2],
      ['saved', 1],
    ],
  )
})

t.test('a folder that cannot be made is a failure like any other', async (t) => {
  const base = await folder(t)
  await writeFile(join(base, 'file'), '')
  const { schedule, lines } = await scheduled(t, { directory: join(base, 'file', 'snapshots') })
  await schedule.check()
  t.match(lines[0], /could not be saved/)
})

t.test('stop waits for the file under way and begins no other', async (t) => {
  const { schedule, store, files } = await scheduled(t)
  await schedule.start()
  const saving = schedule.check()
  await schedule.stop()
  await saving
  await schedule.check()
  t.ok(store.saves <= 1)
  t.notOk((await files()).some((name) => name.endsWith('.tmp')))
})

t.test('names of files', (t) => {
  const name = snapshotFileName('n-1.x', Date.UTC(2026, 10, 21, 3, 41, 7, 999), 45)
  t.equal(name, 'constellation-n-1.x-20261121T034107Z-45.tgz')
  t.same(parseSnapshotFileName('n-1.x', name), {
    name,
    createdMs: Date.UTC(2026, 10, 21, 3, 41, 7),
    index: 45,
  })
  for (const other of [name.replace('1121', '1341'), `${name}x`, `x${name}`, name.replace('Z', '')])
    t.equal(parseSnapshotFileName('n-1.x', other), null, other)
  t.equal(parseSnapshotFileName('n-1', name), null)
  t.end()
})
