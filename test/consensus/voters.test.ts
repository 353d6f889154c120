import t from 'tap'
import { changeConfiguration, initialConfiguration } from '../../consensus/raft/configuration.ts'
import type { ConfigChange } from '../../consensus/raft/types.ts'
import { changeForNewVoter, isCaughtUp, nextVoterChange, PRUNE_ALL } from '../../consensus/voters.ts'

/** What is known of the nodes besides; `flaps` names a node as often as it was lost. */
interface More {
  readonly cordoned?: string
  readonly unsettled?: string
  readonly flaps?: string
  /** Nodes that are gone are kept. */
  readonly keeps?: boolean
  readonly votersMin?: number
}

function setUp(voters: string, learners: string, caughtUp: string, gone: string, more: More) {
  const { cordoned = '', unsettled = '', flaps = '' } = more
  const configuration = { ...initialConfiguration([...voters]), learners: [...learners] }
  const candidates = [...voters, ...learners].map((id) => ({
    id,
    caughtUp: caughtUp.includes(id),
    gone: gone.includes(id),
    cordoned: cordoned.includes(id),
    settled: !unsettled.includes(id),
    flaps: [...flaps].filter((each) => each === id).length,
  }))
  return { configuration, candidates }
}

/** Steps for these voters and learners; `a` leads. A step is written `+x` (voter), `-x` (removed) or `~x` (learner). */
function next(
  voters: string,
  learners: string,
  caughtUp: string,
  gone = '',
  target = 5,
  more: More = {},
): string {
  const { configuration, candidates } = setUp(voters, learners, caughtUp, gone, more)
  const pruning = { enabled: more.keeps !== true, votersMin: more.votersMin ?? PRUNE_ALL.votersMin }
  return shown(nextVoterChange(configuration, candidates, target, 'a', pruning))
}

/** The same for the change that makes a voter of `node`. */
function add(
  node: string,
  voters: string,
  learners: string,
  gone: string,
  target: number,
  more: More = {},
): string {
  const { configuration, candidates } = setUp(voters, learners, learners, gone, more)
  return shown(changeForNewVoter(configuration, candidates, target, 'a', node))
}

function shown(change: ConfigChange | null): string {
  if (change === null) return ''
  const sign = { addVoter: '+', remove: '-', addLearner: '~' }
  return change.steps.map(({ kind, node }) => `${sign[kind]}${node}`).join(' ')
}

t.test('learners become voters so that their number stays odd and within the target', async (t) => {
  t.equal(next('a', 'b', 'b'), '', 'two voters are worse than one')
  t.equal(next('a', 'bc', 'bc'), '+b +c')
  t.equal(next('a', 'bc', 'c'), '')
  t.equal(next('ab', 'c', 'c'), '+c')
  t.equal(next('abc', 'def', 'def'), '+d +e')
  t.equal(next('abcde', 'fg', 'fg'), '')
  t.equal(next('abc', 'de', 'de', '', 3), '')
  t.equal(next('a', 'bc', 'bc', 'c'), '-c', 'one that is gone is no candidate')
})

t.test('a voter that is gone is replaced by a learner that has caught up, in one change', async (t) => {
  t.equal(next('abc', 'd', 'd', 'b'), '-b +d')
  t.equal(next('abc', 'd', 'd', 'b', 3), '-b +d')
  t.equal(next('abc', 'd', '', 'b'), '', 'not before it has caught up')
  t.equal(next('abc', 'de', 'de', 'be'), '-b +d')
  t.equal(next('abcde', 'fg', 'fg', 'bc'), '-b -c +f +g')
  t.equal(next('abcde', 'f', 'f', 'bc'), '-b +f', 'four living and a dead one that may come back')
})

t.test('without a learner a dead voter leaves only if that makes the cluster safer', async (t) => {
  t.equal(next('abc', '', '', 'c'), '', 'two voters tolerate no more than three with a dead one')
  t.equal(next('abcd', '', '', 'c'), '-c')
  t.equal(next('abcde', '', '', 'c'), '')
  t.equal(next('abcde', '', '', 'cd'), '-c -d')
  t.equal(next('abcdefg', 'h', 'h', 'efg', 7), '-e -f -g +h')
})

t.test('nothing changes without a majority of living voters, nor in a joint configuration', async (t) => {
  t.equal(next('abc', 'de', 'de', 'bc'), '')
  t.equal(next('ab', 'cd', 'cd', 'b'), '')
  t.equal(next('abcd', 'ef', 'ef', 'bc'), '')
  t.equal(next('abc', 'd', '', 'bcd'), '', 'not even a learner leaves')
  const joint = changeConfiguration(
    { ...initialConfiguration(['a', 'b', 'c']), learners: ['d'] },
    {
      steps: [
        { kind: 'remove', node: 'b' },
        { kind: 'addVoter', node: 'd' },
      ],
    },
  )
  const gone = [{ id: 'c', caughtUp: false, gone: true, cordoned: false, settled: false, flaps: 0 }]
  t.equal(nextVoterChange(joint, gone, 5, 'a'), null)
})

t.test('voters beyond the target become learners, never the leader, never a majority at once', async (t) => {
  t.equal(next('abcde', '', 'abcde', '', 3), '~e ~d')
  t.equal(next('abcde', '', 'abcde', 'b', 3), '-b ~e', 'one that is gone goes first')
  t.equal(next('abcdefg', '', 'abcdefg', '', 3), '~g ~f ~e')
  t.equal(next('abcd', '', 'abcd', '', 3), '~d')
})

