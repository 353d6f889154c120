import t from 'tap'
import type { FollowAnswer } from '../../consensus/feed-messages.ts'
import { textToKey } from '../../consensus/state/keys.ts'
import { TransportError } from '../../consensus/transport.ts'
import { runsMs } from '../held-up.ts'
import { eventually, set } from './cluster.ts'
import { FakeMember, Fleet, ManualClock, MEMBERS, SharedLog } from './feed-fixture.ts'

type Tap = { teardown(fn: () => Promise<void>): void }

/** A log of `size` entries that a, b and c have applied, and a client that follows them. */
function started(t: Tap, size = 5, settings: ConstructorParameters<typeof Fleet>[1] = {}) {
  const log = new SharedLog()
  log.fill(size - 1)
  const fleet = new Fleet(t, settings)
  for (const id of MEMBERS.voters) fleet.members.set(id, new FakeMember(log, new ManualClock()).apply())
  const all = () => [...fleet.members.values()]
  /** Adds keys, which every member applies. */
  const grow = (count: number) => {
    log.fill(count)
    for (const member of all()) member.apply()
  }
  return { log, fleet, all, grow, follower: fleet.follower }
}

t.test('a client takes the state and then every entry, in order and once', async (t) => {
  const { log, fleet, grow, follower } = started(t)
  const seen: string[] = []
  fleet.watchers.watch({ kind: 'key', key: textToKey('w') }, () => seen.push(fleet.value('w') ?? ''))
  follower.start(MEMBERS, 'a')
  await fleet.reaches(5)
  t.equal(fleet.value('k/5'), '5')
  t.same(seen, [''], 'a state that comes whole wakes everybody')
  for (let i = 1; i <= 10; i++) {
    log.add(set('w', `${i}`))
    grow(1)
  }
  await fleet.reaches(25)
  t.same(seen.slice(1), ['1', '2', '3', '4', '5', '6', '7', '8', '9', '10'])
  t.equal(follower.restarts, 1)
  t.equal(follower.leader, 'a')
  t.equal(follower.commitIndex, 25)
  t.ok(follower.lastContactMs >= 3)
  t.notOk(fleet.path.includes('a'), 'the leader is spared')
  t.equal(fleet.path.length, 1, 'who feeds well goes on feeding')
})

t.test('lost requests and lost answers cost nothing but time', async (t) => {
  const { fleet, grow, follower, log } = started(t, 40)
  let count = 0
  const lose = () => {
    if (++count % 3 === 0) throw new TransportError('unknown', 'lost')
  }
  fleet.before = lose
  fleet.after = (_, answer) => {
    lose()
    return answer
  }
  let fired = 0
  fleet.watchers.watch({ kind: 'prefix', prefix: textToKey('k/') }, () => fired++)
  follower.start(MEMBERS, 'a')
  await fleet.reaches(40)
  fired = 0
  for (let i = 0; i < 10; i++) {
    grow(3)
    await fleet.reaches(log.entries.length)
  }
  t.equal(fired, 30)
  t.equal(follower.restarts, 1)
})

t.test('a feeder that dies is left for another one, which goes on where it ended', async (t) => {
  const { fleet, grow, follower } = started(t)
  follower.start(MEMBERS, 'a')
  await fleet.reaches(5)
  const first = follower.feeder ?? ''
  fleet.members.delete(first)
  follower.peerLost(first)
  grow(5)
  await fleet.reaches(10)
  t.not(follower.feeder, first)
  t.equal(follower.restarts, 1)
})

/** From now on the member answers nobody; resolves when the client waits for it. What it asked before may still be answered. */
async function hang(fleet: Fleet, id: string): Promise<void> {
  const feed = fleet.members.get(id)?.feed
  if (feed === undefined) throw new Error(`nobody is called ${id}`)
  let waits = false
  feed.answer = () => {
    waits = true
    return new Promise<never>(() => {})
  }
  await eventually('it waits for the one that hangs', () => waits)
}

t.test('a feeder that hangs is given up at the word of the failure detector', async (t) => {
  const { fleet, grow, follower } = started(t)
  follower.start(MEMBERS, 'a')
  await fleet.reaches(5)
  const hung = follower.feeder ?? ''
  await hang(fleet, hung)
  grow(1)
  follower.peerLost('nobody')
  follower.peerLost(hung)
  await fleet.reaches(6)
  t.not(follower.feeder, hung)
})

