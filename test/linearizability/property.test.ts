import fc from 'fast-check'
import t from 'tap'
import { Random } from '../sim/random.ts'
import { bruteForce } from './brute-force.ts'
import { checkKey } from './check.ts'
import { mutate, registerHistory } from './register.ts'
import { timeline } from './report.ts'

/** A machine that stands still must not make a verdict `undecided`, nor another day another test. */
const LIMITS = { ms: 60_000 }
const SEED = 20_260

const seeds = fc.integer({ min: 0, max: 2 ** 31 })

t.test('what a real register answered is accepted, however concurrent', async () => {
  fc.assert(
    fc.property(seeds, fc.boolean(), fc.boolean(), (seed, unique, locks) => {
      const random = new Random(seed)
      const operations = 20 + random.below(200)
      const unknown = random.pick([0, 0.05, 0.15])
      const history = registerHistory(random, { operations, clients: 6, unknown, unique, locks })
      const { verdict } = checkKey(history, LIMITS)
      if (verdict !== 'linearizable') throw new Error(`${verdict}:\n${timeline(history)}`)
    }),
    { seed: SEED, numRuns: 60 },
  )
})

t.test('on short histories, changed or not, the checker says what trying every order says', async (t) => {
  let wrong = 0
  fc.assert(
    fc.property(seeds, fc.boolean(), fc.boolean(), (seed, unique, locks) => {
      const random = new Random(seed)
      const good = registerHistory(random, {
        operations: 7,
        clients: 4,
        unknown: random.pick([0, 0.3]),
        unique,
        locks,
      })
      if (good.length === 0) return
      const mutations = random.below(3)
      let history = good
      for (let i = 0; i < mutations; i++) history = mutate(random, history)
      const expected = bruteForce(history)
      if (!expected) wrong++
      if (mutations === 0 && !expected) throw new Error(`the other judge errs:\n${timeline(history)}`)
      const { verdict } = checkKey(history, LIMITS)
      if ((verdict === 'linearizable') !== expected)
        throw new Error(`${verdict}, expected ${expected}:\n${timeline(history)}`)
    }),
    { seed: SEED, numRuns: 1500 },
  )
  t.ok(wrong > 150, `${wrong} of the histories were wrong`)
})

t.test('a long history with a wrong read in it is refuted', async () => {
  fc.assert(
    fc.property(seeds, (seed) => {
      const random = new Random(seed)
      const history = registerHistory(random, {
        operations: 400,
        clients: 8,
        unknown: 0.05,
        unique: true,
        locks: false,
      })
      const reads = history.filter(({ output }) => output?.kind === 'entry')
      const [early] = reads
      const late = reads.findLast(({ output, calledAt }) => {
        if (output?.kind !== 'entry' || early?.output?.kind !== 'entry') return false
        return calledAt > early.returnedAt && output.version > early.output.version
      })
      if (early === undefined || late === undefined) return
      const wrong = history.map((operation) =>
        operation === late ? { ...late, output: early.output } : operation,
      )
      const { verdict } = checkKey(wrong, LIMITS)
      if (verdict !== 'violation') throw new Error(`${verdict} with seed ${seed}`)
    }),
    { seed: SEED, numRuns: 20 },
  )
})
