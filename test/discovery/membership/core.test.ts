import t from 'tap'
import { Awareness } from '../../../discovery/membership/core/awareness.ts'
import { BroadcastQueue, retransmitLimit } from '../../../discovery/membership/core/broadcast-queue.ts'
import { ProbeList } from '../../../discovery/membership/core/probe-list.ts'
import { seededRandom } from '../../../discovery/membership/core/random.ts'
import { remainingSuspicionMs, Suspicion } from '../../../discovery/membership/core/suspicion.ts'
import type { SwimMessage, SyncEntry } from '../../../discovery/membership/core/types.ts'
import { ack, alive, Bench, failed, left, suspect } from './bench.ts'
import { member } from './sim.ts'

t.test('remaining suspicion', async (t) => {
  // confirmations, k, elapsed, min, max → remaining (memberlist's table)
  for (const [c, k, elapsed, expected] of [
    [0, 3, 0, 30_000],
    [1, 3, 2000, 14_000],
    [2, 3, 3000, 4810],
    [3, 3, 4000, -2000],
    [4, 3, 5000, -3000],
    [5, 3, 10_000, -8000],
    [0, 0, 0, 2000],
  ] as const) {
    t.equal(remainingSuspicionMs(c, k, elapsed, 2000, 30_000), expected, `${c} of ${k} after ${elapsed}`)
  }
})

t.test('confirmations shorten a suspicion, each accuser once', async (t) => {
  const one = new Suspicion('a', 100, 2, 1000, 5000)
  t.equal(one.deadline, 5100)
  t.notOk(one.confirm('a'), 'the first accuser is no confirmation')
  t.ok(one.confirm('b'))
  t.notOk(one.confirm('b'))
  t.ok(one.deadline < 5100 && one.deadline > 1100)
  t.ok(one.confirm('c'))
  t.equal(one.deadline, 1100)
  t.notOk(one.confirm('d'), 'enough is enough')
  one.shift(300)
  t.equal(one.deadline, 1400)
  t.equal(new Suspicion('a', 0, 0, 1000, 5000).deadline, 1000, 'nobody to confirm: the shortest')
})

t.test(
  'a verdict of others ends a suspicion early, but not before it may end and the suspect was looked at',
  async (t) => {
    const fresh = new Suspicion('a', 0, 2, 1000, 5000, 300)
    t.ok(fresh.conclude(100))
    t.notOk(fresh.conclude(900), 'once')
    t.equal(fresh.deadline, 1000)
    t.equal(fresh.nextAt, 700, 'the last look')
    const old = new Suspicion('a', 0, 2, 1000, 5000, 300)
    old.conclude(3000)
    t.equal(old.nextAt, 3000)
    t.equal(old.deadline, 3300)
    const over = new Suspicion('a', 0, 2, 1000, 5000, 300)
    over.conclude(4900)
    t.equal(over.deadline, 5000, 'no later than it was')
    const stalled = new Suspicion('a', 0, 2, 1000, 5000, 300)
    stalled.conclude(3000)
    stalled.shift(50)
    t.equal(stalled.deadline, 3350)
  },
)

t.test('awareness stays within 0 and 8 and stretches time', async (t) => {
  const awareness = new Awareness()
  awareness.apply(-5)
  t.equal(awareness.scale(500), 500)
  awareness.apply(20)
  t.equal(awareness.score, 8)
  t.equal(awareness.scale(500), 4500)
})

t.test('broadcast queue: least sent first, then newest, bounded in bytes and sends', async (t) => {
  const queue = new BroadcastQueue()
  queue.push(alive('a', 1))
  queue.push(alive('b', 1))
  const size = JSON.stringify(alive('a', 1)).length
  t.same(
    queue.take(size, 3).map((u) => u.id),
    ['b'],
  )
  t.same(
    queue.take(size, 3).map((u) => u.id),
    ['a'],
    'the one less sent',
  )
  queue.push(alive('a', 2))
  t.equal(queue.size, 2, 'news replaces older news of the same member')
  t.same(
    queue.take(10_000, 3).map((u) => `${u.id}${u.incarnation}`),
    ['a2', 'b1'],
  )
  queue.take(10_000, 3)
  t.same(
    queue.take(10_000, 3).map((u) => u.id),
    ['a'],
    'b was sent three times',
  )
  t.equal(queue.size, 0)
  t.equal(retransmitLimit(4, 1), 4)
  t.equal(retransmitLimit(4, 9), 4)
  t.equal(retransmitLimit(4, 10), 8)
  t.equal(retransmitLimit(4, 100), 12)
})