t.test('a feeder that hangs is left as soon as somebody has waited for an entry', async (t) => {
  // A member has four seconds to answer, and a reader waits half a second.
  const { fleet, grow, follower } = started(t, 5, { tickMs: 100 })
  follower.start(MEMBERS, 'a')
  await fleet.reaches(5)
  const hung = follower.feeder ?? ''
  await hang(fleet, hung)
  grow(1)
  const began = runsMs()
  await follower.waitApplied(6).promise
  t.ok(runsMs() - began < 3000)
  t.not(follower.feeder, hung)
})

t.test('a feeder that begins to hang while somebody waits is left as soon', async (t) => {
  const { fleet, grow, follower } = started(t, 5, { tickMs: 100 })
  follower.start(MEMBERS, 'a')
  await fleet.reaches(5)
  const hung = follower.feeder ?? ''
  const began = runsMs()
  const { promise } = follower.waitApplied(6)
  const before = fleet.asked.length
  await eventually('it is asked a few times more', () => fleet.asked.length > before + 4)
  await hang(fleet, hung)
  grow(1)
  await promise
  t.ok(runsMs() - began < 3000, 'the request is younger than the wait')
  t.not(follower.feeder, hung)
})

t.test('what is compacted away comes as a state, and nobody who watches sleeps on', async (t) => {
  const { fleet, all, grow, follower } = started(t)
  follower.start(MEMBERS, 'a')
  await fleet.reaches(5)
  let woken = 0
  fleet.watchers.watch({ kind: 'key', key: textToKey('nothing') }, () => woken++)
  fleet.before = () => {
    throw new TransportError('not-sent', 'cut off')
  }
  grow(20)
  for (const member of all()) member.compactedTo = 20
  fleet.before = () => {}
  await fleet.reaches(25)
  t.equal(follower.restarts, 2)
  t.equal(woken, 1)
})

t.test('a member with another history starts the client again', async (t) => {
  const { fleet, follower } = started(t, 9)
  follower.start(MEMBERS, 'a')
  await fleet.reaches(9)
  let woken = 0
  fleet.watchers.watch({ kind: 'key', key: textToKey('k/9') }, () => woken++)
  const other = new SharedLog()
  other.fill(4)
  for (let i = 0; i < 5; i++) other.add(set('other', `${i}`), 7)
  for (const [id] of fleet.members) fleet.members.set(id, new FakeMember(other, new ManualClock()).apply())
  await eventually('the other history', () => fleet.value('other') === '4')
  t.same(follower.copy.position, { index: 10, term: 7 })
  t.equal(woken, 1)
  t.equal(fleet.value('k/9'), undefined)
  t.equal(follower.restarts, 2)
})

t.test('a member of another cluster, or of none, feeds nobody', async (t) => {
  const { fleet, follower } = started(t)
  for (const [id, member] of fleet.members) {
    if (id === 'b') member.clusterId = 'elsewhere'
    if (id === 'c') member.isMember = false
  }
  follower.start(MEMBERS, 'a')
  await fleet.reaches(5)
  t.equal(follower.feeder, 'a', 'the leader, if there is nobody else')
})

t.test('a member that lags is left for one that does not', async (t) => {
  const { fleet, grow, follower, log } = started(t)
  follower.start(MEMBERS, 'a')
  await fleet.reaches(5)
  grow(5)
  await fleet.reaches(10)
  const first = follower.feeder ?? ''
  const second = first === 'b' ? 'c' : 'b'
  fleet.members.set(second, new FakeMember(log, new ManualClock()).apply(3))
  fleet.members.delete(first)
  follower.peerLost(first)
  log.fill(1)
  fleet.members.get('a')?.apply()
  await fleet.reaches(11)
  t.equal(follower.feeder, 'a')
  t.equal(follower.restarts, 1, 'it did not go back to what the slow one has')
})

t.test('a feeder without a leader is left; without any the client knows none', async (t) => {
  const { fleet, all, follower } = started(t)
  for (const [id, member] of fleet.members) if (id !== 'a') member.leader = ''
  follower.start(MEMBERS, '')
  await eventually('it finds the one that knows', () => follower.leader === 'a')
  for (const member of all()) member.leader = ''
  await eventually('nobody knows', () => follower.leader === '')
  t.equal(fleet.value('k/5'), '5')
  for (const member of all()) member.leader = 'c'
  await eventually('c leads', () => follower.leader === 'c')
  fleet.before = () => {
    throw new TransportError('not-sent', 'cut off')
  }
  await eventually('nobody answers', () => follower.leader === '' && follower.feeder === null)
})

t.test('a client leaves a feeder that came to lead when it can', async (t) => {
  const { fleet, all, follower } = started(t)
  follower.start(MEMBERS, 'a')
  await fleet.reaches(5)
  const feeder = follower.feeder ?? ''
  for (const member of all()) member.leader = feeder
  await eventually('it moves', () => follower.feeder !== feeder)
  t.equal(follower.leader, feeder)
  t.equal(follower.restarts, 1)
})

