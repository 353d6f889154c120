import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'

const PROGRAM = join(import.meta.dirname, '../../.ci/run')

/** What `.ci/run --counts` prints for a TAP file, and its exit code. */
function run(t: { testdir: () => string }, tap: string): { lines: string[]; status: number | null } {
  const file = join(t.testdir(), 'out.tap')
  writeFileSync(file, tap)
  const answer = spawnSync(PROGRAM, ['--counts', file], { encoding: 'utf8', timeout: 10_000 })
  return { lines: answer.stdout.trimEnd().split('\n'), status: answer.status }
}

/** What `.ci/run --counts` makes of a TAP file: its last line and its exit code. */
function counts(
  t: { testdir: () => string },
  tap: string,
): { last: string | undefined; status: number | null } {
  const { lines, status } = run(t, tap)
  return { last: lines.at(-1), status }
}

t.test('the counts are those of the whole run', async (t) => {
  const tap = [
    'TAP version 14',
    '# Subtest: a.test.ts',
    '    not ok 1 - inner',
    '      ---',
    '      found: "# { total: 1, pass: 1 }"',
    '      ...',
    '    # { total: 7, pass: 7 }',
    'not ok 1 - a.test.ts',
    '# { total: 12, pass: 9, fail: 2, todo: 1 }',
    '# time=1041.499ms',
    '',
  ].join('\n')
  t.same(counts(t, tap), { last: '9 passed, 2 failed', status: 1 })
})

t.test('only a run in which something passed and nothing failed is a success', async (t) => {
  t.same(counts(t, '# { total: 70, pass: 70 }\n'), { last: '70 passed, 0 failed', status: 0 })
  t.same(counts(t, '# { total: 70, pass: 60, skip: 10 }\n'), { last: '60 passed, 0 failed', status: 0 })
  t.same(counts(t, '# { total: 0 }\n'), { last: '0 passed, 0 failed', status: 1 })
  t.same(counts(t, '# { total: 3, fail: 3 }\n'), { last: '0 passed, 3 failed', status: 1 })
})

t.test('a run that was cut short is a failure', async (t) => {
  t.same(counts(t, ''), { last: '0 passed, 1 failed', status: 1 })
  t.same(counts(t, 'ok 1 - a.test.ts\n    # { total: 7, pass: 7 }\n'), {
    last: '0 passed, 1 failed',
    status: 1,
  })
})

t.test('what failed is told before the counts, with its details and nothing else', async (t) => {
  const tap = [
    '# Subtest: a.test.ts',
    '    # Subtest: it works',
    '        ok 1 - not this',
    '          ---',
    '          at: a.ts',
    '          ...',
    '        not ok 2 - should be equal',
    '          ---',
    '          diff: |',
    '            -yes',
    '            +no',
    '          ...',
    '        ok 3 - nor this',
    '        not ok 4 - without a program # SKIP no program',
    '          ---',
    '          why: nothing',
    '          ...',
    '        1..4',
    '    not ok 1 - it works # time=3ms',
    '    1..1',
    'not ok 1 - a.test.ts # time=5ms',
    '# { total: 4, pass: 2, fail: 1, skip: 1 }',
  ].join('\n')
  const { lines } = run(t, tap)
  t.same(lines.slice(lines.indexOf('== what failed'), lines.indexOf('== not run: 1 skipped, 0 to do')), [
    '== what failed',
    '        not ok 2 - should be equal',
    '          ---',
    '          diff: |',
    '            -yes',
    '            +no',
    '          ...',
    '    not ok 1 - it works # time=3ms',
    'not ok 1 - a.test.ts # time=5ms',
  ])
  t.equal(lines.at(-1), '2 passed, 1 failed')
})
