import fc from 'fast-check'
import t from 'tap'
import { hurtLeader } from './proposals.ts'
import { STATE_PROPERTIES } from './state.ts'
import { TEXT_PROPERTIES } from './texts.ts'

const SEED = 20_261_121
const RUNS = 400

for (const { name, property } of [...STATE_PROPERTIES, ...TEXT_PROPERTIES]) {
  t.test(name, async () => {
    await fc.assert(property, { seed: SEED, numRuns: RUNS })
  })
}

t.test('a leader refuses spoiled proposals and goes on', async () => {
  await hurtLeader({ seed: SEED, numRuns: RUNS })
})