t.test('probe list: everybody once a round, newcomers too, the gone are dropped', async (t) => {
  const list = new ProbeList(seededRandom(1))
  for (const id of ['a', 'b', 'c', 'd']) list.add(id)
  list.add('a')
  const round = (accept: (id: string) => boolean = () => true) =>
    Array.from({ length: 4 }, () => list.next(accept))
  t.same(round().sort(), ['a', 'b', 'c', 'd'])
  t.same(round().sort(), ['a', 'b', 'c', 'd'])
  t.notOk(round((id) => id !== 'b').includes('b'))
  t.notOk(round().includes('b'))
  list.add('b')
  t.ok([...round(), ...round()].includes('b'))
  t.equal(
    new ProbeList(seededRandom(1)).next(() => true),
    undefined,
  )
})

t.test('alive: new, idempotent, older, newer meta', async (t) => {
  const b = new Bench([])
  const [change] = b.hear('x', alive('a', 3))
  t.match(change, {
    type: 'change',
    member: { id: 'a', status: 'alive', incarnation: 3 },
    previous: undefined,
  })
  t.same(b.hear('x', alive('a', 3)), [], 'the same again is no news')
  t.same(b.hear('x', alive('a', 2, { meta: { old: '1' } })), [], 'an older one is ignored')
  t.match(b.hear('x', alive('a', 4, { meta: { k: 'v' } }))[0], { member: { meta: { k: 'v' } } })
})

t.test('alive clears a suspicion with a higher incarnation only', async (t) => {
  const b = new Bench(['a', 'c', 'd', 'e'])
  for (const action of b.hear('c', suspect('a', 1))) {
    const reply = action.type === 'send' ? ack(action.message) : undefined
    if (reply) b.do((core) => core.message('a', reply, 0))
  }
  b.hear('c', alive('a', 1))
  t.equal(b.status('a'), 'suspect')
  b.hear('c', alive('a', 2))
  t.equal(b.status('a'), 'alive')
  b.tick(60_000, (_to, message) => ack(message))
  t.equal(b.status('a'), 'alive', 'the old suspicion does not strike later')
})

t.test('suspect: unknown, old, double, with a newer incarnation', async (t) => {
  const b = new Bench(['a', 'c'])
  t.same(b.hear('c', suspect('nobody', 5)), [])
  b.hear('c', alive('a', 5))
  b.hear('c', suspect('a', 4))
  t.equal(b.status('a'), 'alive', 'old')
  b.hear('c', suspect('a', 6))
  t.match(b.core.get('a'), { status: 'suspect', incarnation: 6 })
  const again = b.hear('d', suspect('a', 6, 'c'))
  t.notOk(again.some((a) => a.type === 'change'))
})

t.test('a suspicion runs out', async (t) => {
  const b = new Bench(['a', 'c'], { probeIntervalMs: 1000 })
  b.hear('c', suspect('a', 1))
  const answer = (to: string, message: SwimMessage) => (to === 'a' ? undefined : ack(message))
  b.tick(3900, answer)
  t.equal(b.status('a'), 'suspect')
  b.tick(4100, answer)
  t.equal(b.status('a'), 'failed', 'after 4 × the probe interval in a cluster of three')
  t.ok(
    b.sent('ping').some((s) => s.to === 'a'),
    'not without having looked itself',
  )
})

t.test('failed: old, double, replay of the old alive, and back with a higher incarnation', async (t) => {
  const b = new Bench(['a'])
  b.hear('x', alive('a', 5))
  b.part('a')
  b.hear('x', failed('a', 4))
  t.equal(b.status('a'), 'alive')
  b.hear('x', failed('a', 5))
  t.equal(b.status('a'), 'failed')
  t.same(b.hear('x', failed('a', 5)), [])
  b.hear('x', alive('a', 5))
  t.equal(b.status('a'), 'failed', 'an old alive does not revive')
  b.hear('x', suspect('a', 5))
  t.equal(b.status('a'), 'failed')
  b.hear('x', alive('a', 6))
  t.equal(b.status('a'), 'alive')
})

t.test('left is not failed, beats it, and needs a higher incarnation to come back', async (t) => {
  const b = new Bench(['a', 'c'])
  b.hear('c', left('a', 2))
  t.equal(b.status('a'), 'left')
  b.hear('c', failed('a', 2), suspect('a', 9), alive('a', 2))
  t.equal(b.status('a'), 'left')
  b.hear('c', alive('a', 3))
  t.equal(b.status('a'), 'alive')
  b.hear('c', failed('a', 3), left('a', 4))
  t.equal(b.status('a'), 'left')
})

