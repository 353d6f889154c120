import t from 'tap'
import { ProbeList } from '../../../discovery/membership/core/probe-list.ts'
import { seededRandom } from '../../../discovery/membership/core/random.ts'

const IDS = Array.from({ length: 20 }, (_, i) => `n${i}`)

function listOf(ids: readonly string[]): ProbeList {
  const list = new ProbeList(seededRandom(3))
  for (const id of ids) list.add(id)
  return list
}

const next = (list: ProbeList, count: number) => Array.from({ length: count }, () => list.next(() => true))

t.test('a round names each once', async (t) => {
  const list = listOf(IDS)
  for (let round = 0; round < 3; round++) t.same(new Set(next(list, IDS.length)), new Set(IDS))
})

t.test('those that are not kept are dropped, and the round goes on with the others', async (t) => {
  for (const before of [0, 1, 7, 19, 20]) {
    const list = listOf(IDS)
    const done = next(list, before)
    const kept = (id: string) => Number(id.slice(1)) % 3 === 0
    list.retain(kept)
    const due = IDS.filter((id) => kept(id) && !done.includes(id))
    t.same(new Set(next(list, due.length)), new Set(due), `after ${before}`)
    t.same(new Set(next(list, 7)), new Set(IDS.filter(kept)), 'the next round')
    list.add('n1')
    t.ok(next(list, 16).includes('n1'), 'one that was dropped can come back')
  }
})
