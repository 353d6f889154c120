import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import t, { type Test } from 'tap'
import type { SwimTimings, Update } from '../../../discovery/membership/core/types.ts'
import { SwimMembership, type SwimMembershipOptions } from '../../../discovery/membership/swim-membership.ts'
import { encodeMessage, encodeSync } from '../../../discovery/membership/wire.ts'
import { type FakeMesh, FakeNetwork, until } from '../fake-mesh.ts'
import { tempDir } from '../temp-dir.ts'

const FAST: Partial<SwimTimings> = {
  probeIntervalMs: 100,
  probeTimeoutMs: 50,
  gossipIntervalMs: 20,
  evidenceTimeoutMs: 80,
  redialMs: 20,
  dialBackoffMinMs: 20,
  dialBackoffMaxMs: 100,
  failedRedialMs: 100,
  stallMs: 25,
}

interface Agent {
  readonly mesh: FakeMesh
  readonly membership: SwimMembership
  readonly lines: { level: number; msg: string }[]
  readonly dir: string
  readonly metrics: Registry
}

async function agent(
  t: Test,
  net: FakeNetwork,
  id: string,
  options: Partial<SwimMembershipOptions> & { dataDir: string },
): Promise<Agent> {
  const mesh = net.add(id)
  const lines: { level: number; msg: string }[] = []
  const log = pino({ level: 'debug' }, { write: (line: string) => void lines.push(JSON.parse(line)) })
  const dir = options.dataDir
  const metrics = new Registry()
  const membership = new SwimMembership(
    { name: id, meta: {}, join: [], timings: FAST, ...options, dataDir: join(dir, id) },
    { mesh, log, metrics },
  )
  t.teardown(() => membership.stop())
  await mesh.start()
  await membership.start()
  return { mesh, membership, lines, dir, metrics }
}

const statuses = (a: Agent) => a.membership.members().map((m) => `${m.name}:${m.status}`)

t.test('three nodes find each other through one address and keep connected', async (t) => {
  const net = new FakeNetwork()
  const dir = tempDir(t)
  const a = await agent(t, net, 'a', { dataDir: dir })
  const b = await agent(t, net, 'b', { dataDir: dir, join: ['a:7946'] })
  const c = await agent(t, net, 'c', { dataDir: dir, join: ['a:7946'] })
  const all = ['a:alive', 'b:alive', 'c:alive']
  for (const x of [a, b, c]) {
    await until(
      `${x.mesh.id} knows all`,
      () => String(statuses(x)) === String(all),
      3000,
      () => statuses(x),
    )
  }
  await until('full mesh', () => [a, b, c].every((x) => x.mesh.connected().length === 2))
  t.equal(b.mesh.address('c'), 'c:7946', 'the mesh is told where the others are')
  t.equal(b.lines.filter((l) => l.msg === 'joined the cluster').length, 1)
  t.match(await b.metrics.metrics(), /constellation_swim_members\{status="alive"\} 3/)
})

t.test('a lost process is failed soon, a leave is told at once', async (t) => {
  const net = new FakeNetwork()
  const dir = tempDir(t)
  const a = await agent(t, net, 'a', { dataDir: dir })
  const b = await agent(t, net, 'b', { dataDir: dir, join: ['a:7946'] })
  const c = await agent(t, net, 'c', { dataDir: dir, join: ['a:7946'] })
  const full = () => [a, b, c].every((x) => x.mesh.connected().length === 2 && statuses(x).length === 3)
  await until('formed', full)
  const seen: string[] = []
  a.membership.onChange((m, previous) => seen.push(`${m.name} ${previous?.status} ${m.status}`))
  const events: string[] = []
  a.membership.onEvent((event) => events.push(`${event.type} ${event.member.name}`))
  // Nothing else of it ends before its connections do.
  await c.mesh.stop()
  await c.membership.stop()
  await until('c failed', () => [a, b].every((x) => x.membership.get('c')?.status === 'failed'))
  t.same(seen, ['c alive suspect', 'c suspect failed'])
  // It joined a moment ago, so it has to be quiet first.
  await until(
    'told',
    () => events.length > 0,
    20_000,
    () => events,
  )
  t.same(events, ['failed c'], 'outside, a suspicion is no event')
  const text = await a.metrics.metrics()
  t.match(text, /constellation_swim_suspicions_total\{origin="own"\} 1/)
  t.match(text, /constellation_swim_suspicions_refuted_total 0/)
  t.match(text, /constellation_swim_flapping_members 0/)
  t.match(text, /constellation_swim_probes_total\{result="silent"\} [1-9]/)
  await b.membership.leave()
  t.equal(a.membership.get('b')?.status, 'left', 'known when leave() ends')
})

