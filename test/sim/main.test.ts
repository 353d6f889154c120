import { execFile } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'

const MAIN = join(import.meta.dirname, 'main.ts')

interface Ended {
  readonly code: number
  readonly out: string
  readonly err: string
}

function sim(...args: string[]): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(process.execPath, [MAIN, ...args], { maxBuffer: 1 << 26 }, (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code), out, err })
    })
  })
}

t.test('seeds run on threads; the summary is one JSON document', async (t) => {
  const { code, out } = await sim('--seed', '5', '--seeds', '4', '--jobs', '2', '--json')
  t.equal(code, 0)
  const summary = JSON.parse(out)
  t.match(summary, { first: 5, count: 4, runs: 4, nextSeed: 9, failures: [] })
  t.ok(summary.coverage['leader elected'] > 0)
})

t.test('a failure says what broke, what led to it and how to see it again', async (t) => {
  const { code, out } = await sim('--mutant', 'term-not-synced', '--seeds', '3')
  t.equal(code, 1)
  const [, seed] = /^seed (\d+) failed: \S.*: n\d/m.exec(out) ?? []
  t.ok(seed, out)
  t.match(out, `replay: npm run sim -- --seed ${seed} --trace --mutant term-not-synced`)
  t.match(out, /^ +\d+\.\d{4} {2}n\d +\S/m, 'the last events')
  t.match(out, /1 failed/)
  const again = await sim('--mutant', 'term-not-synced', '--seed', seed ?? '', '--trace')
  t.equal(again.code, 1)
  t.match(again.out, new RegExp(`^seed ${seed} failed: `, 'm'), 'and so it does')
})

t.test('a wrong command line is refused', async (t) => {
  const refused = [
    ['--seeds', 'many'],
    ['--jobs', '0'],
    ['--nonsense'],
    ['--mutant', 'nobody'],
    ['--mutants', 'nobody'],
    ['stray'],
  ]
  for (const { code, out, err } of await Promise.all(refused.map((args) => sim(...args)))) {
    t.equal(code, 64)
    t.equal(out, '')
    t.not(err, '')
  }
  const { code, out } = await sim('--help')
  t.equal(code, 0)
  t.match(out, 'Examples:')
})