t.test('a node refutes what is said against it, and stale data about it', async (t) => {
  const b = new Bench(['a'])
  for (const [update, incarnation] of [
    [suspect('me', 1), 2],
    [suspect('me', 1), 2],
    [failed('me', 7), 8],
    [left('me', 8), 9],
    [alive('me', 9, { meta: { not: 'mine' } }), 10],
    [alive('me', 10, { name: 'me', address: 'me:1' }), 10],
    [alive('me', 20), 21],
  ] as const) {
    b.hear('a', update)
    t.match(b.core.self(), { status: 'alive', incarnation }, JSON.stringify(update))
  }
  t.equal(b.core.healthScore, 5, 'each refutation says that this node was slow')
})

t.test('probes, suspicions and refutations are counted', async (t) => {
  const b = new Bench(['a', 'c', 'd', 'e'])
  t.match(b.core.counts, { answered: 0, silent: 0, raised: 0, heard: 0, refutations: 0 })
  b.hear('c', suspect('a', 1))
  b.hear('c', alive('a', 2))
  t.match(b.core.counts, { raised: 0, heard: 1, refuted: 1, falselyRaised: 0 })
  const unreachable = (id: string) => {
    b.do((core) => core.peerDisconnected(id, 0))
    b.do((core) => core.dialed(id, 'refused', 0))
  }
  unreachable('d')
  b.hear('c', alive('d', 2))
  t.match(b.core.counts, { raised: 1, heard: 1, refuted: 2, falselyRaised: 1 }, 'its own was false')
  unreachable('e')
  b.hear('c', failed('e', 1))
  t.match(b.core.counts, { raised: 2, refuted: 2 }, 'a death is no refutation')
  b.hear('c', suspect('me', 1))
  t.equal(b.core.counts.refutations, 1)
})

t.test('an accuser that missed the refutation is told again', async (t) => {
  const b = new Bench(['a'])
  b.hear('a', suspect('me', 1))
  const [reply] = b.hear('c', suspect('me', 1))
  t.match(reply, {
    type: 'send',
    to: 'c',
    message: { updates: [{ status: 'alive', id: 'me', incarnation: 2 }] },
  })
})

t.test('after leaving, nothing is refuted and nobody is probed', async (t) => {
  const b = new Bench(['a', 'c'])
  const actions = b.do((core) => core.leave(0))
  const told = actions.flatMap((a) => (a.type === 'send' ? [a] : []))
  t.same(told.map((a) => a.to).sort(), ['a', 'c'])
  const seq = told[0]?.message.type === 'ping' ? told[0].message.seq : -1
  t.match(
    b.do((core) => core.message('a', { type: 'ack', seq, updates: [] }, 5)),
    [{ type: 'leave-acked', by: 'a' }],
  )
  b.hear('a', failed('me', 9))
  t.match(b.core.self(), { status: 'left', incarnation: 2 })
  b.actions = []
  b.tick(60_000)
  t.same(b.sent('ping'), [])
  t.same(
    b.do((core) => core.peerDisconnected('a', 60_000)),
    [],
  )
})

t.test(
  'probe: ping, then three helpers, then suspicion; missing nacks make this node doubt itself',
  async (t) => {
    const all = ['a', 'c', 'd', 'e', 'f']
    const b = new Bench(all)
    const nack = (message: SwimMessage): SwimMessage | undefined =>
      message.type === 'ping-req' ? { type: 'nack', seq: message.seq, updates: [] } : undefined
    b.tick(2500, (to, message) => (to === 'a' ? undefined : (ack(message) ?? nack(message))))
    b.tick(9000, (to, message) => (to === 'a' ? undefined : (ack(message) ?? nack(message))))
    t.not(b.status('a'), 'alive')
    t.same(
      all.slice(1).map((id) => b.status(id)),
      ['alive', 'alive', 'alive', 'alive'],
    )
    const asked = b.sent('ping-req')
    t.ok(asked.length >= 3)
    t.equal(new Set(asked.slice(0, 3).map((s) => s.to)).size, 3)
    t.notOk(asked.some((s) => s.to === 'a'))
    t.equal(b.core.healthScore, 0, 'the helpers answered: the fault is not here')

    const deaf = new Bench(all)
    deaf.tick(3000)
    t.ok(deaf.core.healthScore >= 3, 'nobody answers: the fault may be here')
  },
)

