import t from 'tap'
import { parseHistory } from './parse.ts'
import { checkWatch, type WatchAnswer } from './watch-check.ts'

/** Answers from rows of after, index and content: `x` with the index as its version, or null for a missing key. */
function watch(
  ...rows: readonly (readonly [after: number, index: number, value: string | null, ms?: number])[]
) {
  const answers = rows.map(
    ([after, index, value, ms = 10], i): WatchAnswer => ({
      after,
      waitMs: 1000,
      calledAt: 2000 * i,
      returnedAt: 2000 * i + ms,
      index,
      output: value === null ? { kind: 'absent', index } : { kind: 'entry', value, version: index },
    }),
  )
  return { node: 'n1', key: 'k', answers }
}

t.test('a watcher that is told every last change is right', async (t) => {
  const answers = watch([0, 5, 'x'], [5, 7, 'y'], [7, 7, 'y', 1010], [7, 12, 'z'])
  t.strictSame(checkWatch(answers, { kind: 'entry', value: 'z', version: 12 }, []), [])
})

t.test('a change in between may be left out', async (t) => {
  t.strictSame(
    checkWatch(watch([0, 5, 'x'], [5, 12, 'z']), { kind: 'entry', value: 'z', version: 12 }, []),
    [],
  )
})

t.test('an index that goes back is wrong', async (t) => {
  t.match(checkWatch(watch([0, 9, 'x'], [9, 7, 'y']), null, [])[0], /went back from 9/)
  t.match(checkWatch(watch([0, 9, 'x'], [0, 7, 'y']), null, [])[0], /went back from 9/, 'for a new query too')
})

t.test('a last change that was missed is wrong', async (t) => {
  const wrong = checkWatch(watch([0, 5, 'x']), { kind: 'entry', value: 'y', version: 7 }, [])
  t.match(
    wrong[0],
    /last change was missed; at the end the key is y version 7, the watcher knows x version 5/,
  )
  t.match(checkWatch(watch(), { kind: 'absent' }, [])[0], /knows nothing/)
  t.match(checkWatch(watch([0, 5, 'x']), { kind: 'absent' }, [])[0], /at the end the key is absent/)
})

t.test('one version with two contents, and an index that is not the version, are wrong', async (t) => {
  t.match(checkWatch(watch([0, 5, 'x'], [0, 5, 'y']), null, [])[0], /version 5 was x before/)
  const [answer] = watch([0, 5, 'x']).answers
  const shifted = answer === undefined ? [] : [{ ...answer, index: 6 }]
  t.match(checkWatch({ node: 'n1', key: 'k', answers: shifted }, null, [])[0], /not the version 5/)
})

t.test('an answer that claims a change nobody made is wrong', async (t) => {
  const deleted = watch([0, 5, 'x'], [5, 9, null], [9, 12, null])
  t.match(checkWatch(deleted, null, [])[0], /woken for a change from 9 that nobody made/)
  const again = parseHistory('a 2100 2110 cas x 0 => true')
  t.strictSame(checkWatch(deleted, null, again), [], 'unless it came and went')
  const never = watch([0, 5, null], [5, 9, null])
  t.strictSame(checkWatch(never, null, []), [], 'a key that never existed has the index of the whole store')
})
