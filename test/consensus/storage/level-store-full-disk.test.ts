import { join } from 'node:path'
import t, { type Test } from 'tap'
import { LevelStore } from '../../../consensus/storage/level-store.ts'
import { mountSmallDisk, type SmallDisk } from '../../small-disk.ts'
import { bytes, entriesOf } from '../raft/harness.ts'

const META = {
  index: 1,
  term: 1,
  configuration: { voters: ['a'], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false },
}
const HARD_STATE = { term: 1, vote: '', commit: 1 }

const probe = mountSmallDisk(1)
const skip = typeof probe === 'string' ? probe : false
if (typeof probe !== 'string') probe.remove()

/** A store with entries 2 to 4 on a disk of its own. */
async function founded(t: Test): Promise<{ disk: SmallDisk; store: LevelStore; directory: string }> {
  const disk = mountSmallDisk(16)
  if (typeof disk === 'string') throw new Error(disk)
  const directory = join(disk.path, 'raft')
  const store = new LevelStore(directory)
  t.teardown(async () => {
    await store.close()
    disk.remove()
  })
  await store.open()
  await store.initialise({ nodeId: 'a', clusterId: 'home' }, META, [bytes('first')], HARD_STATE)
  await store.write({ hardState: null, entries: entriesOf([1, 1, 1], 2), sync: true })
  return { disk, store, directory }
}

function large(index: number) {
  return { index, term: 1, type: 'normal', data: new Uint8Array(300_000).fill(index) } as const
}

/** Writes large entries from 5 on until the disk is full. Answers the first that was not written. */
async function writeUntilFull(t: Test, store: LevelStore): Promise<number> {
  for (let index = 5; ; index++) {
    try {
      await store.write({ hardState: null, entries: [large(index)], sync: true })
    } catch (error) {
      t.match(error, { code: 'CST_DISK_FULL', message: /disk .* is full; nothing stored is lost/ })
      return index
    }
  }
}

t.test(
  'a write that finds no room fails by name; after recovery it is repeated and nothing is lost',
  { skip },
  async (t) => {
    const { disk, store, directory } = await founded(t)
    disk.fill()
    const failed = await writeUntilFull(t, store)
    const write = { hardState: null, entries: [large(failed)], sync: true }
    await t.rejects(store.write(write), { code: 'CST_STORAGE_FAILED' }, 'nothing may follow a torn record')
    await t.rejects(store.recover(), { code: 'CST_DISK_FULL' })
    await t.rejects(store.recover(), { code: 'CST_DISK_FULL' })
    disk.free()
    await store.recover()
    await store.write(write)
    await store.write({
      hardState: { term: 3, vote: 'a', commit: 4 },
      entries: entriesOf([3], failed + 1),
      sync: true,
    })
    await store.close()
    const next = new LevelStore(directory)
    const state = await next.open()
    await next.close()
    t.same(
      state.entries.map(({ index }) => index),
      Array.from({ length: failed }, (_, i) => i + 2),
    )
    t.same(state.entries.at(-2), large(failed))
    t.same(state.hardState, { term: 3, vote: 'a', commit: 4 })
  },
)

t.test('a snapshot that finds no room leaves the one before it', { skip }, async (t) => {
  const { disk, store } = await founded(t)
  disk.fill()
  const records = Array.from({ length: 20 }, () => new Uint8Array(1 << 20).fill(7))
  await t.rejects(store.saveSnapshot({ ...META, index: 4 }, records, 3), { code: 'CST_DISK_FULL' })
  disk.free()
  await store.recover()
  t.same(store.readSnapshot()?.meta, META)
  await store.saveSnapshot({ ...META, index: 4 }, [bytes('second')], 3)
  t.equal(store.readSnapshot()?.meta.index, 4)
})

t.test(
  'a disk that is full, or read-only, when the node starts is not called damage',
  { skip },
  async (t) => {
    const { disk, store } = await founded(t)
    await writeUntilFull(t, store)
    await store.close()
    disk.fill()
    await t.rejects(store.open(), { code: 'CST_DISK_FULL', message: /free some space/ })
    await store.close()
    disk.free()
    disk.setWritable(false)
    await t.rejects(store.open(), { code: 'CST_STORAGE_FAILED', message: /Read-only file system/ })
    await store.close()
    disk.setWritable(true)
  },
)
