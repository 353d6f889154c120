import t from 'tap'
import { hasPlaceForLearner } from '../../consensus/admission.ts'

const FULL = { learners: 2, livingLearners: 2, livingVoters: 3, votersTarget: 3, learnersMax: 2 }

t.test('there is a place below the bound, and above it only for want of voters', (t) => {
  const cases: readonly [string, Partial<typeof FULL>, boolean][] = [
    ['full', {}, false],
    ['one short of the bound', { learners: 1, livingLearners: 1 }, true],
    ['the bound was raised', { learnersMax: 3 }, true],
    ['the bound was lowered', { learnersMax: 1 }, false],
    ['no learners are kept', { learners: 0, livingLearners: 0, learnersMax: 0 }, false],
    ['a voter is dead, learners can take its place', { livingVoters: 2 }, false],
    ['a voter is dead, and so are the learners', { livingVoters: 2, livingLearners: 0 }, true],
    [
      'the second node of a new cluster',
      { learners: 0, livingLearners: 0, livingVoters: 1, learnersMax: 0 },
      true,
    ],
    ['the third node', { learners: 1, livingLearners: 1, livingVoters: 1, learnersMax: 0 }, true],
    ['the fourth node', { learners: 2, livingLearners: 2, livingVoters: 1, learnersMax: 0 }, false],
    ['more voters than wanted', { livingVoters: 5 }, false],
  ]
  for (const [name, facts, expected] of cases)
    t.equal(hasPlaceForLearner({ ...FULL, ...facts }), expected, name)
  t.end()
})
