import fc from 'fast-check'
import t from 'tap'
import { CATALOG_PROPERTIES, floodCatalog, hurtCatalog } from './catalog.ts'
import { MESH_PROPERTIES } from './mesh.ts'
import { hurtLeader } from './proposals.ts'
import { STATE_PROPERTIES } from './state.ts'
import { TEXT_PROPERTIES } from './texts.ts'

const SEED = 20_261_121
const RUNS = 400
/** Each makes keys, signatures and a store. */
const RUNS_SIGNED = 150

for (const { name, property } of [...STATE_PROPERTIES, ...TEXT_PROPERTIES, ...MESH_PROPERTIES]) {
  t.test(name, async () => {
    await fc.assert(property, { seed: SEED, numRuns: RUNS })
  })
}

for (const { name, property } of CATALOG_PROPERTIES) {
  t.test(name, async () => {
    await fc.assert(property, { seed: SEED, numRuns: RUNS_SIGNED })
  })
}

t.test('a leader refuses spoiled proposals and goes on', async () => {
  await hurtLeader({ seed: SEED, numRuns: RUNS })
})

t.test('a catalogue goes on beside a member that says whatever it likes', async () => {
  await hurtCatalog({ seed: SEED, numRuns: RUNS_SIGNED })
})

t.test('what cannot be taken leaves nothing behind', async () => {
  floodCatalog({ messages: 500, bytesMax: 1024 * 1024 })
})
