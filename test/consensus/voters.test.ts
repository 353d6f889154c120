import t from 'tap'
import { changeConfiguration, initialConfiguration } from '../../consensus/raft/configuration.ts'
import { isCaughtUp, nextVoterChange } from '../../consensus/voters.ts'

/** Steps for these voters and learners; `a` leads. A step is written `+x` (voter), `-x` (removed) or `~x` (learner). */
function next(voters: string, learners: string, caughtUp: string, gone = '', target = 5): string {
  const configuration = { ...initialConfiguration([...voters]), learners: [...learners] }
  const candidates = [...voters, ...learners].map((id) => ({
    id,
    caughtUp: caughtUp.includes(id),
    gone: gone.includes(id),
  }))
  const change = nextVoterChange(configuration, candidates, target, 'a')
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
  const gone = [{ id: 'c', caughtUp: false, gone: true }]
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
