import t from 'tap'
import { seededRandom } from '../../../discovery/membership/core/random.ts'
import { BUCKETS_MAX, bucketCount, digestOf } from '../../../discovery/membership/core/state-digest.ts'
import { SwimCore } from '../../../discovery/membership/core/swim-core.ts'
import type { MemberRecord, SyncEntry } from '../../../discovery/membership/core/types.ts'
import {
  decodeAnswer,
  decodeSync,
  decodeSyncRequest,
  encodeAnswer,
  encodeOffer,
  encodeSync,
} from '../../../discovery/membership/wire.ts'
import { member } from './sim.ts'

function coreOf(id: string, members: readonly MemberRecord[], now = 0): SwimCore {
  const self = { id, name: id, address: `${id}:1`, incarnation: 1, meta: {} }
  const core = new SwimCore({ self, random: seededRandom(1) }, now)
  for (const other of members) if (other.id !== id) core.join(other, now)
  return core
}

const crowd = (count: number) => Array.from({ length: count }, (_, i) => member(`n${i}`))

/** One exchange over the wire format: entries that travelled each way, and bytes in all. */
function exchange(a: SwimCore, b: SwimCore, now = 0) {
  const [idA, idB] = [a.self().id, b.self().id]
  const offered = encodeOffer(a.offer(now))
  const request = decodeSyncRequest(offered)
  if (!('digest' in request)) throw new Error('not an offer')
  const answered = encodeAnswer(b.answerOffer(request, now))
  const answer = decodeAnswer(answered)
  const { rest } = a.takeAnswer(idB, request, answer, now)
  const told = encodeSync(rest)
  if (rest.length > 0) b.merge(idA, decodeSync(told), now)
  const bytes = offered.length + answered.length + (rest.length > 0 ? told.length : 0)
  return { answered: answer.entries.length, told: rest.length, bytes }
}

const view = (core: SwimCore) =>
  [...core.members()].map(({ id, status, incarnation }) => `${id} ${status} ${incarnation}`).sort()

t.test('two that know the same exchange no member', async (t) => {
  const a = coreOf('n0', crowd(1000))
  const b = coreOf('n1', crowd(1000))
  const { answered, told, bytes } = exchange(a, b)
  t.same([answered, told], [0, 0])
  t.ok(bytes < 3000, `${bytes} bytes`)
})

t.test('what one of them knows better travels, and little else', async (t) => {
  const a = coreOf('n0', crowd(1000))
  const b = coreOf('n1', crowd(1000))
  a.join(member('new-at-a'), 0)
  b.join(member('new-at-b'), 0)
  a.join(member('n500', { incarnation: 7 }), 0)
  b.message('n9', { type: 'gossip', updates: [{ status: 'left', id: 'n600', incarnation: 1 }] }, 0)
  const { answered, told } = exchange(a, b)
  t.same(view(a), view(b))
  t.ok(view(a).includes('n500 alive 7') && view(a).includes('n600 left 1'))
  t.ok(answered <= 40, `${answered} members came back`)
  t.equal(told, 2, 'only what the other did not know')
})

t.test('one that has just come learns everything and is learned of', async (t) => {
  const a = coreOf('x', [])
  const b = coreOf('n0', crowd(300))
  const { answered, told } = exchange(a, b)
  t.equal(answered, 300)
  t.equal(told, 1)
  t.same(view(a), view(b))
  t.same(exchange(b, a).told, 0)
})

t.test('a member that is held for dead refutes in the same exchange', async (t) => {
  const a = coreOf('n0', crowd(5))
  const b = coreOf('n1', crowd(5))
  b.message(
    'n2',
    { type: 'gossip', updates: [{ status: 'failed', id: 'n0', incarnation: 1, from: 'n2' }] },
    0,
  )
  exchange(a, b)
  t.match(b.get('n0'), { status: 'alive', incarnation: 2 })
})

t.test('places travel although nothing else differs, some at a time', async (t) => {
  const a = coreOf('n0', crowd(200))
  const b = coreOf('n1', crowd(200))
  const place = {
    coordinate: { vec: [0.01, 0, 0, 0, 0, 0, 0, 0], height: 0.001, adjustment: 0, error: 0.5 },
    ageMs: 0,
  }
  const told: SyncEntry[] = crowd(200).map((m) => ({ member: m, ageMs: 0, place }))
  b.merge('n5', told, 0)
  const placed = () => crowd(200).filter(({ id }) => id !== 'n0' && a.places.get(id) !== null).length
  exchange(a, b)
  const [first] = [placed()]
  t.ok(first >= 30 && first <= 34, String(first))
  for (let i = 0; i < 60; i++) exchange(a, b)
  t.ok(placed() > 195, String(placed()))
})

t.test('a digest tells status and incarnation apart, whatever the order', async (t) => {
  const base = crowd(40)
  const digest = (members: readonly MemberRecord[]) => digestOf(members, 8)
  t.same(digest(base), digest([...base].reverse()))
  for (const changed of [
    member('n3', { status: 'suspect' }),
    member('n3', { status: 'failed' }),
    member('n3', { status: 'left' }),
    member('n3', { incarnation: 2 }),
    member('n3', { incarnation: 1 + 2 ** 30 }),
    member('n3', { incarnation: 1 + 2 ** 40 }),
  ]) {
    const other = digest(base.map((m) => (m.id === 'n3' ? changed : m)))
    t.equal(digest(base).filter((sum, i) => sum !== other[i]).length, 1)
  }
  t.equal(bucketCount(1), 1)
  t.equal(bucketCount(1000), 256)
  t.equal(bucketCount(1e6), BUCKETS_MAX)
})

t.test(
  'the ends of a connection compare what they know only if one does not hold the other for alive',
  async (t) => {
    const core = coreOf('n0', crowd(3))
    const syncs = (id: string) => core.peerConnected(id, 0).filter((action) => action.type === 'sync').length
    t.equal(syncs('n1'), 0, 'known and alive')
    t.equal(syncs('stranger'), 1)
    core.message(
      'n1',
      { type: 'gossip', updates: [{ status: 'failed', id: 'n2', incarnation: 1, from: 'n1' }] },
      0,
    )
    t.equal(syncs('n2'), 1, 'held for dead')
  },
)

t.test('what is no offer and no answer is refused', async (t) => {
  const bytes = (value: unknown) => Buffer.from(JSON.stringify(value))
  const places = [{ id: 'a', ageMs: 0 }]
  for (const bad of [
    { digest: '', places: [] },
    { digest: '0123', places: [] },
    { digest: 'xxxxxxxx', places: [] },
    { digest: 5, places: [] },
    { digest: '0'.repeat(8 * BUCKETS_MAX + 8), places: [] },
    { digest: '00000000' },
    { digest: '00000000', places },
    {},
  ])
    t.throws(
      () => decodeSyncRequest(bytes(bad)),
      { code: 'MBR_BAD_MESSAGE' },
      JSON.stringify(bad).slice(0, 60),
    )
  for (const bad of [
    {},
    { buckets: [-1], entries: [], places: [] },
    { buckets: ['x'], entries: [], places: [] },
  ])
    t.throws(() => decodeAnswer(bytes(bad)), { code: 'MBR_BAD_MESSAGE' })
})