t.test('a restart raises the incarnation and finds the others without join', async (t) => {
  const net = new FakeNetwork()
  const dir = tempDir(t)
  const a = await agent(t, net, 'a', { dataDir: dir })
  const b = await agent(t, net, 'b', { dataDir: dir, join: ['a:7946'] })
  await until('formed', () => statuses(a).length === 2 && statuses(b).length === 2)
  const before = b.membership.local().incarnation
  for (const x of [a, b]) {
    await x.membership.stop()
    await x.mesh.stop()
  }
  const a2 = await agent(t, net, 'a', { dataDir: dir })
  const b2 = await agent(t, net, 'b', { dataDir: dir })
  t.ok(b2.membership.hasSeeds)
  await until('found again', () => String(statuses(a2)) === 'a:alive,b:alive')
  await until('found again', () => String(statuses(b2)) === 'a:alive,b:alive')
  t.ok(b2.membership.local().incarnation > before)
})

t.test('a damaged membership.json is set aside', async (t) => {
  const net = new FakeNetwork()
  const dir = tempDir(t)
  await mkdir(join(dir, 'a'))
  await writeFile(join(dir, 'a', 'membership.json'), '{"format":1,"incarn')
  const a = await agent(t, net, 'a', { dataDir: dir })
  t.equal(a.membership.local().incarnation, 1)
  t.match(await readFile(join(dir, 'a', 'membership.json.damaged'), 'utf8'), 'incarn')
  t.ok(a.lines.some((l) => l.msg.includes('membership.json is damaged')))
})

for (const incarnation of [2 ** 24 + 1, 2 ** 50 + 1, 2 ** 53 - 3, 2 ** 53 - 1]) {
  t.test(`a membership.json with incarnation ${incarnation} is damaged, and its node lives`, async (t) => {
    const net = new FakeNetwork()
    const dir = tempDir(t)
    const b = await agent(t, net, 'b', { dataDir: dir })
    const first = await agent(t, net, 'a', { dataDir: dir, join: ['b:7946'] })
    await until('b knows a', () => String(statuses(b)) === 'a:alive,b:alive')
    for (let i = 0; i < 5; i++) first.membership.setMeta({ i: String(i) })
    await until('b follows', () => (b.membership.get('a')?.incarnation ?? 0) >= 6)
    await first.membership.stop()
    await first.mesh.stop()
    await until('it has failed', () => String(statuses(b)) === 'a:failed,b:alive')
    await writeFile(join(dir, 'a', 'membership.json'), JSON.stringify({ format: 1, incarnation, peers: [] }))
    const a = await agent(t, net, 'a', { dataDir: dir, join: ['b:7946'] })
    t.ok(a.lines.some((l) => l.msg.includes('membership.json is damaged')))
    await until('it is back', () => String(statuses(b)) === 'a:alive,b:alive')
    t.ok(a.membership.local().incarnation < 100)
  })
}

