import t from 'tap'
import { chooseFounders, mayFound, overlooksBetter, type Seed } from '../../consensus/founders.ts'
import { Random } from '../sim/random.ts'

const seeds = (...ids: (string | null)[]): Seed[] =>
  ids.map((id, at) => ({ address: `host-${id ?? at}:7946`, id }))

t.test('without addresses anybody is a founder, this node included', async (t) => {
  t.same(chooseFounders('c', ['d', 'a', 'b'], 3, []), { founders: ['a', 'b', 'c'] })
  t.same(chooseFounders('c', ['a'], 3, []), { waitingFor: '3 nodes to form a cluster; 2 here' })
  t.ok(mayFound(['a', 'b', 'c'], 'c', 3, []))
})

t.test('who is at fewer addresses than founders is a founder', async (t) => {
  t.same(chooseFounders('a', ['b', 'c', 'd'], 3, seeds('d')), { founders: ['a', 'b', 'd'] })
  t.same(chooseFounders('e', ['a', 'b', 'c', 'd'], 3, seeds('d', 'c')), { founders: ['c', 'd', 'e'] })
  t.match(chooseFounders('a', ['b', 'c'], 3, seeds('d')), {
    waitingFor: /^host-d:7946 \(cluster\.join\) to form/,
  })
  t.match(chooseFounders('a', ['b', 'c'], 3, seeds('b', null)), { waitingFor: /^host-1:7946 / })
  t.notOk(mayFound(['a', 'b', 'c'], 'a', 3, seeds('d')))
  t.notOk(mayFound(['a', 'b', 'c'], 'a', 3, seeds('b', null)), 'who is at the other address is not known')
  t.ok(mayFound(['a', 'b', 'd'], 'a', 3, seeds('d')))
  t.same(
    chooseFounders('a', ['b', 'c', 'd'], 3, seeds('d', 'd', 'd', 'd')),
    { founders: ['a', 'b', 'd'] },
    'one node',
  )
})

t.test('with as many addresses as founders, the others are at them', async (t) => {
  t.same(chooseFounders('z', ['a', 'b', 'c', 'd'], 3, seeds('b', 'd', 'c')), { founders: ['b', 'c', 'd'] })
  t.same(chooseFounders('z', ['a', 'b', 'd'], 3, seeds('b', 'd', 'c')), { founders: ['b', 'd', 'z'] })
  t.same(chooseFounders('b', ['a', 'd'], 3, seeds('c', 'd', 'e')), {
    waitingFor: '3 nodes to form a cluster; 2 here',
  })
  t.notOk(mayFound(['a', 'b', 'c'], 'b', 3, seeds('c', 'd', 'e')))
  t.ok(mayFound(['c', 'd', 'e'], 'c', 3, seeds('d', 'e', null)))
  t.notOk(mayFound(['a', 'f', 'z'], 'z', 3, seeds('a', 'b', 'c', 'd', 'e', 'f')), 'only the first four count')
})

t.test('two attempts that all their founders accept share one', async (t) => {
  const random = new Random(7)
  const ids = Array.from({ length: 9 }, (_, i) => `n${i}`)
  let accepted = 0
  let pairs = 0
  for (let round = 0; round < 400; round++) {
    const expect = random.pick([2, 3, 4])
    const list = random.shuffle([...ids]).slice(0, 1 + random.below(8))
    // With its own address or without: it is left out in any case.
    const seedsOf = (id: string) => seeds(...list.filter((other) => other !== id))
    const attempts = Array.from({ length: 60 }, () => random.shuffle([...ids]).slice(0, expect)).filter(
      (founders) => founders.every((id) => mayFound(founders, id, expect, seedsOf(id))),
    )
    accepted += attempts.length
    for (const one of attempts) {
      for (const other of attempts) {
        pairs++
        if (!one.some((id) => other.includes(id))) t.fail(`${list} for ${expect}: ${one} and ${other}`)
      }
    }
  }
  t.ok(accepted > 500, `${accepted} attempts`)
  t.ok(pairs > 5000, `${pairs} pairs`)
})

t.test('what a node proposes it accepts, and if all see all, one attempt comes out', async (t) => {
  const random = new Random(8)
  const ids = Array.from({ length: 7 }, (_, i) => `n${i}`)
  for (let round = 0; round < 300; round++) {
    const expect = random.pick([1, 2, 3, 4, 5])
    const list = random.shuffle([...ids]).slice(0, random.below(8))
    const proposals = ids.flatMap((id) => {
      const named = seeds(...list.filter((other) => other !== id))
      const choice = chooseFounders(
        id,
        ids.filter((other) => other !== id),
        expect,
        named,
      )
      if ('waitingFor' in choice) return []
      if (!mayFound(choice.founders, id, expect, named))
        t.fail(`${id} of ${list} for ${expect}: ${choice.founders}`)
      return choice.founders[0] === id ? [choice.founders] : []
    })
    const good = proposals.filter((founders) =>
      founders.every((id) => {
        const named = seeds(...list.filter((other) => other !== id))
        const others = ids.filter((other) => other !== id)
        return mayFound(founders, id, expect, named) && !overlooksBetter(founders, id, others, named)
      }),
    )
    if (good.length === 0) t.fail(`nobody proposes anything that all accept: ${list} for ${expect}`)
  }
  t.pass('300 lists')
})

t.test('without addresses a better founder is not overlooked', async (t) => {
  t.ok(overlooksBetter(['d', 'e', 'f'], 'f', ['a', 'd', 'e'], []))
  t.notOk(overlooksBetter(['d', 'e', 'f'], 'f', ['d', 'e', 'g'], []))
  t.notOk(overlooksBetter(['a', 'b', 'x'], 'x', ['a', 'b', 'c'], []), 'x belongs to all of its own choices')
  t.notOk(overlooksBetter(['d', 'e', 'f'], 'f', ['a', 'd', 'e'], seeds('d')), 'the addresses say who founds')
})