t.test('an indirect ack keeps a member alive', async (t) => {
  const b = new Bench(['a', 'c'])
  b.tick(30_000, (to, message) => {
    if (message.type === 'ping-req') return { type: 'ack', seq: message.seq, updates: [] }
    return to === 'a' ? undefined : ack(message)
  })
  t.ok(b.sent('ping-req').length > 0)
  t.equal(b.status('a'), 'alive')
})

t.test(
  'an answer measures the round trip, unless this process stood still or somebody else brought it',
  async (t) => {
    const b = new Bench(['a'])
    const ping = () => {
      b.actions = []
      while (b.sent('ping').length === 0) b.tick(b.core.deadline)
      const sent = b.sent('ping')[0]?.message
      return sent?.type === 'ping' ? sent.seq : -1
    }
    const coordinate = { vec: [0.01, 0, 0, 0, 0, 0, 0, 0], height: 0, adjustment: 0, error: 1 }
    const answer = (seq: number, at: number, from = 'a') =>
      b.do((core) => core.message(from, { type: 'ack', seq, updates: [], coordinate }, at))
    const seq = ping()
    t.match(answer(seq, b.now + 10), [{ type: 'rtt', id: 'a', rttMs: 10 }])
    t.ok(b.core.places.rttMs('me', 'a'))
    t.same(answer(seq, b.now + 11), [], 'once')
    answer(1, b.now, 'stranger')
    t.equal(b.core.places.get('stranger'), null, 'only members are kept')

    const before = b.core.places.get('me')
    const late = ping()
    b.now += 5000
    b.do((core) => core.tick(b.now))
    t.same(answer(late, b.now), [], 'this process stood still')
    t.equal(b.core.places.get('me'), before)
    b.hear('x', failed('a', 1))
    b.tick(b.now + 300_000_000)
    t.equal(b.core.places.get('a'), null, 'forgotten with the member')
  },
)

t.test('places travel with the full exchange', async (t) => {
  const b = new Bench(['a', 'c'])
  const coordinate = { vec: [0.01, 0, 0, 0, 0, 0, 0, 0], height: 0, adjustment: 0, error: 1 }
  const place = (x: number, ageMs: number) => ({
    coordinate: { ...coordinate, vec: [x, 0, 0, 0, 0, 0, 0, 0] },
    ageMs,
  })
  const entry = (id: string, x: number, ageMs: number): SyncEntry => ({
    member: member(id),
    ageMs: 0,
    place: place(x, ageMs),
  })
  b.do((core) => core.merge('x', [entry('a', 0.01, 100), entry('c', 0.03, 0)], 5000))
  t.equal(Math.round(b.core.places.rttMs('a', 'c') ?? 0), 20)
  b.do((core) => core.merge('x', [entry('a', 0.02, 200)], 5000))
  t.equal(b.core.places.get('a')?.vec[0], 0.01, 'older')
  const said = b.core.snapshot(6000).find((e) => e.member.id === 'a')
  t.equal(said?.place?.ageMs, 1100)
  b.do((core) => core.merge('x', [entry('me', 0.5, 0)], 5000))
  t.equal(b.core.places.get('me'), null, 'nobody else says where this node is')
})

t.test('helper: pings for others, relays the ack, nacks in time', async (t) => {
  const b = new Bench(['a', 'c'])
  const request: SwimMessage = { type: 'ping-req', seq: 77, target: 'c', updates: [] }
  const [ping] = b.do((core) => core.message('a', request, 0))
  if (ping?.type !== 'send' || ping.message.type !== 'ping') throw new Error('no ping')
  t.equal(ping.to, 'c')
  const { seq } = ping.message
  t.same(
    b.do((core) => core.message('x', { type: 'ack', seq, updates: [] }, 10)),
    [],
    'from the target only',
  )
  t.match(
    b.do((core) => core.message('c', { type: 'ack', seq, updates: [] }, 10)),
    [{ type: 'send', to: 'a', message: { type: 'ack', seq: 77 } }],
  )
  b.do((core) => core.message('a', { ...request, seq: 78 }, 10))
  b.actions = []
  b.tick(405)
  t.same(b.sent('nack'), [])
  b.tick(415)
  t.match(b.sent('nack'), [{ to: 'a', message: { seq: 78 } }])
  b.do((core) => core.peerDisconnected('c', 500))
  b.actions = []
  b.do((core) => core.message('a', { ...request, seq: 79 }, 500))
  t.match(b.sent('nack'), [{ to: 'a', message: { seq: 79 } }], 'at once without a connection')
})