t.test('nobody is pushed out by an accusation no refutation is above', async (t) => {
  const net = new FakeNetwork()
  const dir = tempDir(t)
  const a = await agent(t, net, 'a', { dataDir: dir })
  const b = await agent(t, net, 'b', { dataDir: dir, join: ['a:7946'] })
  await until('they know each other', () => String(statuses(b)) === 'a:alive,b:alive')
  const hostile = net.add('hostile')
  await hostile.start()
  for (const peer of ['a:7946', 'b:7946']) await hostile.dial(peer)
  const say = (updates: readonly Update[]) => {
    for (const to of ['a', 'b']) hostile.send(to, 'swim', encodeMessage({ type: 'gossip', updates }))
  }
  const from = 'hostile'
  say([{ status: 'failed', id: 'b', incarnation: 2 ** 50, from }])
  say([{ status: 'left', id: 'b', incarnation: 2 ** 50 }])
  say([{ status: 'alive', id: 'b', incarnation: 2 ** 50, name: 'b', address: 'x:1', meta: {} }])
  await until('both say so', () =>
    [a, b].every(({ lines }) =>
      lines.some((l) => /hostile tells of b with incarnation .* not believed/.test(l.msg)),
    ),
  )
  t.same(statuses(a), ['a:alive', 'b:alive'])
  t.ok(b.membership.local().incarnation < 100)
  const before = b.membership.local().incarnation
  say([{ status: 'suspect', id: 'b', incarnation: before, from }])
  await until('b refutes what may be', () => b.membership.local().incarnation > before)
  await until(
    'and is believed',
    () => a.membership.get('b')?.incarnation === b.membership.local().incarnation,
  )
  t.match(a.membership.get('b'), { status: 'alive', address: 'b:7946' })
  t.match(await a.metrics.metrics(), /constellation_swim_implausible_updates_total 3/)
  t.equal(a.lines.filter((l) => l.msg.includes('not believed')).length, 1, 'told once')
})

t.test('an exchange of everything known is held to the same', async (t) => {
  const net = new FakeNetwork()
  const a = await agent(t, net, 'a', { dataDir: tempDir(t) })
  const hostile = net.add('hostile')
  await hostile.start()
  await hostile.dial('a:7946')
  const member = { id: 'x', name: 'x', address: 'x:1', status: 'alive', meta: {} } as const
  const tell = async (incarnation: number) => {
    const bytes = encodeSync([{ member: { ...member, incarnation }, ageMs: 0 }])
    await hostile.request('a', 'swim-sync', bytes, { timeoutMs: 1000 })
  }
  await tell(2 ** 50)
  t.equal(a.membership.get('x'), undefined)
  await tell(7)
  await tell(2 ** 40)
  t.equal(a.membership.get('x')?.incarnation, 7)
})

t.test('a node that lost its file takes the word of the others for its incarnation, once', async (t) => {
  const net = new FakeNetwork()
  const dir = tempDir(t)
  const a = await agent(t, net, 'a', { dataDir: dir })
  const other = net.add('other')
  await other.start()
  await other.dial('a:7946')
  const accuse = (incarnation: number) => {
    const updates = [{ status: 'suspect', id: 'a', incarnation, from: 'other' } as const]
    other.send('a', 'swim', encodeMessage({ type: 'gossip', updates }))
  }
  accuse(2 ** 30)
  await until('it refutes', () => a.membership.local().incarnation === 2 ** 30 + 1)
  await a.membership.stop()
  await writeFile(join(dir, 'a', 'membership.json'), JSON.stringify({ format: 1, incarnation: 7, peers: [] }))
  await a.membership.start()
  accuse(2 ** 30)
  await until('it says so', () => a.lines.some((l) => l.msg.includes('not believed')))
  t.equal(a.membership.local().incarnation, 8)
})

t.test('a data directory that cannot be written is a clear error', async (t) => {
  const dir = tempDir(t)
  await writeFile(join(dir, 'file'), '')
  const mesh = new FakeNetwork().add('a')
  const membership = new SwimMembership(
    { name: 'a', meta: {}, dataDir: join(dir, 'file', 'sub'), join: [] },
    { mesh, log: pino({ level: 'silent' }) },
  )
  await mesh.start()
  await t.rejects(membership.start(), { code: 'MBR_FILE_FAILED', message: /membership\.json/ })
})

t.test('joining is tried until somebody answers, with one line in the log', async (t) => {
  const net = new FakeNetwork()
  const dir = tempDir(t)
  const b = await agent(t, net, 'b', { dataDir: dir, join: ['a:7946'] })
  await until('many attempts', () => b.lines.filter((l) => l.msg.includes('a:7946')).length > 3)
  t.equal(b.lines.filter((l) => l.level >= 40).length, 1, 'one warning')
  await agent(t, net, 'a', { dataDir: dir })
  await until('joined', () => String(statuses(b)) === 'a:alive,b:alive')
})

