import t from 'tap'
import { initialConfiguration } from '../../consensus/raft/configuration.ts'
import { isCaughtUp, nextVoterChange } from '../../consensus/voters.ts'

function next(voters: string[], learners: string[], caughtUp: string[], target = 5): string[] | null {
  const configuration = { ...initialConfiguration(voters), learners }
  const candidates = [...voters, ...learners].map((id) => ({ id, caughtUp: caughtUp.includes(id) }))
  return nextVoterChange(configuration, candidates, target)?.steps.map(({ node }) => node) ?? null
}

t.test('learners become voters so that their number stays odd and within the target', async (t) => {
  t.equal(next(['a'], ['b'], ['b']), null, 'two voters are worse than one')
  t.same(next(['a'], ['b', 'c'], ['b', 'c']), ['b', 'c'])
  t.equal(next(['a'], ['b', 'c'], ['c']), null)
  t.same(next(['a', 'b'], ['c'], ['c']), ['c'])
  t.same(next(['a', 'b', 'c'], ['d', 'e', 'f'], ['d', 'e', 'f']), ['d', 'e'])
  t.equal(next(['a', 'b', 'c', 'd', 'e'], ['f', 'g'], ['f', 'g']), null)
})

t.test('a node that never answered is no candidate, however short the log', async (t) => {
  t.equal(isCaughtUp({ recentActive: true, matchIndex: 0 }, 3), false)
  t.equal(isCaughtUp({ recentActive: false, matchIndex: 3 }, 3), false)
  t.equal(isCaughtUp({ recentActive: true, matchIndex: 1 }, 3), true)
  t.equal(isCaughtUp({ recentActive: true, matchIndex: 100 }, 165), false)
})
