import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ClassicLevel } from 'classic-level'
import t from 'tap'
import { LevelStore } from '../../../consensus/storage/level-store.ts'
import type { LogStore } from '../../../consensus/storage/log-store.ts'
import { bytes, entriesOf } from '../raft/harness.ts'
import { logStoreConformance } from './conformance.ts'

const root = await mkdtemp(join(tmpdir(), 'level-store-'))
const directories = new Map<LogStore, string>()
const open: LogStore[] = []
t.teardown(async () => {
  await Promise.all(open.map((store) => store.close()))
  await rm(root, { recursive: true, force: true })
})

function storeAt(directory: string): LogStore {
  const store = new LevelStore(directory)
  directories.set(store, directory)
  open.push(store)
  return store
}

function fresh(): string {
  return join(root, `${directories.size}`)
}

function directoryOf(store: LogStore): string {
  return directories.get(store) ?? ''
}

/** The files as they are at this moment, as a dead process would leave them. */
async function copyOf(store: LogStore): Promise<string> {
  const directory = fresh()
  await mkdir(directory)
  await cp(directoryOf(store), directory, { recursive: true, filter: (path) => !path.endsWith('LOCK') })
  return directory
}

logStoreConformance('LevelStore', {
  create: async () => storeAt(fresh()),
  reopen: async (store) => storeAt(directoryOf(store)),
  crash: async (store) => storeAt(await copyOf(store)),
})

const META = {
  index: 1,
  term: 1,
  configuration: { voters: ['a'], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false },
}

/** A closed store with entries 2 to 5, whose database `damage` has changed. */
async function damaged(
  damage: (db: ClassicLevel<Uint8Array, Uint8Array>) => Promise<void>,
): Promise<LogStore> {
  const store = storeAt(fresh())
  await store.open()
  const hardState = { term: 1, vote: '', commit: 1 }
  await store.initialise({ nodeId: 'a', clusterId: 'home' }, META, [bytes('one'), bytes('two')], hardState)
  await store.write({ hardState: null, entries: entriesOf([1, 1, 1, 1], 2), sync: true })
  await store.close()
  const db = new ClassicLevel<Uint8Array, Uint8Array>(directoryOf(store), {
    keyEncoding: 'view',
    valueEncoding: 'view',
  })
  await damage(db)
  await db.close()
  return storeAt(directoryOf(store))
}

function logKey(index: number): Uint8Array {
  const key = new Uint8Array(9)
  key[0] = 'L'.charCodeAt(0)
  new DataView(key.buffer).setBigUint64(1, BigInt(index))
  return key
}

t.test('B23: a damaged entry in the middle of the log is refused, not cut off', async (t) => {
  const store = await damaged(async (db) => {
    const value = Uint8Array.from((await db.get(logKey(3))) ?? [])
    value[value.length - 1] = (value.at(-1) ?? 0) ^ 1
    await db.put(logKey(3), value)
  })
  await t.rejects(store.open(), { code: 'CST_LOG_DAMAGED', message: /entry 3.*identity\.key/s })
})

t.test('B23: a missing entry is refused, in the middle and at the end', async (t) => {
  const middle = await damaged((db) => db.del(logKey(3)))
  await t.rejects(middle.open(), { code: 'CST_LOG_DAMAGED', message: /entry 3 is missing/ })
  const end = await damaged((db) => db.del(logKey(5)))
  await t.rejects(end.open(), { code: 'CST_LOG_DAMAGED', message: /entries 5 to 5 are missing/ })
})

t.test('an unreadable hard state is refused', async (t) => {
  const store = await damaged((db) => db.put(bytes('hardState'), bytes('{"term":')))
  await t.rejects(store.open(), { code: 'CST_LOG_DAMAGED', message: /hardState/ })
})

t.test('a format this program does not know is refused', async (t) => {
  const store = await damaged((db) => db.put(bytes('format'), bytes('99')))
  await t.rejects(store.open(), { code: 'CST_LOG_DAMAGED', message: /format 99/ })
})

t.test('a snapshot that was damaged or lost a record is not read to its end', async (t) => {
  const first = async (db: ClassicLevel<Uint8Array, Uint8Array>) => {
    for await (const key of db.keys({ gte: bytes('S'), lt: bytes('T') })) return key
    throw new Error('no snapshot record')
  }
  const read = async (store: LogStore) => {
    await store.open()
    for await (const _ of store.readSnapshot()?.records ?? []) {
      // Only the end matters.
    }
  }
  const changed = await damaged(async (db) => db.put(await first(db), bytes('onf')))
  await t.rejects(read(changed), { code: 'CST_LOG_DAMAGED', message: /wrong checksum/ })
  const lost = await damaged(async (db) => db.del(await first(db)))
  await t.rejects(read(lost), { code: 'CST_LOG_DAMAGED', message: /wrong checksum/ })
})

t.test('B12: a crash while a snapshot is written leaves the one before it', async (t) => {
  const store = storeAt(fresh())
  await store.open()
  const hardState = { term: 1, vote: '', commit: 1 }
  await store.initialise({ nodeId: 'a', clusterId: 'home' }, META, [bytes('first')], hardState)
  await store.write({ hardState: null, entries: entriesOf([1, 1], 2), sync: true })
  let copy = ''
  function* records() {
    yield new Uint8Array(2 << 20)
    yield new Uint8Array(2 << 20)
    throw new Error('the power fails')
  }
  await t.rejects(
    store.installSnapshot({ ...META, index: 9 }, records(), { term: 1, vote: '', commit: 9 }),
    /the power fails/,
  )
  copy = await copyOf(store)
  const next = storeAt(copy)
  const state = await next.open()
  t.same(state.snapshot, META)
  t.equal(state.entries.length, 2)
  t.same(state.hardState, hardState)
  const left: Uint8Array[] = []
  await next.close()
  const db = new ClassicLevel<Uint8Array, Uint8Array>(copy, { keyEncoding: 'view', valueEncoding: 'view' })
  for await (const key of db.keys({ gte: bytes('S'), lt: bytes('T') })) left.push(key)
  await db.close()
  t.equal(left.length, 1, 'and nothing of the unfinished one')
})

t.test('two processes cannot use one directory', async (t) => {
  const first = storeAt(fresh())
  await first.open()
  const second = storeAt(directoryOf(first))
  await t.rejects(second.open(), { code: 'CST_STORAGE_FAILED', message: /in use by another process/ })
})

t.test('after a failed write every further one is refused', async (t) => {
  const store = storeAt(fresh())
  await store.open()
  const hardState = { term: 1, vote: '', commit: 1 }
  await store.initialise({ nodeId: 'a', clusterId: 'home' }, META, [], hardState)
  await store.close()
  const write = { hardState, entries: [], sync: true }
  await t.rejects(store.write(write), { code: 'CST_STORAGE_FAILED' })
  await t.rejects(store.write(write), { code: 'CST_STORAGE_FAILED', message: 'storage has failed' })
})
