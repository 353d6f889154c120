import t from 'tap'
import { systemClock } from '../../consensus/clock.ts'
import { LogWriter } from '../../consensus/log-writer.ts'
import type { Entry, HardState, Ready } from '../../consensus/raft/types.ts'
import type { LogWrite } from '../../consensus/storage/log-store.ts'
import { MemoryStore } from '../../consensus/storage/memory-store.ts'
import { entriesOf } from './raft/harness.ts'

/** A store that remembers how it was written to. */
class RecordingStore extends MemoryStore {
  readonly writes: LogWrite[] = []

  override async write(write: LogWrite): Promise<void> {
    this.writes.push(write)
    await super.write(write)
  }
}

function ready(hardState: HardState | null, entries: readonly Entry[], mustSync: boolean): Ready {
  return {
    hardState,
    mustSync,
    entries,
    snapshot: null,
    messages: [],
    messagesAfterPersist: [],
    committed: [],
    reads: [],
    token: { epoch: 0, lastIndex: 0, snapshotIndex: 0 },
  }
}

function writer() {
  const store = new RecordingStore()
  const made = new LogWriter({ store, clock: systemClock, metrics: null, snapshotSaved: async () => {} })
  return { store, writer: made }
}

function hard(term: number, vote: string, commit: number): HardState {
  return { term, vote, commit }
}

t.test('B22: entries, a term and a vote are written with a sync', async (t) => {
  const { store, writer: w } = writer()
  w.add(ready(hard(1, 'a', 0), [], true), null)
  await w.writeNext()
  w.add(ready(null, entriesOf([1]), true), null)
  await w.writeNext()
  t.same(
    store.writes.map(({ sync }) => sync),
    [true, true],
  )
})

t.test('a commit index costs no write; the next one takes it along, and so does the end', async (t) => {
  const { store, writer: w } = writer()
  w.add(ready(hard(1, 'a', 5), [], false), null)
  t.equal((await w.writeNext()).length, 1)
  t.same(store.writes, [])
  w.add(ready(null, entriesOf([1]), true), null)
  await w.writeNext()
  t.same(store.writes[0]?.hardState, hard(1, 'a', 5))
  w.add(ready(hard(1, 'a', 6), [], false), null)
  await w.writeNext()
  await w.finish()
  t.match(store.writes[1], { hardState: hard(1, 'a', 6), sync: true })
})

t.test(
  'what waited together is one write; of entries that replace others only the last remain',
  async (t) => {
    const { store, writer: w } = writer()
    w.add(ready(hard(1, 'a', 0), entriesOf([1, 1, 1]), true), null)
    w.add(ready(hard(2, 'b', 1), entriesOf([2], 2), true), null)
    t.equal((await w.writeNext()).length, 2)
    t.equal(store.writes.length, 1)
    t.same(store.writes[0]?.hardState, hard(2, 'b', 1))
    t.same(
      store.writes[0]?.entries.map(({ index, term }) => [index, term]),
      [
        [1, 1],
        [2, 2],
      ],
    )
  },
)
