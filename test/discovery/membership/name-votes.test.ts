import t from 'tap'
import { NameVotes } from '../../../discovery/membership/core/name-votes.ts'
import type { SyncEntry } from '../../../discovery/membership/core/types.ts'
import { alive, Bench } from './bench.ts'
import { member, SimCluster } from './sim.ts'

const HOLDER = { id: 'h', incarnation: 3 }

function votes(forRival: number, forHolder: number): NameVotes {
  const cast = new NameVotes()
  for (let i = 0; i < forRival; i++) cast.cast('web', `r${i}`, 'r')
  for (let i = 0; i < forHolder; i++) cast.cast('web', `h${i}`, 'h')
  return cast
}

t.test('the one that most members list has the name', async (t) => {
  const young = { id: 'r', incarnation: 1 }
  t.equal(votes(3, 0).isOutvoted('web', HOLDER, young, 5), true, 'three of five')
  t.equal(votes(2, 0).isOutvoted('web', HOLDER, young, 5), false, 'the others are still to be heard')
  t.equal(votes(2, 2).isOutvoted('web', HOLDER, young, 5), false)
  t.equal(votes(9, 0).isOutvoted('web', HOLDER, young, 300), true, 'of a large cluster some are asked')
  t.equal(votes(9, 12).isOutvoted('web', HOLDER, young, 300), false)
})

t.test('of as many, the one that was told of more often, then the smaller id', async (t) => {
  for (const [rival, expected] of [
    [{ id: 'r', incarnation: 4 }, true],
    [{ id: 'r', incarnation: 2 }, false],
    [{ id: 'a', incarnation: 3 }, true],
    [{ id: 'z', incarnation: 3 }, false],
  ] as const) {
    const cast = new NameVotes()
    cast.cast('web', 'p1', rival.id)
    cast.cast('web', 'p2', rival.id)
    cast.cast('web', 'p3', HOLDER.id)
    t.equal(cast.isOutvoted('web', HOLDER, rival, 4), expected, JSON.stringify(rival))
  }
})

t.test('the last word of a peer counts, and their number has a bound', async (t) => {
  const cast = votes(3, 0)
  for (let i = 0; i < 3; i++) cast.cast('web', `r${i}`, 'h')
  t.equal(cast.isOutvoted('web', HOLDER, { id: 'r', incarnation: 1 }, 4), false)
  for (let i = 0; i < 1000; i++) cast.cast(`name-${i}`, 'p', 'x')
  t.ok([...cast.names()].length <= 64)
})

const entry = (id: string, more: object = {}): SyncEntry => ({ member: member(id, more), ageMs: 0 })
const TWIN = entry('twin', { name: 'h' })

t.test('a newcomer does not get a name by saying so, nor by what one peer has heard', async (t) => {
  const b = new Bench(['h', 'p1', 'p2', 'p3'])
  b.do((core) => core.merge('twin', [TWIN], 0))
  b.do((core) => core.merge('p1', [TWIN], 0))
  for (const from of ['p1', 'p2', 'p3']) b.hear(from, alive('twin', 9, { name: 'h' }))
  t.equal(b.status('h'), 'alive')
  t.equal(b.status('twin'), undefined)
})

t.test('the holder makes room for the one that most of the others list, and is told', async (t) => {
  const b = new Bench(['h', 'p1', 'p2', 'p3'])
  for (const from of ['p1', 'p2']) b.do((core) => core.merge(from, [TWIN], 0))
  t.equal(b.status('h'), 'alive', 'two of four')
  const actions = b.do((core) => core.merge('p3', [TWIN], 0))
  t.match(
    actions.filter(({ type }) => type === 'conflict' || type === 'remove'),
    [
      { type: 'conflict', holder: { id: 'twin' }, newcomer: { id: 'h' } },
      { type: 'remove', member: { id: 'h' } },
    ],
  )
  t.strictSame([b.status('h'), b.status('twin')], [undefined, 'alive'])
  b.hear('p1', alive('h', 5))
  t.equal(b.status('h'), undefined, 'it waits as any newcomer')
})

t.test(
  'one name on both sides of a partition is that of one node everywhere when it has healed',
  async (t) => {
    for (const [sides, seed] of [
      [2, 1],
      [2, 2],
      [1, 3],
      [3, 4],
    ] as const) {
      const sim = SimCluster.converged(5, { seed })
      const all = ['n0', 'n1', 'n2', 'n3', 'n4']
      const here = all.slice(0, sides)
      const there = all.slice(sides)
      sim.partition(here, there, true)
      sim.partition(['twin'], there)
      sim.run(60_000)
      sim.start('twin', { name: 'n4', seed: 'n0' })
      sim.run(30_000)
      t.equal(sim.status('n0', 'twin'), 'alive', `${sides} of 5: it has the name on its side`)
      t.equal(sim.status('n3', 'n4'), 'alive')
      sim.heal()
      const judges = ['n0', 'n1', 'n2', 'n3']
      const holders = () =>
        judges.map((id) => ['n4', 'twin'].filter((who) => sim.status(id, who) === 'alive').join(' and '))
      const agreed = sim.runUntil(() => new Set(holders()).size === 1 && holders()[0] !== '', 600_000)
      t.ok(agreed, `${sides} of 5: ${holders().join(', ')}`)
      sim.run(120_000)
      t.equal(new Set(holders()).size, 1, 'and it stays')
      if (sides === 1) t.equal(holders()[0], 'n4', 'the side with more of them')
      if (sides === 3) t.equal(holders()[0], 'twin')
    }
  },
)
