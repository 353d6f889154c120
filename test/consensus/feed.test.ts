import t from 'tap'
import { ConsensusError } from '../../consensus/errors.ts'
import type { FeedOptions } from '../../consensus/feed.ts'
import type { FollowAnswer, FollowRequest } from '../../consensus/feed-messages.ts'
import { decodeEntry } from '../../consensus/storage/entry-codec.ts'
import { eventually, set } from './cluster.ts'
import { FakeMember, ManualClock, SharedLog } from './feed-fixture.ts'

type Tap = { teardown(fn: () => void): void }

function member(t: Tap, size: number, options: Partial<FeedOptions> = {}) {
  const clock = new ManualClock()
  const log = new SharedLog()
  log.fill(size - 1)
  const source = new FakeMember(log, clock, options).apply()
  t.teardown(() => source.feed.stop())
  return { clock, log, source, feed: source.feed }
}

function follow(index: number, rest: Partial<FollowRequest> = {}): FollowRequest {
  return { op: 'follow', clusterId: 'home', index, term: 1, fresh: false, transfer: null, ...rest }
}

/** Indexes of the entries of an answer. */
function indexes({ body }: FollowAnswer): number[] {
  if (body.kind !== 'entries') throw new Error(`the answer is of kind ${body.kind}`)
  return body.entries.map((bytes) => decodeEntry(bytes).index)
}

function isRefused(code: string) {
  return { name: 'ConsensusError', code }
}

t.test('a member answers what is applied after the position, and what it knows', async (t) => {
  const { source, feed } = member(t, 9)
  const answer = await feed.answer('x', follow(6, { fresh: true }))
  t.same(indexes(answer), [7, 8, 9])
  t.match(answer, {
    leader: 'a',
    term: 1,
    commitIndex: 9,
    lastContactMs: 3,
    members: { voters: ['a', 'b', 'c'], learners: [] },
  })
  t.equal((await feed.answer('x', follow(8))).members, null, 'it was told')
  t.ok((await feed.answer('x', follow(8, { fresh: true }))).members, 'unless it says that it was not')
  t.same(feed.followers(), [{ id: 'x', index: 8 }])
  source.lastContactMs = Number.POSITIVE_INFINITY
  t.equal((await feed.answer('x', follow(8))).lastContactMs, null)
})

t.test('nothing is fed before it is applied here, however much is committed', async (t) => {
  const { log, source, feed } = member(t, 5)
  log.fill(5)
  t.same(indexes(await feed.answer('x', follow(3))), [4, 5])
  const later = feed.answer('x', follow(5))
  await eventually('it waits', () => source.waiting === 1)
  source.apply(7)
  t.same(indexes(await later), [6, 7])
  t.equal(source.waiting, 0, 'no waiter is left behind')
})

t.test('a request waits for a bounded time, a change of the status, or the next request', async (t) => {
  const { source, feed } = member(t, 5, { waitMs: 40 })
  const started = performance.now()
  t.same(indexes(await feed.answer('x', follow(5))), [])
  t.ok(performance.now() - started >= 35, 'it waited')

  const slow = member(t, 5, { waitMs: 60_000 })
  const status = slow.feed.answer('x', follow(5))
  await eventually('it waits', () => slow.source.waiting === 1)
  slow.source.leader = ''
  slow.source.statusChanged()
  t.equal((await status).leader, '')
  const first = slow.feed.answer('x', follow(5))
  await eventually('it waits', () => slow.source.waiting === 1)
  const second = slow.feed.answer('x', follow(4))
  t.same(indexes(await first), [])
  t.same(indexes(await second), [5])
  const last = slow.feed.answer('x', follow(5))
  await eventually('it waits', () => slow.source.waiting === 1)
  slow.feed.stop()
  await t.rejects(last, isRefused('CST_STOPPED'))
  t.equal(source.waiting + slow.source.waiting, 0)
})

t.test('an answer is bounded in bytes, but one large entry goes', async (t) => {
  const { log, source, feed } = member(t, 2, { bytesMax: 1000 })
  for (let i = 0; i < 10; i++)
    log.add({ ...set('k', ''), value: new Uint8Array(400) } as ReturnType<typeof set>)
  log.add({ ...set('k', ''), value: new Uint8Array(100_000) } as ReturnType<typeof set>)
  source.apply()
  const all: number[] = []
  for (let index = 2; index < 13; ) {
    const got = indexes(await feed.answer('x', follow(index)))
    t.ok(got.length > 0 && got.length <= 2)
    all.push(...got)
    index = got.at(-1) ?? index
  }
  t.same(all, [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13])
})

t.test(
  'a client that has nothing, or what is compacted away, or another history, gets a state',
  async (t) => {
    const { log, source, feed } = member(t, 9)
    source.compactedTo = 6
    for (const request of [
      follow(0, { term: 0 }),
      follow(5),
      follow(9, { term: 2 }),
      follow(7, { term: 9 }),
    ]) {
      const { body } = await feed.answer('x', request)
      t.match(body, { kind: 'snapshot', index: 9, term: 1, part: 0, last: true })
    }
    t.same(indexes(await feed.answer('x', follow(6))), [7, 8, 9])
    // What is compacted away while a client waits.
    const waiting = feed.answer('x', follow(9))
    await eventually('it waits', () => source.waiting === 1)
    log.fill(3)
    source.compactedTo = 12
    source.apply()
    t.equal((await waiting).body.kind, 'snapshot')
  },
)