t.test('two nodes of one name: one error on each side names both', async (t) => {
  const net = new FakeNetwork()
  const dir = tempDir(t)
  const a = await agent(t, net, 'a', { dataDir: dir, name: 'same' })
  const b = await agent(t, net, 'b', { dataDir: dir, name: 'same', join: ['a:7946'] })
  const errors = (x: Agent) => x.lines.filter((l) => l.level === 50)
  await until('reported', () => errors(a).length > 0 && errors(b).length > 0)
  t.match(errors(a)[0]?.msg, /two nodes claim the name "same": a at a:7946 holds it, b at b:7946/)
  t.match(
    errors(b)[0]?.msg,
    /this node is not admitted by a: its name "same" belongs to a at a:7946\. Give this node \(b at b:7946\) another name/,
  )
  t.equal(b.membership.refusal, errors(b)[0]?.msg)
  t.equal(a.membership.refusal, null)
  t.match(await b.metrics.metrics(), /constellation_swim_name_conflicts_total 1/)
  t.same(statuses(a), ['same:alive'])
  t.equal(errors(a).length, 1)
})

t.test('meta travels, and has a limit', async (t) => {
  const net = new FakeNetwork()
  const dir = tempDir(t)
  const a = await agent(t, net, 'a', { dataDir: dir })
  const b = await agent(t, net, 'b', { dataDir: dir, join: ['a:7946'] })
  await until('formed', () => statuses(a).length === 2)
  b.membership.setMeta({ zone: 'x' })
  await until('told', () => a.membership.get('b')?.meta.zone === 'x')
  t.throws(() => b.membership.setMeta({ k: 'x'.repeat(600) }), { code: 'MBR_META_TOO_LARGE' })
  t.throws(
    () =>
      new SwimMembership(
        { name: 'z', meta: { k: 'x'.repeat(600) }, dataDir: dir, join: [] },
        { mesh: net.add('z'), log: pino({ level: 'silent' }) },
      ),
    { code: 'MBR_META_TOO_LARGE' },
  )
})

t.test('a failed member can be made to leave, by name or id; a living one not', async (t) => {
  const net = new FakeNetwork()
  const dir = tempDir(t)
  const a = await agent(t, net, 'a', { dataDir: dir, name: 'one' })
  const b = await agent(t, net, 'b', { dataDir: dir, name: 'two', join: ['a:7946'] })
  const c = await agent(t, net, 'c', { dataDir: dir, name: 'three', join: ['a:7946'] })
  await until('formed', () => [a, b, c].every((x) => statuses(x).length === 3))
  t.throws(() => a.membership.forceLeave('nobody'), { code: 'MBR_UNKNOWN_MEMBER', message: /"nobody"/ })
  t.throws(() => a.membership.forceLeave('one'), { code: 'MBR_SELF', message: /constellation leave/ })
  t.throws(() => a.membership.forceLeave('two'), {
    code: 'MBR_MEMBER_LIVES',
    message: /two is alive, not failed/,
  })
  await c.membership.stop()
  await c.mesh.stop()
  await until('failed', () => [a, b].every((x) => x.membership.get('c')?.status === 'failed'))
  a.membership.forceLeave('three')
  await until('left', () => [a, b].every((x) => x.membership.get('c')?.status === 'left'))
  b.membership.forceLeave('c', { prune: true })
  await until('forgotten', () => [a, b].every((x) => statuses(x).length === 2))
  t.throws(() => a.membership.forceLeave('c'), { code: 'MBR_UNKNOWN_MEMBER' })
  t.ok(b.lines.some((l) => l.level === 40 && l.msg === 'three is forgotten by an operator'))
})

t.test('round trips are estimated between any two members', async (t) => {
  const net = new FakeNetwork()
  const dir = tempDir(t)
  const a = await agent(t, net, 'a', { dataDir: dir })
  t.equal(a.membership.coordinate('a'), null, 'nothing is measured yet')
  const b = await agent(t, net, 'b', { dataDir: dir, join: ['a:7946'] })
  const c = await agent(t, net, 'c', { dataDir: dir, join: ['a:7946'] })
  const estimate = () => a.membership.rttMs('b', 'c')
  await until('b and c measured, a heard of it', () => estimate() !== null, 20_000, estimate)
  t.ok(Number(estimate()) > 0 && Number(estimate()) < 1000, `${estimate()} ms`)
  t.equal(a.membership.rttMs('b', 'b'), 0)
  t.equal(a.membership.rttMs('b', 'nobody'), null)
  for (const x of [b, c]) {
    await until('a answered, or was told of', () => x.membership.coordinate('a') !== null)
    t.equal(x.membership.coordinate('a')?.vec.length, 8)
  }
  t.match(await a.metrics.metrics(), /constellation_swim_rtt_seconds_count [1-9]/)
  await b.membership.stop()
  t.equal(b.membership.rttMs('a', 'b'), null, 'stopped')
})

