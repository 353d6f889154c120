import t from 'tap'
import { Departed } from '../../../discovery/membership/core/departed.ts'
import type { SyncEntry } from '../../../discovery/membership/core/types.ts'
import { ack, alive, Bench, failed, left, suspect } from './bench.ts'
import { member, SimCluster } from './sim.ts'

const entry = (id: string, status: SyncEntry['member']['status'], incarnation = 1): SyncEntry => ({
  member: member(id, { status, incarnation }),
  ageMs: 0,
})

t.test('a left that overtakes its alive is listed as left, and older news never revives it', async (t) => {
  const b = new Bench(['a'])
  t.same(b.hear('a', left('x', 2)), [], 'nobody knows where it was')
  t.equal(b.status('x'), undefined)
  b.hear('a', alive('x', 1))
  t.match(b.core.get('x'), { status: 'left', incarnation: 2, address: 'x:1' })
  b.hear('a', alive('x', 2))
  t.equal(b.status('x'), 'left', 'replayed')
  b.hear('a', alive('x', 3))
  t.equal(b.status('x'), 'alive', 'it came back')
})

t.test('a left that overtakes its alive takes no name from a living member', async (t) => {
  const b = new Bench(['a'])
  b.hear('a', left('old', 2))
  t.notOk(b.hear('a', alive('old', 1, { name: 'a' })).some((x) => x.type === 'conflict'))
  t.equal(b.status('old'), undefined)
  t.equal(b.status('a'), 'alive')
})

t.test('a member reaped after it left is not revived by one who still believes in it', async (t) => {
  const b = new Bench(['a', 'x'], { leftKeptMs: 1000 })
  b.hear('a', left('x', 2))
  b.tick(20_000, (_to, m) => ack(m))
  t.equal(b.status('x'), undefined, 'reaped')
  b.actions = []
  b.do((core) => core.merge('a', [entry('x', 'alive')], b.now))
  t.equal(b.status('x'), undefined)
  b.tick(21_000, (_to, m) => ack(m))
  const told = b
    .sent('gossip')
    .concat(b.sent('ping'))
    .flatMap((s) => s.message.updates)
  t.match(told, [{ status: 'left', id: 'x', incarnation: 2 }], 'and the teller hears of it')
  const [reply] = b.do((core) => core.message('x', { type: 'ping', seq: 1, updates: [] }, b.now))
  t.match(reply, { message: { updates: [{ status: 'left', id: 'x', incarnation: 2 }] } }, 'so does itself')
  b.hear('a', alive('x', 3))
  t.equal(b.status('x'), 'alive', 'its refutation counts')
})

t.test('forced leave: a failed member becomes left for everybody; others are refused', async (t) => {
  const b = new Bench(['a', 'c', 'd', 'e'])
  const force = (id: string, prune = false) => {
    const { refused, actions } = b.core.forceLeave(id, prune, b.now)
    b.actions.push(...actions)
    return refused
  }
  b.part('a')
  b.hear('c', failed('a', 1), suspect('d', 1))
  t.equal(force('nobody'), 'unknown')
  t.equal(force('me'), 'self')
  t.equal(force('c'), 'living')
  t.equal(force('d'), 'living', 'a suspect lives until the verdict')
  t.equal(force('a'), null)
  t.equal(b.status('a'), 'left')
  t.equal(force('a'), null, 'twice is once')
  b.actions = []
  b.tick(250)
  t.ok(
    b
      .sent('gossip')
      .flatMap((s) => s.message.updates)
      .some((u) => u.id === 'a' && u.status === 'left'),
  )
  t.notOk(b.actions.some((x) => x.type === 'dial' && x.id === 'a'))
  b.hear('c', alive('a', 1))
  t.equal(b.status('a'), 'left', 'old news')
  b.hear('c', alive('a', 2))
  t.equal(b.status('a'), 'alive', 'it lives after all')
})

