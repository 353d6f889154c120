import t, { type Test } from 'tap'
import type { HardState, SnapshotMeta } from '../../../consensus/raft/types.ts'
import type { LogStore, StoredState } from '../../../consensus/storage/log-store.ts'
import { bytes, entriesOf } from '../raft/harness.ts'

/** How the suite gets at an implementation. */
export interface StoreUnderTest {
  /** A store on storage that holds nothing yet. */
  create(): Promise<LogStore>
  /** A second store on the storage of the first, which has been closed. */
  reopen(store: LogStore): Promise<LogStore>
  /** The same without closing the first: the process died. What was synced is there. */
  crash(store: LogStore): Promise<LogStore>
}

const CONFIGURATION = {
  voters: ['a', 'b', 'c'],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
}
const IDENTITY = { nodeId: 'a', clusterId: 'home' }

function meta(index: number, term = 1): SnapshotMeta {
  return { index, term, configuration: CONFIGURATION }
}

function hard(term: number, vote: string, commit: number): HardState {
  return { term, vote, commit }
}

async function records(store: LogStore): Promise<string[] | null> {
  const snapshot = store.readSnapshot()
  if (snapshot === null) return null
  const result: string[] = []
  for await (const record of snapshot.records) result.push(new TextDecoder().decode(record))
  return result
}

function shape(state: StoredState) {
  return state.entries.map(({ index, term }) => [index, term])
}

/**
 * What every LogStore must do. Run it from the test file of an implementation. Each case opens the storage again, once
 * after a close and once as after the death of the process.
 */