t.test('buddy: a suspect is told with the first message to it', async (t) => {
  const b = new Bench(['a', 'c'])
  b.hear('c', suspect('a', 1))
  const toA = b.sent('ping').filter((s) => s.to === 'a')
  t.match(toA[0]?.message.updates[0], { status: 'suspect', id: 'a', incarnation: 1 })
  const [reply] = b.do((core) => core.message('a', { type: 'ping', seq: 1, updates: [] }, 1))
  t.match(reply, { message: { type: 'ack', updates: [{ status: 'suspect', id: 'a' }] } })
})

t.test('a failed member that still talks is told, and refutes', async (t) => {
  const b = new Bench(['a', 'c'])
  b.part('a')
  b.hear('c', failed('a', 1))
  const [reply] = b.do((core) => core.message('a', { type: 'ping', seq: 1, updates: [] }, 1))
  t.match(reply, { message: { type: 'ack', updates: [{ status: 'failed', id: 'a', incarnation: 1 }] } })
})

t.test(
  'evidence: dialled at once, suspect when refused, failed when others do not reach it either',
  async (t) => {
    const b = new Bench(['a', 'c', 'd'])
    const first = b.do((core) => core.peerDisconnected('a', 0))
    t.equal(b.status('a'), 'alive', 'a lost connection alone accuses nobody')
    t.ok(first.some((x) => x.type === 'dial' && x.id === 'a'))
    t.equal(first.filter((x) => x.type === 'send' && x.message.type === 'ping-req').length, 2)
    const nackAll = (_to: string, m: SwimMessage): SwimMessage | undefined =>
      m.type === 'ping-req' ? { type: 'nack', seq: m.seq, updates: [] } : ack(m)
    for (const action of first) {
      if (action.type !== 'send') continue
      const reply = nackAll(action.to, action.message)
      if (reply && action.to !== 'a') b.do((core) => core.message(action.to, reply, 1))
    }
    b.do((core) => core.dialed('a', 'refused', 2))
    t.equal(b.status('a'), 'suspect')
    b.tick(700, (to, m) => (to === 'a' ? undefined : nackAll(to, m)))
    t.equal(b.status('a'), 'suspect')
    t.ok(b.actions.filter((x) => x.type === 'dial').length > 1, 'tried again meanwhile')
    b.tick(801, (to, m) => (to === 'a' ? undefined : nackAll(to, m)))
    t.equal(b.status('a'), 'failed')
  },
)

t.test('who loses all connections at once and finds the others again accuses nobody', async (t) => {
  const others = Array.from({ length: 40 }, (_, i) => `n${i}`)
  const b = new Bench(others)
  for (const id of others) b.do((core) => core.peerDisconnected(id, 0))
  const dialled = new Set<string>()
  for (let at = 0; at < 3000; at += 200) {
    b.now = at
    for (const action of b.actions.splice(0)) {
      if (action.type === 'change') t.fail(`${action.member.id} ${action.member.status}`)
      if (action.type !== 'dial') continue
      dialled.add(action.id)
      b.do((core) => core.peerConnected(action.id, at))
      b.do((core) => core.dialed(action.id, 'connected', at))
    }
    b.tick(at + 200, (_to, message) => ack(message))
  }
  t.equal(dialled.size, 40, 'those too whose turn to be dialled came when the time to judge them was over')
  t.ok(b.core.members().every(({ status }) => status === 'alive'))
})

t.test(
  'a lost connection of which nothing more is heard is a suspicion when the time to judge is over',
  async (t) => {
    const b = new Bench(['a', 'c'])
    b.do((core) => core.peerDisconnected('a', 0))
    b.tick(790, (to, message) => (to === 'a' ? undefined : ack(message)))
    t.equal(b.status('a'), 'alive')
    b.tick(801, (to, message) => (to === 'a' ? undefined : ack(message)))
    t.equal(b.status('a'), 'suspect')
  },
)

t.test('a newcomer does not tell the others what it has just learned of them all', async (t) => {
  const crowd = Array.from({ length: 50 }, (_, i) => ({ member: member(`n${i}`), ageMs: 0 }))
  const b = new Bench([])
  b.do((core) => core.merge('n0', crowd, 0))
  t.equal(b.core.members().length, 51)
  t.ok(b.core.queued <= 1, `${b.core.queued} updates wait, of which its own is one`)
  b.do((core) => core.merge('n0', [{ member: member('later'), ageMs: 0 }], 0))
  t.ok(b.core.queued >= 1)
  b.do((core) => core.merge('n0', [{ member: member('n7', { incarnation: 2 }), ageMs: 0 }], 0))
  t.ok(b.core.queued >= 2, 'later news it passes on')
})