t.test('pruned members are listed nowhere, whatever others still remember', async (t) => {
  const b = new Bench(['a', 'c'])
  b.part('a')
  b.hear('c', failed('a', 1))
  b.actions = []
  b.actions.push(...b.core.forceLeave('a', true, 0).actions)
  t.match(
    b.actions.map((x) => x.type),
    ['change', 'remove'],
  )
  t.match(b.actions[0], { member: { status: 'left' }, previous: { status: 'failed' } })
  t.equal(b.status('a'), undefined)
  b.actions = []
  b.do((core) => core.merge('c', [entry('a', 'failed')], 10))
  t.equal(b.status('a'), undefined)
  b.tick(400, (_to, m) => ack(m))
  t.match(
    b.sent('gossip').find((s) => s.to === 'c')?.message.updates,
    [{ status: 'left', id: 'a', incarnation: 1, prune: true }],
    'whoever remembers it is told',
  )
  const other = new Bench(['c'])
  other.hear('c', { status: 'left', id: 'a', incarnation: 1, prune: true })
  other.do((core) => core.merge('c', [entry('a', 'failed')], 10))
  t.equal(other.status('a'), undefined, 'also where it was never known')
  other.hear('c', alive('a', 2))
  t.equal(other.status('a'), 'alive', 'it is welcome when it comes back')

  const gone = new Bench(['a', 'c'])
  gone.hear('c', left('a', 2))
  gone.hear('c', { status: 'left', id: 'a', incarnation: 2, prune: true })
  t.equal(gone.status('a'), undefined, 'one that left can be pruned')
  const newer = new Bench(['a', 'c'])
  newer.hear('c', alive('a', 5))
  newer.hear('c', { status: 'left', id: 'a', incarnation: 4, prune: true })
  t.equal(newer.status('a'), 'alive', 'older than what is known')
})

t.test('what is remembered of the departed is bounded in number and time', async (t) => {
  const departed = new Departed(1000)
  const gone = { incarnation: 1, unlisted: false, prune: false, at: 0 }
  for (let i = 0; i < 3000; i++) departed.remember(`n${i}`, gone)
  t.equal(departed.size, 1024)
  t.equal(departed.get('n0', 0), undefined)
  t.match(departed.get('n2999', 999), { incarnation: 1 })
  t.notOk(departed.remember('n2999', gone), 'nothing new')
  t.ok(departed.remember('n2999', { ...gone, prune: true }), 'to be forgotten as well')
  t.notOk(departed.remember('n2999', gone), 'a prune is not taken back')
  t.ok(departed.remember('n2999', { ...gone, incarnation: 2 }))
  t.equal(departed.get('n2999', 1000), undefined)
})

t.test(
  '20 nodes: forced leave and prune reach everybody; a living one that was cut off comes back',
  async (t) => {
    const sim = SimCluster.converged(20, { seed: 31 })
    sim.kill('n7')
    t.ok(sim.runUntil(() => sim.everybodySees('n7', 'failed'), 3000))
    sim.act('n3', (core, now) => core.forceLeave('n7', false, now).actions)
    t.ok(
      sim.runUntil(() => sim.everybodySees('n7', 'left'), 2000),
      'left everywhere',
    )
    sim.act('n4', (core, now) => core.forceLeave('n7', true, now).actions)
    const forgotten = () => [...sim.nodes.values()].every((n) => !n.up || n.core.get('n7') === undefined)
    t.ok(sim.runUntil(forgotten, 2000), 'forgotten everywhere')
    sim.run(120_000)
    t.ok(forgotten(), 'full exchanges do not bring it back')
    sim.start('n7', { seed: 'n1', incarnation: 2 })
    t.ok(
      sim.runUntil(() => sim.everybodySees('n7', 'alive'), 3000),
      'it may come back',
    )

    const others = [...sim.nodes.keys()].filter((id) => id !== 'n9')
    sim.partition(['n9'], others, true)
    t.ok(sim.runUntil(() => others.every((id) => sim.status(id, 'n9') === 'failed'), 60_000))
    sim.act('n0', (core, now) => core.forceLeave('n9', true, now).actions)
    sim.run(5000)
    sim.heal()
    t.ok(
      sim.runUntil(() => sim.everybodySees('n9', 'alive'), 40_000),
      'it refutes what was said behind its back',
    )
  },
)