export function logStoreConformance(name: string, under: StoreUnderTest): void {
  for (const way of ['reopen', 'crash'] as const) {
    const again = async (store: LogStore): Promise<[LogStore, StoredState]> => {
      if (way === 'reopen') await store.close()
      const next = await under[way](store)
      return [next, await next.open()]
    }
    const founded = async (): Promise<LogStore> => {
      const store = await under.create()
      await store.open()
      await store.initialise(IDENTITY, meta(1), [bytes('first')], hard(1, '', 1))
      return store
    }
    const test = (sentence: string, run: (t: Test) => Promise<void>) =>
      t.test(`${name}, ${way}: ${sentence}`, run)

    test('storage that was never used holds nothing', async (t) => {
      const store = await under.create()
      t.same(await store.open(), {
        identity: null,
        pledge: null,
        hardState: hard(0, '', 0),
        snapshot: null,
        entries: [],
        logStart: { index: 0, term: 0 },
      })
      t.equal(store.readSnapshot(), null)
      const [next, state] = await again(store)
      t.equal(state.identity, null)
      await next.close()
    })

    test('identity, first snapshot and hard state come together', async (t) => {
      const [store, state] = await again(await founded())
      t.same(state.identity, IDENTITY)
      t.same(state.snapshot, meta(1))
      t.same(state.hardState, hard(1, '', 1))
      t.same(state.logStart, { index: 1, term: 1 })
      t.same(await records(store), ['first'])
      await store.close()
    })

    test('a pledge is kept until it is given up, and beside an identity', async (t) => {
      const pledge = { attempt: 'x', proposer: 'a', founders: ['a', 'b'] }
      const first = await under.create()
      await first.open()
      await first.setPledge(pledge)
      const [second, pledged] = await again(first)
      t.same(pledged.pledge, pledge)
      await second.initialise(IDENTITY, meta(1), [], hard(1, '', 1))
      const [third, founder] = await again(second)
      t.same(founder.pledge, pledge)
      await third.setPledge(null)
      const [fourth, state] = await again(third)
      t.equal(state.pledge, null)
      await fourth.close()
    })

    test('a second cluster replaces everything of the first', async (t) => {
      const first = await founded()
      await first.write({ hardState: hard(3, 'b', 2), entries: entriesOf([2, 3], 2), sync: true })
      const identity = { nodeId: 'a', clusterId: 'another' }
      await first.initialise(identity, meta(90, 4), [bytes('whole'), bytes('state')], hard(4, '', 90))
      const [store, state] = await again(first)
      t.same(state, {
        identity,
        pledge: null,
        hardState: hard(4, '', 90),
        snapshot: meta(90, 4),
        entries: [],
        logStart: { index: 90, term: 4 },
      })
      t.same(await records(store), ['whole', 'state'])
      await store.close()
    })

    test('term, vote and entries of one write come together', async (t) => {
      const first = await founded()
      await first.write({ hardState: hard(3, 'b', 1), entries: entriesOf([2, 3], 2), sync: true })
      const [store, state] = await again(first)
      t.same(state.hardState, hard(3, 'b', 1))
      t.same(state.entries, entriesOf([2, 3], 2))
      await store.close()
    })

    test('a configuration entry and its data survive', async (t) => {
      const first = await founded()
      const entry = { index: 2, term: 9, type: 'config', data: new Uint8Array([0, 255, 7]) } as const
      await first.write({ hardState: null, entries: [entry], sync: true })
      const [store, state] = await again(first)
      t.equal(state.entries[0]?.type, 'config')
      t.same([...(state.entries[0]?.data ?? [])], [0, 255, 7])
      t.same(state.hardState, hard(1, '', 1), 'a write without one keeps the hard state')
      await store.close()
    })

    test('B10: what a write replaced does not come back', async (t) => {
      const first = await founded()
      await first.write({ hardState: null, entries: entriesOf([1, 1, 1, 1, 1], 2), sync: true })
      await first.write({ hardState: hard(2, '', 1), entries: entriesOf([2], 4), sync: true })
      const [second, state] = await again(first)
      t.same(shape(state), [
        [2, 1],
        [3, 1],
        [4, 2],
      ])
      await second.write({ hardState: null, entries: entriesOf([2], 5), sync: true })
      const [third, longer] = await again(second)
      t.same(shape(longer), [
        [2, 1],
        [3, 1],
        [4, 2],
        [5, 2],
      ])
      await third.close()
    })

    test('a snapshot of its own takes the place of the entries up to where it compacts', async (t) => {
      const first = await founded()
      await first.write({ hardState: hard(1, '', 6), entries: entriesOf([1, 1, 1, 1, 1], 2), sync: true })
      await first.saveSnapshot(meta(5), [bytes('x'), bytes('y')], 3)
      const [second, state] = await again(first)
      t.same(state.snapshot, meta(5))
      t.same(state.logStart, { index: 3, term: 1 })
      t.same(shape(state), [
        [4, 1],
        [5, 1],
        [6, 1],
      ])
      t.same(await records(second), ['x', 'y'])
      await second.saveSnapshot(meta(6), [bytes('z')], 6)
      const [third, compacted] = await again(second)
      t.same(compacted.logStart, { index: 6, term: 1 })
      t.same(shape(compacted), [])
      t.same(await records(third), ['z'])
      await third.write({ hardState: null, entries: entriesOf([4], 7), sync: true })
      const [fourth, after] = await again(third)
      t.same(shape(after), [[7, 4]])
      await fourth.close()
    })

    test('a snapshot that compacts nothing keeps the whole log', async (t) => {
      const first = await founded()
      await first.write({ hardState: hard(1, '', 3), entries: entriesOf([1, 1], 2), sync: true })
      await first.saveSnapshot(meta(3), [bytes('x')], 1)
      const [store, state] = await again(first)
      t.same(state.snapshot, meta(3))
      t.same(state.logStart, { index: 1, term: 1 })
      t.equal(state.entries.length, 2)
      await store.close()
    })

    test('writes made while a snapshot is being saved are kept', async (t) => {
      const first = await founded()
      await first.write({ hardState: hard(1, '', 4), entries: entriesOf([1, 1, 1], 2), sync: true })
      const large = Array.from({ length: 40 }, (_, i) => new Uint8Array(100_000).fill(i))
      const saving = first.saveSnapshot(meta(4), large, 3)
      await first.write({ hardState: hard(2, 'c', 4), entries: entriesOf([2, 2], 5), sync: true })
      await first.write({ hardState: null, entries: entriesOf([3], 6), sync: true })
      await saving
      const [store, state] = await again(first)
      t.same(state.hardState, hard(2, 'c', 4))
      t.same(shape(state), [
        [4, 1],
        [5, 2],
        [6, 3],
      ])
      t.equal((await records(store))?.length, 40)
      await store.close()
    })

    test('a snapshot of the leader replaces log and hard state', async (t) => {
      const first = await founded()
      await first.write({ hardState: hard(1, '', 3), entries: entriesOf([1, 1, 1, 1], 2), sync: true })
      await first.installSnapshot(meta(20, 4), [bytes('theirs')], hard(4, 'b', 20))
      await first.write({ hardState: null, entries: entriesOf([4], 21), sync: true })
      const [store, state] = await again(first)
      t.same(state.snapshot, meta(20, 4))
      t.same(state.hardState, hard(4, 'b', 20))
      t.same(state.logStart, { index: 20, term: 4 })
      t.same(shape(state), [[21, 4]])
      t.same(await records(store), ['theirs'])
      t.same(state.identity, IDENTITY)
      await store.close()
    })

    test('who reads a snapshot reads it to its end, whatever is saved meanwhile', async (t) => {
      const store = await founded()
      await store.installSnapshot(meta(5), [bytes('1'), bytes('2'), bytes('3')], hard(1, '', 5))
      const snapshot = store.readSnapshot()
      t.same(snapshot?.meta, meta(5))
      await store.installSnapshot(meta(9), [bytes('new')], hard(1, '', 9))
      const read: string[] = []
      for await (const record of snapshot?.records ?? []) read.push(new TextDecoder().decode(record))
      t.same(read, ['1', '2', '3'])
      t.same(store.readSnapshot()?.meta, meta(9))
      const [next] = await again(store)
      t.same(await records(next), ['new'])
      await next.close()
    })

    test('a node that waits to be added has an identity and an empty log', async (t) => {
      const first = await under.create()
      await first.open()
      await first.initialise(IDENTITY, meta(0, 0), [bytes('empty')], hard(0, '', 0))
      const [store, state] = await again(first)
      t.same(state.identity, IDENTITY)
      t.equal(state.snapshot?.index, 0)
      t.same(state.logStart, { index: 0, term: 0 })
      await store.installSnapshot(meta(7), [bytes('x')], hard(1, '', 7))
      const [next, installed] = await again(store)
      t.same(installed.snapshot, meta(7))
      await next.close()
    })
  }
}