t.test('a state in many parts survives loss, and the death of who sends it', async (t) => {
  const { fleet, all, log, follower } = started(t)
  for (let i = 0; i < 40; i++)
    log.add({
      ...set('', ''),
      key: textToKey(`big/${i}`),
      value: new Uint8Array(200_000).fill(i),
    } as ReturnType<typeof set>)
  for (const member of all()) member.apply()
  let parts = 0
  let dead = ''
  fleet.after = ({ to, request }, answer) => {
    if (answer.body.kind !== 'snapshot') return answer
    parts++
    // The second part of the first member is lost twice, then it dies.
    if (request.transfer?.part === 2 && dead === '') {
      dead = to
      fleet.members.delete(to)
    }
    if (request.transfer?.part === 2 && to === dead) throw new TransportError('unknown', 'lost')
    return answer
  }
  follower.start(MEMBERS, 'a')
  await fleet.reaches(45)
  t.ok(parts > 8, `${parts} parts`)
  t.not(dead, '')
  const { state } = follower.copy
  for (let i = 0; i < 40; i++) t.equal(state.kvGet(textToKey(`big/${i}`))?.value[199_999], i)
})

const BROKEN: Record<string, (answer: FollowAnswer) => unknown> = {
  'no answer at all': () => null,
  'a text': () => 'entries',
  'no leader': (answer) => ({ ...answer, leader: 7 }),
  'a term that is none': (answer) => ({ ...answer, term: -1 }),
  'a commit index that is none': (answer) => ({ ...answer, commitIndex: 1.5 }),
  'a contact in the future': (answer) => ({ ...answer, lastContactMs: -5 }),
  'members that are none': (answer) => ({ ...answer, members: { voters: [1], learners: [] } }),
  'no body': (answer) => ({ ...answer, body: undefined }),
  'an unknown body': (answer) => ({ ...answer, body: { kind: 'more' } }),
  'entries that are none': (answer) => ({ ...answer, body: { kind: 'entries', entries: ['x'] } }),
  'entries that are a text': (answer) => ({ ...answer, body: { kind: 'entries', entries: 'xyz' } }),
  'an entry too short': (answer) => onEntries(answer, () => [new Uint8Array(3)]),
  'a gap': (answer) => onEntries(answer, (entries) => entries.slice(1)),
  'a repetition': (answer) => onEntries(answer, ([first, ...rest]) => (first ? [first, first, ...rest] : [])),
  'the wrong order': (answer) => onEntries(answer, (entries) => entries.toReversed()),
  'a flipped bit': (answer) =>
    onEntries(answer, (entries) => entries.map((bytes) => bytes.with(30, (bytes[30] ?? 0) ^ 1))),
  'a snapshot without an index': (answer) => ({
    ...answer,
    body: { kind: 'snapshot', transfer: 't', index: 0, term: 1, part: 0, records: [], last: true },
  }),
  'a snapshot that is cut short': (answer) => ({
    ...answer,
    body: { kind: 'snapshot', transfer: 't', index: 9, term: 1, part: 0, records: [], last: true },
  }),
  'a snapshot from its middle on': (answer) => ({
    ...answer,
    body: { kind: 'snapshot', transfer: 't', index: 9, term: 1, part: 3, records: [], last: false },
  }),
}

function onEntries(
  answer: FollowAnswer,
  change: (entries: readonly Uint8Array[]) => readonly Uint8Array[],
): FollowAnswer {
  if (answer.body.kind !== 'entries' || answer.body.entries.length < 2) return answer
  return { ...answer, body: { kind: 'entries', entries: change(answer.body.entries) } }
}

for (const [name, change] of Object.entries(BROKEN)) {
  t.test(`a malformed answer is refused and another member asked: ${name}`, async (t) => {
    const { fleet, grow, follower } = started(t)
    follower.start(MEMBERS, 'a')
    await fleet.reaches(5)
    const liar = follower.feeder ?? ''
    let lies = 0
    fleet.after = ({ to }, answer) => {
      const changed = to === liar ? change(answer) : answer
      if (changed !== answer) lies++
      return changed
    }
    grow(3)
    await fleet.reaches(8)
    await eventually('it was lied to', () => {
      if (lies === 0) grow(2)
      return lies > 0
    })
    const { index } = follower.copy.position
    await eventually('another one feeds', () => follower.feeder !== liar)
    for (let i = 2; i <= index; i++) t.equal(fleet.value(`k/${i}`), `${i}`)
    t.equal(follower.restarts, 1)
  })
}
