import t from 'tap'
import { canHoldInstead, leaseRank, mayHoldLeases } from '../../agent/lease-standing.ts'
import { FakeMembership } from '../discovery/catalog/fixtures.ts'

function standing(cordoned: string[] = [], draining: string[] = []) {
  const membership = new FakeMembership('b')
  membership.set('a')
  membership.set('c', { meta: { priority: '10' } })
  membership.set('d', { status: 'failed' })
  return { membership, status: () => ({ cordoned, draining }) }
}

t.test('holders are preferred by priority, then by name, and cordoned ones come last', async (t) => {
  t.equal(leaseRank(standing()), 2, 'c by priority, a by name')
  t.equal(leaseRank(standing(['a', 'c'])), 0)
  t.equal(leaseRank(standing(['b'])), 2)
  t.equal(leaseRank(standing(['a', 'b', 'c'])), 2)
})

t.test('only those among whom a lease is count', async (t) => {
  t.equal(leaseRank(standing(), new Set(['a', 'b'])), 1)
  t.equal(leaseRank(standing(), new Set(['b', 'd'])), 0)
  t.equal(mayHoldLeases(standing(['b']), new Set(['b', 'd'])), true, 'nobody else could')
  t.equal(mayHoldLeases(standing(['b']), new Set(['b', 'c'])), false)
  t.equal(mayHoldLeases(standing([], ['b']), new Set(['b'])), false)
  t.equal(canHoldInstead(standing(['c']), new Set(['c', 'd'])), false)
  t.equal(canHoldInstead(standing(), new Set(['c'])), true)
})

t.test('a cordoned node holds leases only if nobody else can, a drained one never', async (t) => {
  t.equal(mayHoldLeases(standing()), true)
  t.equal(mayHoldLeases(standing(['b'])), false)
  t.equal(mayHoldLeases(standing(['a', 'b'])), false)
  t.equal(mayHoldLeases(standing(['a', 'b', 'c'])), true, 'the failed one does not count')
  t.equal(mayHoldLeases(standing(['a', 'b', 'c'], ['b'])), false)
})