t.test('evidence is no proof: an ack, a new connection, an unclear dial or silent helpers', async (t) => {
  const lost = () => {
    const b = new Bench(['a', 'c', 'd'])
    const actions = b.do((core) => core.peerDisconnected('a', 0))
    const request = actions.find((x) => x.type === 'send' && x.message.type === 'ping-req')
    if (request?.type !== 'send' || request.message.type !== 'ping-req') throw new Error('nobody was asked')
    return { b, helper: request.to, seq: request.message.seq }
  }
  const others = (to: string, m: SwimMessage) => (to === 'a' ? undefined : ack(m))

  const acked = lost()
  acked.b.do((core) => core.dialed('a', 'refused', 1))
  acked.b.do((core) => core.message(acked.helper, { type: 'ack', seq: acked.seq, updates: [] }, 5))
  acked.b.tick(2500, others)
  t.equal(acked.b.status('a'), 'suspect', 'another one reaches it')

  const back = lost()
  back.b.do((core) => core.dialed('a', 'refused', 1))
  back.b.do((core) => core.peerConnected('a', 300))
  back.b.tick(2500, others)
  t.equal(back.b.status('a'), 'suspect')
  t.ok(
    back.b.sent('ping').some((s) => s.to === 'a' && s.message.updates[0]?.status === 'suspect'),
    'it is told, so that it can refute',
  )

  const unclear = lost()
  unclear.b.do((core) => core.message(unclear.helper, { type: 'nack', seq: unclear.seq, updates: [] }, 5))
  unclear.b.do((core) => core.dialed('a', 'failed', 600))
  unclear.b.tick(2500, others)
  t.equal(unclear.b.status('a'), 'suspect', 'a dial that timed out proves nothing')

  const silent = lost()
  silent.b.do((core) => core.dialed('a', 'refused', 1))
  silent.b.tick(2500, others)
  t.equal(silent.b.status('a'), 'suspect', 'helpers that say nothing')
})

t.test('a suspicion of a later life is not cleared by what was said in between', async (t) => {
  const b = new Bench(['a', 'c'])
  b.hear('c', suspect('a', 1))
  b.hear('c', failed('a', 2))
  b.hear('c', alive('a', 2))
  t.match(b.core.get('a'), { status: 'suspect', incarnation: 2 })
  b.hear('c', alive('a', 3))
  t.match(b.core.get('a'), { status: 'alive', incarnation: 3 })
})

for (const [input, use] of [
  ['the measure of its delay', (b: Bench, at: number) => b.core.localHealth(30_000, at)],
  ['the end of a connection', (b: Bench, at: number) => b.core.peerDisconnected('e', at)],
  ['a connection', (b: Bench, at: number) => b.core.peerConnected('e', at)],
  ['the end of an attempt to connect', (b: Bench, at: number) => b.core.dialed('e', 'failed', at)],
  ['the state of another', (b: Bench, at: number) => b.core.merge('e', [], at)],
] as const) {
  t.test(`a process that stood still blames nobody, also if ${input} comes first`, async (t) => {
    const b = new Bench(['a', 'b', 'c', 'd', 'e'])
    b.hear('c', suspect('a', 1))
    b.tick(1000)
    use(b, 31_000)
    b.do((core) => core.tick(31_001))
    t.equal(b.status('a'), 'suspect')
    t.equal(b.core.members().filter((m) => m.status === 'failed').length, 0)
  })
}

t.test('a process that is late all the time still gives up who is silent', async (t) => {
  for (const turnMs of [300, 600, 1000, 2000]) {
    const b = new Bench(['a', 'b', 'c', 'd', 'e'])
    b.hear('c', suspect('a', 1))
    let now = 0
    while (b.status('a') !== 'failed' && now < 900_000) {
      now += turnMs
      b.now = now
      const acks = b
        .do((core) => core.tick(now))
        .flatMap((x) => (x.type === 'send' && x.to !== 'a' && x.message.type === 'ping' ? [x] : []))
      for (const { to, message } of acks) {
        const reply = ack(message)
        if (reply) b.do((core) => core.message(to, reply, now))
      }
    }
    t.ok(now < 60_000, `turns of ${turnMs} ms: after ${now} ms`)
  }
})

t.test('a process that stood still blames nobody for it', async (t) => {
  const b = new Bench(['a', 'c', 'd'])
  b.tick(1200)
  b.hear('c', suspect('a', 1))
  b.do((core) => core.tick(9000))
  b.now = 9000
  t.same(
    ['a', 'c', 'd'].map((id) => b.status(id)),
    ['suspect', 'alive', 'alive'],
  )
  t.ok(b.core.healthScore >= 1)
  b.hear('c', alive('a', 2))
  t.equal(b.status('a'), 'alive')
})

