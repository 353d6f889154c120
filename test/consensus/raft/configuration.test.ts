import fc from 'fast-check'
import t from 'tap'
import {
  allNodes,
  changeConfiguration,
  decodeChange,
  EMPTY_CONFIGURATION,
  encodeChange,
  initialConfiguration,
  isJoint,
} from '../../../consensus/raft/configuration.ts'
import { jointVote } from '../../../consensus/raft/quorum.ts'
import type { ConfigChangeStep, Configuration } from '../../../consensus/raft/types.ts'

const NODES = ['a', 'b', 'c', 'd', 'e']
const step: fc.Arbitrary<ConfigChangeStep> = fc.record({
  kind: fc.constantFrom('addVoter' as const, 'addLearner' as const, 'remove' as const),
  node: fc.constantFrom(...NODES),
})
const steps = fc.array(step, { minLength: 1, maxLength: 5 })

/** Applies the steps to plain sets: what a change must come to in the end. */
function expected(from: Configuration, change: readonly ConfigChangeStep[]) {
  const voters = new Set(from.voters)
  const learners = new Set(from.learners)
  for (const { kind, node } of change) {
    voters.delete(node)
    learners.delete(node)
    if (kind === 'addVoter') voters.add(node)
    if (kind === 'addLearner') learners.add(node)
  }
  return { voters: [...voters].sort(), learners: [...learners].sort() }
}

function complete(configuration: Configuration): Configuration {
  return isJoint(configuration) ? changeConfiguration(configuration, { steps: [] }) : configuration
}

/** Every set of yes-votes of the nodes. */
function* voteSets(): Generator<Map<string, boolean>> {
  for (let bits = 0; bits < 1 << NODES.length; bits++)
    yield new Map(NODES.map((id, i) => [id, (bits & (1 << i)) !== 0]))
}

t.test(
  'any sequence of changes ends where plain sets end, and its majorities always intersect',
  async (t) => {
    fc.assert(
      fc.property(fc.array(steps, { maxLength: 4 }), (changes) => {
        let configuration = initialConfiguration(['a', 'b', 'c'])
        for (const change of changes) {
          const end = expected(configuration, change)
          if (end.voters.length === 0) {
            t.throws(() => changeConfiguration(configuration, { steps: change }), /at least one voter/)
            continue
          }
          const next = changeConfiguration(configuration, { steps: change })
          for (const hop of [
            [configuration, next],
            [next, complete(next)],
          ] as const) {
            const disjoint = [...voteSets()].find(
              (votes) =>
                jointVote(hop[0], votes) === 'won' &&
                jointVote(hop[1], new Map([...votes].map(([id, yes]) => [id, !yes]))) === 'won',
            )
            t.equal(disjoint, undefined, 'no two disjoint majorities side by side')
          }
          configuration = complete(next)
          t.same([configuration.voters, configuration.learners], [end.voters, end.learners])
          t.same(configuration.learnersNext, [])
        }
      }),
      { numRuns: 60 },
    )
  },
)

t.test('without the joint configuration two disjoint majorities would stand side by side', async (t) => {
  const before = initialConfiguration(['a', 'b', 'c'])
  const after = initialConfiguration(['c', 'd', 'e'])
  const disjoint = [...voteSets()].some(
    (votes) =>
      jointVote(before, votes) === 'won' &&
      jointVote(after, new Map([...votes].map(([id, yes]) => [id, !yes]))) === 'won',
  )
  t.ok(disjoint, 'the property above can fail')
})

t.test('one voter more or less is a direct change, anything else a joint one', async (t) => {
  const three = initialConfiguration(['a', 'b', 'c'])
  const add = (...nodes: string[]) => ({ steps: nodes.map((node) => ({ kind: 'addVoter' as const, node })) })
  t.notOk(isJoint(changeConfiguration(three, add('d'))))
  const joint = changeConfiguration(three, add('d', 'e'))
  t.same(joint, {
    voters: NODES,
    votersOutgoing: ['a', 'b', 'c'],
    learners: [],
    learnersNext: [],
    autoLeave: true,
  })
  t.throws(() => changeConfiguration(joint, add('f')), /must be left/)
  t.throws(() => changeConfiguration(three, { steps: [] }), /only a joint configuration/)
})

t.test('a voter that becomes a learner in a joint change is one only when it is left', async (t) => {
  const joint = changeConfiguration(initialConfiguration(['a', 'b', 'c']), {
    steps: [
      { kind: 'addLearner', node: 'c' },
      { kind: 'addVoter', node: 'd' },
    ],
  })
  t.same(joint.learnersNext, ['c'])
  t.same(joint.learners, [])
  t.same(allNodes(joint), ['a', 'b', 'c', 'd'])
  t.same(complete(joint).learners, ['c'])
})

t.test('founders start from the same bytes in whatever order they are listed', async (t) => {
  t.same(initialConfiguration(['c', 'a', 'b']), initialConfiguration(['a', 'b', 'c']))
})

t.test('a change survives its encoding; anything else is refused', async (t) => {
  const change = { steps: [{ kind: 'addVoter' as const, node: 'a' }] }
  t.same(decodeChange(encodeChange(change)), change)
  t.throws(() => decodeChange(new TextEncoder().encode('{}')), /list of steps/)
  t.throws(() => changeConfiguration(EMPTY_CONFIGURATION, { steps: [{ kind: 'addVoter', node: '' }] }))
})
