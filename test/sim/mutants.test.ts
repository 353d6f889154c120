import { access } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { judgeAll, mutate, mutatedFiles, StaleMutantError } from './mutant-tree.ts'
import { mutants, quickMutants } from './mutants/all.ts'

const ROOT = join(import.meta.dirname, '../..')
/** Copies under way at a time. */
const AT_ONCE = 2

// Copies of the sources are started one after the other: on a busy machine that takes its time.
t.setTimeout(400_000)

t.test('every bug put into a copy of the sources is found', async (t) => {
  t.setTimeout(380_000)
  let judged = 0
  await judgeAll(quickMutants, AT_ONCE, ({ mutant, found, how, output }) => {
    judged++
    const { name, catalogue, sentence, foundBy } = mutant
    t.ok(found, `${name} ${catalogue}: ${sentence}: ${how.slice(0, 160)}`, {
      output: output.slice(-2000),
      foundBy,
    })
    if (!('test' in foundBy)) t.match(output, `--mutant ${name}`, 'and it says how to replay it')
  })
  t.equal(judged, quickMutants.length)
})

t.test('no mutant is stale, and what must find it exists', async (t) => {
  for (const mutant of mutants) {
    const { name, edits, foundBy } = mutant
    await t.resolves(mutatedFiles(mutant), name)
    for (const { from, to } of edits) t.not(from, to)
    if ('test' in foundBy) await t.resolves(access(join(ROOT, foundBy.test)), foundBy.test)
  }
  t.equal(new Set(mutants.map(({ name }) => name)).size, mutants.length, 'names are unique')
})

t.test('the known failures that must be among the quick ones are', async (t) => {
  const covered = new Set(quickMutants.map(({ catalogue }) => catalogue))
  for (const entry of ['B1', 'B2', 'B3', 'B4', 'B5', 'B7', 'B8', 'B9', 'B14', 'B19', 'B20', 'B28'])
    t.ok(covered.has(entry), entry)
})

t.test('a mutant whose fragment has changed is stale', async (t) => {
  const edit = { file: 'x.ts', from: 'old', to: 'new' }
  t.equal(mutate('m', edit, 'one old line'), 'one new line')
  t.throws(() => mutate('m', edit, 'a line'), StaleMutantError)
  t.throws(() => mutate('m', edit, 'old and old'), StaleMutantError)
})
