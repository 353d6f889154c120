import t from 'tap'
import { Feeders } from '../../consensus/feeders.ts'

function feeders(options: { draws?: number[] } = {}) {
  const draws = options.draws ?? []
  const result = new Feeders({ nodeId: 'x', tickMs: 10, random: () => draws.shift() ?? 0 })
  result.setMembers({ voters: ['a', 'b', 'c'], learners: ['d', 'x'] })
  result.setLeader('a')
  return result
}

t.test('one of those that do not lead is drawn, never the node itself', (t) => {
  const each = feeders({ draws: [0, 0.4, 0.99] })
  t.same([each.pick(0), each.pick(0), each.pick(0)], ['b', 'c', 'd'])
  each.setLeader('')
  t.equal(each.pick(0), 'b', 'a leader that is lost is spared on')
  each.setLeader('b')
  t.equal(each.pick(0), 'a')
  t.end()
})

t.test('who failed is left alone, ever longer, until it works; the leader is the last resort', (t) => {
  const some = feeders()
  for (const id of ['b', 'c', 'd']) some.failed(id, 0)
  t.equal(some.pick(19), 'a')
  some.failed('a', 0)
  t.equal(some.pick(19), null)
  t.equal(some.pick(20), 'b')
  some.failed('b', 20)
  t.equal(some.pick(59), 'c')
  for (let i = 0; i < 20; i++) some.failed('b', 100)
  for (const id of ['a', 'c', 'd']) some.failed(id, 5000)
  t.equal(some.pick(1099), null)
  t.equal(some.pick(1100), 'b', 'but not for ever')
  some.failed('b', 2000)
  some.worked('b')
  t.equal(some.pick(2000), 'b')
  some.failed('b', 2000)
  t.equal(some.pick(2020), 'b', 'it starts anew')
  t.end()
})

t.test('a leader that feeds is left when another one is free', (t) => {
  const some = feeders()
  t.equal(some.isBetterThan('a', 0), true)
  t.equal(some.isBetterThan('b', 0), false)
  for (const id of ['b', 'c', 'd']) some.failed(id, 0)
  t.equal(some.isBetterThan('a', 0), false)
  some.setMembers({ voters: ['a'], learners: ['e'] })
  t.equal(some.pick(0), 'e')
  t.same(some.members, ['a', 'e'])
  t.end()
})
