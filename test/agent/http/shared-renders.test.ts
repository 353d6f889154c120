import t, { type Test } from 'tap'
import { SharedRenders, type SharedRendersOptions } from '../../../agent/http/shared-renders.ts'

function renders(options: Partial<SharedRendersOptions> = {}) {
  const clock = { now: 0 }
  const shared = new SharedRenders({
    ...{ keptMs: 1000, entriesMax: 3, bytesMax: 100, now: () => clock.now },
    ...options,
  })
  let made = 0
  /** How often this question had to be answered anew. */
  const times = (...asked: readonly (readonly [url: string, index: number, body?: string])[]): number => {
    const before = made
    for (const [url, index, body = url] of asked) {
      shared.get(url, index, () => {
        made++
        return body
      })
    }
    return made - before
  }
  return { shared, clock, times }
}

const same = (t: Test, urls: readonly string[], expected: boolean): void => {
  const { times } = renders()
  for (const url of urls.slice(1))
    t.equal(times(['/other', 1], [urls[0] ?? '', 1], [url, 1]) < 3, expected, `${urls[0]} and ${url}`)
}

t.test('a body is made once for an index, for a second', async (t) => {
  const { shared, clock, times } = renders()
  t.equal(times(['/a', 1], ['/a', 1], ['/b', 1]), 2)
  t.equal(times(['/a', 2], ['/a', 2]), 1, 'another index')
  t.equal(times(['/a', 1]), 1, 'also a smaller one')
  clock.now = 999
  t.equal(times(['/a', 1]), 0)
  clock.now = 1000
  t.equal(times(['/a', 1]), 1)
  const [one, two] = [shared.get('/é', 1, () => '"é"'), shared.get('/é', 1, () => 'no')]
  t.equal(one, two)
  t.equal(one.text, '"é"')
  t.equal(String(one.bytes), '"é"')
})

t.test('what does not change the answer makes no difference, the rest does', async (t) => {
  same(t, ['/x', '/x?index=3', '/x?wait=1s&index=4&stale=&token=s', '/x?consistent', '/x?dc=dc1'], true)
  for (const other of ['/y', '/x?passing', '/x?passing=false', '/x?tag=a', '/x?filter=a', '/x?pretty'])
    same(t, ['/x', other], false)
  same(t, ['/x?tag=a&tag=b', '/x?tag=a'], false)
})

t.test('what is kept has a bound', async (t) => {
  const { times } = renders()
  t.equal(times(['/a', 1], ['/b', 1], ['/c', 1], ['/d', 1]), 4)
  t.equal(times(['/b', 1], ['/c', 1], ['/d', 1]), 0)
  t.equal(times(['/a', 1]), 1, 'the oldest went')

  const small = renders().times
  const body = 'x'.repeat(60)
  t.equal(small(['/a', 1, body], ['/b', 1, body], ['/b', 1]), 2)
  t.equal(small(['/a', 1, body]), 1, 'two of them are more than 100 bytes')
  t.equal(small(['/big', 1, 'x'.repeat(101)], ['/big', 1, 'x'.repeat(101)], ['/a', 1]), 2, 'the others stay')
})
