import t from 'tap'
import { BroadcastQueue } from '../../../discovery/membership/core/broadcast-queue.ts'
import { MemberTable } from '../../../discovery/membership/core/member-table.ts'
import { seededRandom } from '../../../discovery/membership/core/random.ts'
import { isLive } from '../../../discovery/membership/core/roster.ts'
import { DEFAULT_TIMINGS, type SwimAction } from '../../../discovery/membership/core/types.ts'
import { member } from './sim.ts'

function tableOf(count: number) {
  const actions: SwimAction[] = []
  const random = seededRandom(5)
  const ctx = { timings: DEFAULT_TIMINGS, random, emit: (action: SwimAction) => void actions.push(action) }
  const table = new MemberTable(member('me'), 0, ctx, new BroadcastQueue())
  for (let i = 0; i < count; i++) table.apply({ ...member(`n${i}`), status: 'alive' }, 0)
  return table
}

t.test('picks as many as asked, each once, never this node, all equally often', async (t) => {
  for (const count of [10, 300]) {
    const table = tableOf(count)
    const seen = new Map<string, number>()
    for (let i = 0; i < 20 * count; i++) {
      const picked = table.pick(3, () => true).map(({ id }) => id)
      if (new Set(picked).size !== 3) t.fail(`picked ${picked}`)
      if (picked.includes('me')) t.fail('picked itself')
      for (const id of picked) seen.set(id, (seen.get(id) ?? 0) + 1)
    }
    t.equal(seen.size, count)
    for (const [id, times] of seen) t.ok(times > 25 && times < 110, `${id} of ${count}: ${times}`)
  }
})

t.test('picks those that pass, however few', async (t) => {
  const table = tableOf(300)
  t.same(
    table.pick(3, ({ id }) => id === 'n7').map(({ id }) => id),
    ['n7'],
  )
  t.same(
    table.pick(3, () => false),
    [],
  )
})

t.test('counts the living', async (t) => {
  const table = tableOf(100)
  const counted = () => table.all().filter(isLive).length
  t.equal(table.liveCount, 101)
  for (let i = 0; i < 30; i++) table.apply({ status: 'failed', id: `n${i}`, incarnation: 1, from: 'n99' }, 10)
  t.equal(table.liveCount, 71)
  for (let i = 30; i < 40; i++)
    table.apply({ status: 'suspect', id: `n${i}`, incarnation: 1, from: 'n99' }, 20)
  t.equal(table.liveCount, 71)
  t.ok(table.deadline < Number.POSITIVE_INFINITY)
  for (let i = 30; i < 40; i++) table.apply({ ...member(`n${i}`, { incarnation: 2 }), status: 'alive' }, 30)
  t.equal(table.deadline, Number.POSITIVE_INFINITY)
  for (let i = 0; i < 5; i++) table.apply({ ...member(`n${i}`, { incarnation: 2 }), status: 'alive' }, 40)
  t.equal(table.liveCount, 76)
  for (let i = 40; i < 50; i++) table.apply({ status: 'left', id: `n${i}`, incarnation: 1 }, 50)
  table.reap(50 + DEFAULT_TIMINGS.leftKeptMs)
  t.equal(table.liveCount, counted())
  t.equal(table.all().length, 91)
  t.equal(table.pick(90, isLive).length, 65)
})

t.test('keeps a record as it came, whether gossiped or from an exchange', async (t) => {
  const table = tableOf(3)
  const gossiped = { ...member('new'), status: 'alive' } as const
  table.apply(gossiped, 10)
  t.equal(table.get('new'), gossiped)
  const exchanged = [
    { ...member('lives'), status: 'alive' },
    { ...member('left'), status: 'left' },
  ] as const
  table.merge(
    'n0',
    exchanged.map((member) => ({ member, ageMs: 0 })),
    20,
  )
  for (const record of exchanged) t.equal(table.get(record.id), record)
})