t.test('a learner that is gone leaves, after everything else', async (t) => {
  t.equal(next('abc', 'd', '', 'd'), '-d')
  t.equal(next('abc', 'def', 'ef', 'd'), '+e +f')
})

t.test('a node that never answered is no candidate, however short the log', async (t) => {
  t.equal(isCaughtUp({ recentActive: true, matchIndex: 0 }, 3), false)
  t.equal(isCaughtUp({ recentActive: false, matchIndex: 3 }, 3), false)
  t.equal(isCaughtUp({ recentActive: true, matchIndex: 1 }, 3), true)
  t.equal(isCaughtUp({ recentActive: true, matchIndex: 100 }, 165), false)
})

t.test(
  'a cordoned learner is not chosen, and a cordoned voter changes places with one that is ready',
  async (t) => {
    const cordoned = (nodes: string) => ({ cordoned: nodes })
    t.equal(next('a', 'bc', 'bc', '', 5, cordoned('c')), '', 'two would be worse than one')
    t.equal(next('abc', 'd', 'd', 'b', 5, cordoned('d')), '', 'nor in place of a dead one')
    t.equal(next('abc', 'd', 'd', '', 5, cordoned('c')), '~c +d')
    t.equal(
      next('abc', 'd', '', '', 5, cordoned('c')),
      '',
      'it stays until there is one that can take its place',
    )
    t.equal(next('abc', 'd', 'd', '', 5, cordoned('cd')), '')
    t.equal(next('abc', 'de', 'de', '', 5, cordoned('bc')), '~b +d', 'one at a time')
    t.equal(next('abc', 'd', 'd', 'b', 5, cordoned('c')), '-b +d', 'the dead first')
    t.equal(next('abc', '', '', 'c', 5, cordoned('b')), '', 'never fewer than are needed')
    t.equal(next('abcde', 'f', 'f', '', 3, cordoned('c')), '~c ~e', 'of too many it goes first')
    t.equal(next('abcd', '', '', '', 5, cordoned('c')), '~c', 'three tolerate as much as four')
  },
)

t.test('a cordoned leader keeps its vote, unless it is the only voter', async (t) => {
  t.equal(next('abc', 'd', 'd', '', 5, { cordoned: 'a' }), '')
  t.equal(next('a', 'b', 'b', '', 5, { cordoned: 'a' }), '~a +b')
  t.equal(next('a', '', '', '', 5, { cordoned: 'a' }), '')
})

t.test('a node that has not settled gets no vote, and of several the most stable ones do', async (t) => {
  t.equal(next('a', 'bc', 'bc', '', 5, { unsettled: 'b' }), '')
  t.equal(next('abc', 'd', 'd', 'b', 5, { unsettled: 'd' }), '')
  t.equal(next('abc', 'def', 'def', '', 5, { unsettled: 'e' }), '+d +f')
  t.equal(next('abc', 'def', 'def', '', 5, { flaps: 'dde' }), '+f +e')
  t.equal(next('abc', 'de', 'de', 'b', 3, { flaps: 'd' }), '-b +e')
  t.equal(next('abcde', '', 'abcde', '', 3, { flaps: 'bbc' }), '~b ~c', 'and those that flap lose it first')
})

t.test(
  'who an operator wants to vote is added, or takes the place of the voter that is missed least',
  async (t) => {
    t.equal(add('d', 'abc', 'd', '', 5), '+d', 'also if that makes the number even')
    t.equal(add('d', 'abc', 'd', '', 3), '~c +d')
    t.equal(add('d', 'abc', 'd', 'b', 3), '-b +d')
    t.equal(add('d', 'abc', 'd', '', 3, { cordoned: 'b' }), '~b +d')
    t.equal(add('d', 'abc', 'd', '', 3, { flaps: 'b' }), '~b +d')
    t.equal(add('d', 'abc', 'd', '', 3, { cordoned: 'a' }), '~c +d', 'never of the leader')
    t.equal(next('abd', 'c', 'c', '', 3), '', 'and nothing takes it back')
  },
)

t.test('nodes that are gone are kept if that is asked', async (t) => {
  const keeps = { keeps: true }
  t.equal(next('abc', 'd', 'd', 'b', 3, keeps), '', 'nobody takes the place of a dead voter')
  t.equal(next('abcde', '', '', 'cd', 5, keeps), '')
  t.equal(next('abc', 'd', '', 'd', 5, keeps), '', 'nor does a dead learner leave')
  t.equal(next('abc', 'de', 'de', 'b', 5, keeps), '+d +e', 'places that are free are taken')
  t.equal(next('abcde', '', 'acde', 'b', 3, keeps), '~b ~e', 'one too many becomes a learner')
  t.equal(next('abc', 'd', 'd', '', 5, { ...keeps, cordoned: 'c' }), '~c +d', 'a cordon holds as ever')
})

t.test('there are never made to be fewer voters than are asked for', async (t) => {
  t.equal(next('abcde', '', '', 'cd', 5, { votersMin: 3 }), '-c -d')
  t.equal(next('abcde', '', '', 'cd', 5, { votersMin: 4 }), '')
  t.equal(next('abcde', 'fg', 'fg', 'bc', 5, { votersMin: 5 }), '-b -c +f +g', 'one for one is as many')
  t.equal(next('abcd', '', '', '', 5, { cordoned: 'c', votersMin: 4 }), '')
  t.equal(next('abcde', '', 'abcde', '', 3, { votersMin: 4 }), '~e', 'nor for the sake of the target')
})