t.test(
  'a process that stood still between two probes gives nobody up before it has read its mail',
  async (t) => {
    const b = new Bench(['a', 'c', 'd', 'e'])
    b.do((core) => core.localHealth(1000, 0))
    b.do((core) => core.localHealth(1000, 0))
    b.do((core) => core.localHealth(1000, 0))
    b.hear('c', suspect('a', 1, 'c'))
    b.hear('d', suspect('a', 1, 'd'))
    b.hear('e', suspect('a', 1, 'e'))
    while (b.now < 3900) b.tick(b.now + 10, (to, message) => (to === 'a' ? undefined : ack(message)))
    t.equal(b.status('a'), 'suspect')
    // The end of the suspicion comes while it stands still; what it has to do next is later than that.
    b.now = 5500
    b.do((core) => core.tick(b.now))
    t.equal(b.status('a'), 'suspect', 'the refutation may wait in its buffers')
    b.hear('a', alive('a', 2))
    t.equal(b.status('a'), 'alive')
  },
)

t.test('older news does not revive one whose later lives were missed here', async (t) => {
  const b = new Bench(['a', 'c', 'd', 'e'])
  b.hear('c', left('a', 2), left('a', 7), alive('a', 6))
  t.match(b.core.get('a'), { status: 'left', incarnation: 7 })
  b.part('d')
  b.hear('c', failed('d', 1), failed('d', 7), alive('d', 6))
  t.match(b.core.get('d'), { status: 'failed', incarnation: 7 })
  b.part('e')
  b.hear('c', left('e', 2), failed('e', 7), failed('e', 6), alive('e', 6))
  t.match(b.core.get('e'), { status: 'failed', incarnation: 7 }, 'it came back and died')
  b.do((core) =>
    core.merge('c', [{ member: member('a', { status: 'failed', incarnation: 9 }), ageMs: 5000 }], 0),
  )
  t.match(b.core.get('a'), { status: 'failed', incarnation: 9 }, 'as the sender remembers it')
})

t.test('event loop delay makes a node doubt itself', async (t) => {
  const b = new Bench([])
  b.do((core) => core.localHealth(50, 0))
  t.equal(b.core.healthScore, 0)
  b.do((core) => core.localHealth(200, 0))
  t.equal(b.core.healthScore, 1)
  b.do((core) => core.localHealth(900, 0))
  t.equal(b.core.healthScore, 3)
})

t.test('merge: a remote failed makes only suspect, unknown dead are remembered with their age', async (t) => {
  const b = new Bench(['a', 'c'], { leftKeptMs: 1000, failedKeptMs: 50_000 })
  const entry = (id: string, status: SyncEntry['member']['status'], ageMs = 0): SyncEntry => ({
    member: member(id, { status, incarnation: 2 }),
    ageMs,
  })
  const states = [
    entry('a', 'failed'),
    entry('c', 'left'),
    entry('n', 'alive'),
    entry('s', 'suspect'),
    entry('f', 'failed', 20_000),
    entry('l', 'left', 5000),
  ]
  b.do((core) => core.merge('x', states, 0))
  t.same(
    ['a', 'c', 'n', 's', 'f', 'l'].map((id) => b.status(id)),
    ['suspect', 'left', 'alive', 'suspect', 'failed', undefined],
  )
  const back = b.core.snapshot(1000).find((e) => e.member.id === 'f')
  t.equal(back?.ageMs, 21_000)
  b.tick(40_000, (_to, m) => ack(m))
  t.equal(b.status('f'), undefined, 'reaped when its whole age is reached')
  const removed = b.actions.filter((a) => a.type === 'remove').map((a) => a.type === 'remove' && a.member.id)
  t.ok(removed.includes('f') && removed.includes('c'))
  const last = b.actions.findLast((a) => a.type === 'change' && a.member.id === 'f')
  t.match(last, { member: { status: 'left' }, previous: { status: 'failed' } }, 'and counts as left')
})

