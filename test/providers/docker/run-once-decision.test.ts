import fc from 'fast-check'
import t from 'tap'
import {
  type Candidate,
  DOWN_MS,
  decideRunOnce,
  type RunOnceSituation,
} from '../../../providers/docker/run-once-decision.ts'

const up = (id = 'a', sick: string | null = null): Candidate => ({ id, name: id, state: 'up', sick })
const down = (id = 'a'): Candidate => ({ id, name: id, state: 'down', sick: null })
const gone = (id = 'a'): Candidate => ({ id, name: id, state: 'gone', sick: null })

/** One that does not hold the lease, has a container that could run, and nothing is wrong. */
const BASE: RunOnceSituation = {
  candidates: [down()],
  engineUp: true,
  holds: false,
  holder: null,
  isNew: false,
  mayKeep: true,
  othersCan: true,
  leaving: false,
  failure: null,
  hasRun: false,
  downForMs: Number.POSITIVE_INFINITY,
  restsForMs: Number.NEGATIVE_INFINITY,
}
const HOLDS: Partial<RunOnceSituation> = { holds: true, holder: 'n1' }
const RAN: Partial<RunOnceSituation> = { ...HOLDS, hasRun: true }

const TABLE: readonly (readonly [
  situation: string,
  changes: Partial<RunOnceSituation>,
  step: string,
  claims: boolean,
  note: RegExp,
])[] = [
  ['nobody holds it', {}, 'none', true, /^stands by: nobody/],
  ['another holds it', { holder: 'n2' }, 'none', true, /^stands by: n2 holds/],
  ['no container is left', { candidates: [gone()] }, 'none', false, /^stands by/],
  ['it runs without the lease', { candidates: [up()] }, 'stop a fenced', true, /nobody is known/],
  ['and another holds that', { candidates: [up()], holder: 'n2' }, 'stop a fenced', true, /n2 holds/],
  ['two run without the lease', { candidates: [up(), up('b')] }, 'stop a fenced', true, /^stopped/],
  ['the agent is new', { candidates: [up()], isNew: true }, 'none', true, /not known yet/],
  ['it failed here before', { restsForMs: 5 }, 'none', false, /^it failed here/],
  [
    'it runs again where it failed',
    { candidates: [up()], restsForMs: 5 },
    'stop a fenced',
    false,
    /^stopped/,
  ],
  ['the agent ends and does not hold it', { leaving: true }, 'none', false, /^stands by/],
  ['the engine is away', { engineUp: false, candidates: [up()] }, 'none', false, /^the engine is away$/],
  ['the engine of the holder is away', { ...RAN, engineUp: false }, 'none', true, /is kept/],
  ['it got the lease', HOLDS, 'start a', true, /^started/],
  [
    'it got the lease, one can run',
    { ...HOLDS, candidates: [gone(), down('b')] },
    'start b',
    true,
    /^started/,
  ],
  ['it got the lease and its copy runs', { ...HOLDS, candidates: [up()] }, 'none', true, /holds the lease$/],
  ['two run', { ...RAN, candidates: [up(), up('b')] }, 'stop b', true, /another container/],
  ['two run, one of them sick', { ...RAN, candidates: [up('a', 'x'), up('b')] }, 'stop b', true, /another/],
  ['it runs and one stands by', { ...RAN, candidates: [up(), down('b')] }, 'none', true, /holds the lease$/],
  [
    'it got the lease without a container',
    { ...HOLDS, candidates: [gone()] },
    'release',
    true,
    /no container/,
  ],
  ['it could not be started', { ...HOLDS, failure: 'no' }, 'release failed', false, /^no$/],
  [
    'it may have been started',
    { ...HOLDS, candidates: [up()], failure: 'no', othersCan: false },
    'stop a failed',
    true,
    /^no$/,
  ],
  ['it ended just now', { ...RAN, downForMs: 10 }, 'none', true, /may come back/],
  ['it has ended', { ...RAN, downForMs: DOWN_MS }, 'release failed', false, /^it has ended$/],
  [
    'it was removed',
    { ...RAN, candidates: [], downForMs: DOWN_MS },
    'release failed',
    false,
    /^it has ended$/,
  ],
  ['it is sick', { ...RAN, candidates: [up('a', 'it is ill')] }, 'stop a failed', true, /as it is ill$/],
  [
    'it is sick, and nobody else could',
    { ...RAN, candidates: [up('a', 'it is ill')], othersCan: false },
    'none',
    true,
    /^it is ill; no other/,
  ],
  ['it is to move', { ...RAN, candidates: [up()], mayKeep: false }, 'stop a', true, /cordoned or drained/],
  ['it is to move and has ended', { ...RAN, mayKeep: false }, 'release', true, /^given up/],
  [
    'the agent of the holder ends',
    { ...RAN, candidates: [up()], leaving: true },
    'stop a',
    false,
    /agent ends/,
  ],
  ['and its copy has ended', { ...RAN, leaving: true }, 'release', false, /agent ends/],
]

for (const [situation, changes, step, claims, note] of TABLE) {
  t.test(situation, async (t) => {
    const decided = decideRunOnce({ ...BASE, ...changes })
    const { kind } = decided.step
    const words = [
      kind,
      ...('id' in decided.step ? [decided.step.id] : []),
      ...('fenced' in decided.step && decided.step.fenced ? ['fenced'] : []),
      ...('failed' in decided.step && decided.step.failed ? ['failed'] : []),
    ]
    t.equal(words.join(' '), step)
    t.equal(decided.claims, claims)
    t.match(decided.note, note)
  })
}

t.test('what waits for time says for how long', async (t) => {
  t.equal(decideRunOnce({ ...BASE, ...RAN, downForMs: 1_000 }).againInMs, DOWN_MS - 1_000)
  t.equal(decideRunOnce({ ...BASE, restsForMs: 70 }).againInMs, 70)
})

const SITUATIONS: fc.Arbitrary<RunOnceSituation> = fc.record({
  candidates: fc.array(
    fc.record({
      id: fc.constantFrom('a', 'b', 'c'),
      name: fc.constant(''),
      state: fc.constantFrom('up', 'down', 'gone'),
      sick: fc.constantFrom(null, 'ill'),
    }),
    { maxLength: 3 },
  ),
  engineUp: fc.boolean(),
  holds: fc.boolean(),
  holder: fc.constantFrom(null, 'n1', 'n2'),
  isNew: fc.boolean(),
  mayKeep: fc.boolean(),
  othersCan: fc.boolean(),
  leaving: fc.boolean(),
  failure: fc.constantFrom(null, 'no'),
  hasRun: fc.boolean(),
  downForMs: fc.integer({ min: 0, max: 2 * DOWN_MS }),
  restsForMs: fc.integer({ min: -10, max: 10 }),
})

t.test(
  'whatever the situation: no start without the lease, none beside one that runs, no release while one runs',
  async () => {
    fc.assert(
      fc.property(SITUATIONS, (situation) => {
        const { step } = decideRunOnce(situation)
        const isUp = situation.candidates.some(({ state }) => state === 'up')
        if (step.kind === 'start') return situation.holds && situation.engineUp && !isUp && !situation.leaving
        if (step.kind === 'release') return situation.holds && situation.engineUp && !isUp
        const stops = isUp && !situation.holds && situation.engineUp && !situation.isNew
        return !stops || step.kind === 'stop'
      }),
      { numRuns: 2_000 },
    )
  },
)