t.test('a client that is further waits, and is sent on if this member does not get there', async (t) => {
  const { log, source, feed } = member(t, 5)
  log.fill(5)
  const soon = feed.answer('x', follow(8))
  await eventually('it waits', () => source.waiting === 1)
  source.apply()
  t.same(indexes(await soon), [9, 10])
  t.equal((await feed.answer('x', follow(12))).body.kind, 'behind')
  // A member whose disk is full gives what it has, and then no more for a while.
  source.isFull = true
  t.same(indexes(await feed.answer('x', follow(8))), [9, 10])
  t.equal((await feed.answer('x', follow(10))).body.kind, 'behind')
})

t.test('a member feeds a bounded number of clients, and forgets those that are gone', async (t) => {
  const { clock, feed } = member(t, 5, { followersMax: 2, waitMs: 10 })
  await feed.answer('x', follow(1))
  await feed.answer('y', follow(1))
  await t.rejects(feed.answer('z', follow(1)), isRefused('CST_REFUSED'))
  await feed.answer('x', follow(4))
  clock.ms += 40
  await feed.answer('x', follow(4))
  await t.rejects(feed.answer('z', follow(1)), isRefused('CST_REFUSED'))
  clock.ms += 20
  t.same(indexes(await feed.answer('z', follow(4))), [5])
  t.same(
    feed.followers().map(({ id }) => id),
    ['x', 'z'],
  )
})

t.test('states are handed out part by part, the last one again, and no more than four at once', async (t) => {
  const { log, source, feed, clock } = member(t, 2)
  for (let i = 0; i < 30; i++)
    log.add({ ...set(`${i}`, ''), value: new Uint8Array(200_000).fill(i) } as ReturnType<typeof set>)
  source.apply()
  const get = async (client: string, id: string, part: number) => {
    const { body } = await feed.answer(client, follow(0, { term: 0, transfer: { id, part } }))
    if (body.kind !== 'snapshot') throw new Error('no snapshot')
    return body
  }
  const begin = async (client: string) => {
    const { body } = await feed.answer(client, follow(0, { term: 0 }))
    if (body.kind !== 'snapshot') throw new Error('no snapshot')
    return body
  }
  let part = await begin('x')
  const { transfer } = part
  let records = part.records.length
  while (!part.last) {
    const next = await get('x', transfer, part.part + 1)
    t.same(await get('x', transfer, part.part + 1), next, 'the answer may have been lost')
    await t.rejects(get('x', transfer, part.part), isRefused('CST_PROPOSAL_DROPPED'))
    await t.rejects(get('x', transfer, part.part + 3), isRefused('CST_PROPOSAL_DROPPED'))
    await t.rejects(get('y', transfer, part.part + 2), isRefused('CST_PROPOSAL_DROPPED'))
    // What is written meanwhile is not in it.
    log.fill(1)
    source.apply()
    part = next
    records += part.records.length
    t.equal(part.index, 32)
  }
  t.equal(records, 30 + 1 + 4, 'keys, k/2, head, marks, origin and end')
  await t.rejects(get('x', transfer, part.part + 1), isRefused('CST_PROPOSAL_DROPPED'))

  for (const client of ['1', '2', '3']) await begin(client)
  await begin('x')
  await t.rejects(begin('5'), isRefused('CST_REFUSED'))
  await feed.answer('1', follow(4))
  const fifth = await begin('5')
  clock.ms += 31_000
  await t.rejects(get('5', fifth.transfer, 1), isRefused('CST_PROPOSAL_DROPPED'))
})

t.test('who is no member of that cluster feeds nobody, and no nonsense is answered', async (t) => {
  const { source, feed } = member(t, 5)
  await t.rejects(feed.answer('x', follow(3, { clusterId: 'other' })), isRefused('CST_NOT_INITIALISED'))
  source.isMember = false
  await t.rejects(feed.answer('x', follow(3)), isRefused('CST_NOT_INITIALISED'))
  source.isMember = true
  const nonsense: unknown[] = [
    { ...follow(3), index: -1 },
    { ...follow(3), index: 1e300 },
    { ...follow(3), term: 'x' },
    { ...follow(3), clusterId: null },
    { ...follow(3), fresh: 1 },
    { ...follow(3), transfer: 'x' },
    { ...follow(3), transfer: undefined },
    { ...follow(3), transfer: { id: 1, part: 1 } },
    { ...follow(3), transfer: { id: 'x', part: -1 } },
    { ...follow(3), transfer: { id: 'x', part: 1 } },
  ]
  for (const request of nonsense)
    await t.rejects(feed.answer('x', request as FollowRequest), isRefused('CST_PROPOSAL_DROPPED'))
  const empty = new FakeMember(new SharedLog(), new ManualClock())
  await t.rejects(empty.feed.answer('x', follow(0)), ConsensusError, 'it has no state to give')
})
