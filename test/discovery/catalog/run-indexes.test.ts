import t from 'tap'
import { COUNTED, isOfRun, runIndexes } from '../../../discovery/catalog/run-indexes.ts'

const WALL_MS = Date.UTC(2026, 5, 1)

t.test('a later run begins behind all that an earlier one gave', async (t) => {
  const early = runIndexes(WALL_MS, 0.999)
  const late = runIndexes(WALL_MS + 60_000, 0)
  t.ok(early.first + 50_000 * early.step < late.first)
  t.ok(Number.isSafeInteger(runIndexes(Date.UTC(2200), 0.999).first + 1e9 * late.step))
})

t.test('an index of another run is told from those of this one', async (t) => {
  const run = runIndexes(WALL_MS, 0.25)
  t.equal(isOfRun(run, run.first), true)
  t.equal(isOfRun(run, run.first + 7 * run.step), true)
  t.equal(isOfRun(run, run.first - run.step), false, 'before it began')
  const other = runIndexes(WALL_MS, 0.5)
  t.equal(isOfRun(run, other.first + 7 * other.step), false, 'of an agent that started at the same moment')
  t.equal(isOfRun(COUNTED, 5), true)
})

t.test('with a clock that is far behind they are positive', async (t) => {
  t.ok(runIndexes(0, 0.5).first > 0)
})