t.test('names: a living holder keeps it, a suspect decides it, a dead one gives it up', async (t) => {
  const b = new Bench(['a', 'c', 'd'])
  const newcomer = alive('a2', 1, { name: 'a' })
  t.match(b.hear('c', newcomer), [{ type: 'conflict', holder: { id: 'a' }, newcomer: { id: 'a2' } }])
  t.same(b.hear('c', newcomer), [], 'reported once')
  t.equal(b.status('a2'), undefined)

  const s = new Bench(['a', 'c', 'd'])
  s.hear('c', suspect('a', 1))
  t.notOk(
    s.hear('c', newcomer).some((x) => x.type === 'conflict'),
    'perhaps its own former life',
  )
  s.part('a')
  s.hear('c', failed('a', 1))
  t.equal(s.status('a2'), 'alive')
  t.equal(s.status('a'), undefined, 'the old identity is gone')
  t.match(s.hear('c', alive('a', 5)), [{ type: 'conflict', holder: { id: 'a2' }, newcomer: { id: 'a' } }])

  const r = new Bench(['a', 'c', 'd'])
  r.hear('c', suspect('a', 1))
  r.hear('c', newcomer)
  t.ok(
    r.hear('c', alive('a', 2)).some((x) => x.type === 'conflict'),
    'it refuted: now it is a conflict',
  )

  for (const [waitMs, heir] of [
    [59_000, 'alive'],
    [61_000, undefined],
  ] as const) {
    const w = new Bench(['a', 'c', 'd'])
    w.hear('c', newcomer)
    w.now += waitMs
    w.part('a')
    w.hear('c', failed('a', 1))
    t.equal(w.status('a2'), heir, `a claim last heard ${waitMs} ms ago`)
  }

  const self = new Bench(['a', 'c'])
  const entry = (id: string, more: object = {}): SyncEntry => ({ member: member(id, more), ageMs: 0 })
  const rival = entry('m2', { name: 'me' })
  t.same(self.hear('a', alive('m2', 1, { name: 'me' })), [], 'who is right is asked of the others')
  const lost = self.do((core) => core.merge('a', [entry('a'), entry('c'), rival], 0))
  t.match(lost, [{ type: 'conflict', holder: { id: 'm2' }, newcomer: { id: 'me' }, by: 'a' }])

  const held = new Bench(['a', 'c'])
  held.do((core) => core.merge('a', [entry('a'), entry('c'), entry('me')], 0))
  const kept = held.do((core) => core.merge('m2', [rival, entry('a'), entry('c')], 0))
  t.match(kept, [{ type: 'conflict', holder: { id: 'me' }, newcomer: { id: 'm2' }, by: null }])

  for (const [id, holder] of [
    ['a-rival', 'a-rival'],
    ['z-rival', 'me'],
  ] as const) {
    const alone = new Bench([])
    const met = alone.do((core) => core.merge(id, [entry(id, { name: 'me' })], 0))
    t.match(met, [{ type: 'conflict', holder: { id: holder } }], `two alone: ${holder} keeps it`)
  }
})

t.test('the table is bounded', async (t) => {
  const b = new Bench([], { membersMax: 3 })
  b.hear('x', alive('a', 1), alive('c', 1))
  t.match(b.hear('x', alive('d', 1), alive('e', 1)), [{ type: 'full', id: 'd' }], 'said once')
  t.equal(b.core.members().length, 3)
})

t.test('failed members get gossip for a while and are dialled for ever, at a bounded pace', async (t) => {
  const b = new Bench(['a', 'c'])
  b.hear('c', failed('a', 1))
  while (b.status('a') !== 'failed' && b.now < 30_000) {
    b.tick(b.core.deadline, (to, m) => (to === 'a' ? undefined : ack(m)))
  }
  t.equal(b.status('a'), 'failed')
  t.ok(b.actions.some((x) => x.type === 'close' && x.id === 'a'))
  b.actions = []
  b.tick(b.now + 250, (to, m) => (to === 'a' ? undefined : ack(m)))
  t.ok(
    b.sent('gossip').some((s) => s.to === 'a'),
    'gossip to the dead',
  )
  const lostAt = b.now + 50
  b.do((core) => core.peerDisconnected('a', lostAt))
  b.actions = []
  let dials = 0
  for (let at = lostAt; at <= lostAt + 120_000; at += 100) {
    b.tick(at, (_to, m) => ack(m))
    for (const x of b.actions.splice(0)) {
      if (x.type !== 'dial') continue
      dials++
      b.do((core) => core.dialed('a', 'refused', at))
    }
  }
  t.ok(dials >= 11 && dials <= 24, `${dials} in two minutes`)
})

t.test('dials under way are bounded', async (t) => {
  const b = new Bench([], { dialsMax: 4 })
  for (let i = 0; i < 20; i++) b.hear('x', alive(`n${i}`, 1))
  b.tick(500)
  t.equal(b.actions.filter((x) => x.type === 'dial').length, 4)
  b.do((core) => core.dialed('n0', 'failed', 500))
  b.tick(501)
  t.equal(b.actions.filter((x) => x.type === 'dial').length, 5)
})
