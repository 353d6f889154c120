import t from 'tap'
import { ConsensusError } from '../../../consensus/errors.ts'
import { MemoryStore } from '../../../consensus/storage/memory-store.ts'
import { PatientStore } from '../../../consensus/storage/patient-store.ts'
import { eventually } from '../cluster.ts'
import { FaultyStore } from '../faulty-store.ts'
import { bytes, entriesOf } from '../raft/harness.ts'
import { logStoreConformance } from './conformance.ts'

const META = {
  index: 9,
  term: 1,
  configuration: { voters: ['a'], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false },
}
const HARD_STATE = { term: 1, vote: '', commit: 9 }
const silent = { full: () => {}, recovered: () => {} }

function patient(disk: MemoryStore, retryMs = 1) {
  const faulty = new FaultyStore(disk)
  const told: string[] = []
  const store = new PatientStore({ retryMs }, faulty, {
    full: ({ code }) => told.push(code),
    recovered: () => told.push('recovered'),
  })
  return { faulty, store, told }
}

const beneath = new Map<PatientStore, MemoryStore>()
const over = async (disk: MemoryStore) => {
  const store = new PatientStore({ retryMs: 1 }, disk, silent)
  beneath.set(store, disk)
  return store
}
const same = (store: object) => over(beneath.get(store as PatientStore) ?? new MemoryStore())
logStoreConformance('PatientStore', {
  create: () => over(new MemoryStore()),
  reopen: same,
  crash: same,
})

t.test('writes wait for room and are then made, in order', async (t) => {
  const { faulty, store, told } = patient(new MemoryStore())
  faulty.fill()
  const write = store.write({ hardState: HARD_STATE, entries: entriesOf([1, 1], 1), sync: true })
  const pledge = store.setPledge({ attempt: 'x', proposer: 'a', founders: ['a'] })
  await eventually('the disk is found full', () => told.length > 0)
  t.equal(store.full?.code, 'CST_DISK_FULL')
  t.same((await faulty.disk.open()).entries, [], 'nothing is written')
  faulty.free()
  await Promise.all([write, pledge])
  t.same(told, ['CST_DISK_FULL', 'recovered'], 'told once')
  t.equal(store.full, null)
  const state = await faulty.disk.open()
  t.equal(state.entries.length, 2)
  t.equal(state.pledge?.attempt, 'x')
})

t.test('a snapshot that is installed in two tries holds every record', async (t) => {
  class HalfFull extends MemoryStore {
    tries = 0
    override async installSnapshot(...args: Parameters<MemoryStore['installSnapshot']>): Promise<void> {
      this.tries++
      if (this.tries > 1) return super.installSnapshot(...args)
      const records = args[1][Symbol.iterator]()
      records.next()
      records.next()
      throw new ConsensusError('CST_DISK_FULL', 'the disk is full')
    }
  }
  const disk = new HalfFull()
  const store = new PatientStore({ retryMs: 1 }, disk, silent)
  function* once() {
    yield bytes('1')
    yield bytes('2')
    yield bytes('3')
  }
  await store.installSnapshot(META, once(), HARD_STATE)
  const records: string[] = []
  for await (const record of store.readSnapshot()?.records ?? [])
    records.push(new TextDecoder().decode(record))
  t.same(records, ['1', '2', '3'])
  t.equal(disk.tries, 2)
})

t.test('a snapshot of its own is given up, and the store works when there is room', async (t) => {
  const { faulty, store } = patient(new MemoryStore())
  faulty.fill()
  await t.rejects(store.saveSnapshot(META, [bytes('1')], 0), { code: 'CST_DISK_FULL' })
  faulty.free()
  await store.write({ hardState: HARD_STATE, entries: [], sync: true })
  await store.saveSnapshot(META, [bytes('1')], 0)
  t.same((await faulty.disk.open()).snapshot, META)
})

t.test('any other failure is not repeated', async (t) => {
  const { faulty, store, told } = patient(new MemoryStore())
  faulty.fail(new ConsensusError('CST_STORAGE_FAILED', 'the sync failed'))
  await t.rejects(store.write({ hardState: HARD_STATE, entries: [], sync: true }), {
    code: 'CST_STORAGE_FAILED',
  })
  t.same(told, [])
})

t.test('closing ends the wait', async (t) => {
  const { faulty, store, told } = patient(new MemoryStore(), 60_000)
  faulty.fill()
  const write = store.write({ hardState: HARD_STATE, entries: [], sync: true })
  const ended = t.rejects(write, { code: 'CST_DISK_FULL' })
  await eventually('the disk is found full', () => told.length > 0)
  await store.close()
  await ended
})