t.test('a partition heals by itself', async (t) => {
  const net = new FakeNetwork()
  const dir = tempDir(t)
  const a = await agent(t, net, 'a', { dataDir: dir })
  const b = await agent(t, net, 'b', { dataDir: dir, join: ['a:7946'] })
  await until('formed', () => statuses(a).length === 2 && statuses(b).length === 2)
  net.cut('a', 'b')
  await until('apart', () => statuses(a).includes('b:failed') && statuses(b).includes('a:failed'))
  net.heal()
  await until('together', () => statuses(a).includes('b:alive') && statuses(b).includes('a:alive'))
})

t.test('garbage is counted and harms nobody', async (t) => {
  const net = new FakeNetwork()
  const a = await agent(t, net, 'a', { dataDir: tempDir(t) })
  const evil = net.add('evil')
  await evil.start()
  await evil.dial('a:7946')
  evil.send('a', 'swim', Buffer.from('{"type":"ping","seq":-1,"updates":[]}'))
  evil.send('a', 'swim', Buffer.from([0xff, 0xfe]))
  await t.rejects(evil.request('a', 'swim-sync', Buffer.from('[]'), { timeoutMs: 100 }))
  let text = ''
  await until('counted', () => {
    a.metrics.metrics().then((m) => {
      text = m
    })
    return /rejected_messages_total\{channel="swim"\} 2/.test(text)
  })
  t.match(text, /rejected_messages_total\{channel="swim-sync"\} 1/)
  t.same(statuses(a), ['a:alive'])
})

t.test('stop and start are idempotent', async (t) => {
  const a = await agent(t, new FakeNetwork(), 'a', { dataDir: tempDir(t) })
  await a.membership.start()
  await Promise.all([a.membership.stop(), a.membership.stop()])
  t.same(a.membership.members(), [])
  t.throws(() => a.membership.local(), { code: 'MBR_NOT_STARTED' })
  const path = join(a.dir, 'a', 'membership.json')
  const saved = JSON.parse(await readFile(path, 'utf8'))
  t.equal(saved.incarnation, 1, 'the incarnation survives the stop')
  await writeFile(path, JSON.stringify({ ...saved, incarnation: 41 }))
  await a.membership.start()
  t.equal(a.membership.local().incarnation, 42)
})

t.test('seeds: who was found at the addresses to join by, without the own one', async (t) => {
  const dir = tempDir(t)
  const net = new FakeNetwork()
  const join = ['a:7946', 'b:7946', 'nobody:7946', 'b:7946']
  const a = await agent(t, net, 'a', { dataDir: dir, join })
  const b = await agent(t, net, 'b', { dataDir: dir, join })
  await until('a found b', () => a.membership.seeds()[0]?.id === b.mesh.id)
  t.same(a.membership.seeds(), [
    { address: 'b:7946', id: b.mesh.id },
    { address: 'nobody:7946', id: null },
  ])
  await until('b found a', () => b.membership.seeds()[0]?.id === a.mesh.id)
  t.equal(b.membership.seeds().length, 2)
})

t.test('that nobody listens yet is a warning from the third time on', async (t) => {
  const a = await agent(t, new FakeNetwork(), 'a', { dataDir: tempDir(t), join: ['nobody:7946'] })
  const tries = () => a.lines.filter(({ msg }) => msg.includes('nobody:7946'))
  await until('it tried often', () => tries().length >= 5)
  t.same(
    tries()
      .slice(0, 4)
      .map(({ level, msg }) => [level, msg.split(':')[0]]),
    [
      [20, 'cannot reach nobody'],
      [20, 'cannot reach nobody'],
      [40, 'cannot join through nobody'],
      [20, 'cannot reach nobody'],
    ],
  )
})
