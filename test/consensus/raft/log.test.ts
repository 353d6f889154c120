import fc from 'fast-check'
import t from 'tap'
import { RaftLog } from '../../../consensus/raft/log.ts'
import type { Entry } from '../../../consensus/raft/types.ts'
import { entriesOf } from './harness.ts'

function logOf(terms: readonly number[], committed = 0): RaftLog {
  return new RaftLog({ index: 0, term: 0 }, entriesOf(terms), committed)
}

function terms(log: RaftLog): (number | undefined)[] {
  return Array.from({ length: log.lastIndex - log.snapshotIndex }, (_, i) => log.termAt(log.firstIndex + i))
}

/** Terms that never decrease. */
const history = fc.array(fc.nat(2), { maxLength: 8 }).map((steps) => {
  let term = 1
  return steps.map((more) => {
    term += more
    return term
  })
})

t.test('a log is up to date by term first, then by length', async (t) => {
  const log = logOf([1, 2, 2])
  t.equal(log.isUpToDate(1, 3), true)
  t.equal(log.isUpToDate(3, 2), true)
  t.equal(log.isUpToDate(4, 2), true)
  t.equal(log.isUpToDate(2, 2), false)
  t.equal(log.isUpToDate(9, 1), false)
})

t.test(
  'tryAppend makes the log agree with the sender up to what was sent, and keeps what agreed before',
  async (t) => {
    fc.assert(
      fc.property(history, history, fc.nat(8), fc.nat(8), (ours, theirs, from, count) => {
        const log = logOf(ours)
        const start = Math.min(from, theirs.length)
        const sent: Entry[] = entriesOf(theirs).slice(start, start + count)
        const logTerm = start === 0 ? 0 : (theirs[start - 1] ?? 0)
        const matched = log.tryAppend(start, logTerm, sent)
        const met = start === 0 || ours[start - 1] === logTerm
        if (!met) return matched === undefined && terms(log).join() === ours.join()
        if (matched !== start + sent.length) return false
        const agreed = sent.every((entry) => log.termAt(entry.index) === entry.term)
        const conflict = sent.findIndex((entry) => ours[entry.index - 1] !== entry.term)
        const kept = conflict < 0 ? ours.length : start + conflict
        const expected =
          conflict < 0 ? ours : [...ours.slice(0, kept), ...sent.slice(conflict).map((e) => e.term)]
        return agreed && terms(log).join() === expected.join()
      }),
      { numRuns: 1000 },
    )
    t.pass()
  },
)

t.test('findConflict never skips an index where the logs could agree', async (t) => {
  fc.assert(
    fc.property(history, fc.nat(10), fc.nat(10), (ours, index, term) => {
      const log = logOf(ours)
      const found = log.findConflict(index, term)
      for (let i = Math.min(index, log.lastIndex); i > found.index; i--) {
        // Terms only grow: what lies behind has a larger term than the sender had at `index`, so it cannot match.
        if ((log.termAt(i) ?? 0) <= term) return false
      }
      return found.index <= index && found.term === log.termAt(found.index)
    }),
    { numRuns: 1000 },
  )
  t.pass()
})

t.test('a committed entry is never cut off', async (t) => {
  const log = logOf([1, 1, 1], 2)
  t.throws(() => log.tryAppend(1, 1, entriesOf([2], 2)), /never truncated/)
  t.equal(log.tryAppend(2, 1, entriesOf([2], 3)), 3)
})

t.test('a truncation takes back what was handed to storage and begins a new epoch', async (t) => {
  const log = logOf([1])
  log.append(entriesOf([1, 1], 2))
  t.equal(log.takeUnstable().length, 2)
  log.stableIndex = 3
  log.tryAppend(1, 1, entriesOf([2], 2))
  t.equal(log.stableIndex, 1)
  t.equal(log.epoch, 1)
  t.same(
    log.takeUnstable().map(({ index, term }) => [index, term]),
    [[2, 2]],
  )
  t.equal(log.hasUnstable(), false)
})

t.test('only what is committed and durable is handed out, in portions', async (t) => {
  const log = logOf([1, 1, 1, 1])
  log.stableIndex = 3
  log.commitTo(4)
  t.equal(log.takeCommitted(4).length, 1, 'three bytes each')
  t.equal(log.takeCommitted(100).length, 2)
  t.equal(log.hasCommitted(), false)
  t.throws(() => log.applied(4), /moves forward/)
  log.applied(3)
  log.stableIndex = 4
  t.equal(log.takeCommitted(100)[0]?.index, 4)
})

t.test('compaction keeps index and term of its end', async (t) => {
  const log = logOf([1, 2, 3], 3)
  log.takeCommitted(100)
  log.applied(2)
  t.throws(() => log.compact(3), /only applied/)
  log.compact(2)
  t.same([log.firstIndex, log.lastIndex, log.termAt(2), log.termAt(1)], [3, 3, 2, undefined])
  t.equal(log.matches(2, 2), true)
  t.throws(() => log.slice(2, 3, 100), /compacted/)
})

t.test('a snapshot replaces the log and never goes back', async (t) => {
  const log = logOf([1, 1, 1], 2)
  const configuration = {
    voters: ['a'],
    votersOutgoing: [],
    learners: [],
    learnersNext: [],
    autoLeave: false,
  }
  t.throws(() => log.restore({ index: 2, term: 1, configuration }), /behind the commit/)
  log.restore({ index: 9, term: 4, configuration })
  t.same(
    [log.lastIndex, log.lastTerm, log.committedIndex, log.appliedIndex, log.stableIndex, log.epoch],
    [9, 4, 9, 9, 9, 1],
  )
})

t.test('a log with a gap or a commit beyond its end is refused', async (t) => {
  t.throws(() => new RaftLog({ index: 0, term: 0 }, entriesOf([1], 2), 0), /contiguous/)
  t.throws(() => logOf([1], 2), /within the log/)
})

t.test(
  'the bytes are those of the entries in memory, whatever is added, cut off, forgotten or replaced',
  async (t) => {
    const data = (log: RaftLog) => {
      const entries = Array.from({ length: log.size }, (_, i) => log.entryAt(log.firstIndex + i))
      return entries.reduce((sum, entry) => sum + (entry?.data.length ?? Number.NaN), 0)
    }
    const log = logOf([1, 1, 1, 1], 2)
    const agrees = (sentence: string, size: number) =>
      t.same([log.size, log.bytes], [size, data(log)], sentence)
    agrees('from storage', 4)
    log.append([{ index: 5, term: 2, type: 'normal', data: new Uint8Array(1000) }])
    agrees('added', 5)
    t.ok(log.bytes > 1000)
    log.tryAppend(3, 1, entriesOf([3], 4))
    agrees('cut off', 4)
    log.takeCommitted(1000)
    log.applied(2)
    log.compact(2)
    agrees('forgotten', 2)
    log.restore({
      index: 90,
      term: 4,
      configuration: { voters: [], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false },
    })
    agrees('replaced', 0)
  },
)
