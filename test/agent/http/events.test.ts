import t from 'tap'
import { listIndex } from '../../../agent/http/events.ts'
import type { UserEvent } from '../../../discovery/events/types.ts'
import { type Harness, harness } from './harness.ts'

const fire = (h: Harness, path: string, payload = '') =>
  h.app.inject({ method: 'PUT', url: `/v1/event/fire/${path}`, payload })
const list = (h: Harness, query = '') => h.app.inject(`/v1/event/list${query}`)
/** Waits until this many queries wait. */
async function parked(h: Harness, count: number): Promise<void> {
  const deadline = performance.now() + 5000
  const line = `constellation_http_blocking_queries ${count}\n`
  while (!(await h.metrics.metrics()).includes(line)) {
    if (performance.now() > deadline) throw new Error(`not in time: ${line}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

const indexOf = (answer: { headers: Record<string, unknown> }) => String(answer.headers['x-consul-index'])

t.test('fire answers the event as it was sent, and the list shows it', async (t) => {
  const h = harness()
  h.catalog.putService({
    id: 'web-1',
    name: 'web',
    tags: ['blue'],
    address: '',
    port: 80,
    meta: {},
    weights: { passing: 1, warning: 1 },
    enableTagOverride: false,
    taggedAddresses: {},
  })
  const fired = await fire(h, 'deploy?node=%5En1%24&service=web&tag=blue', 'v2')
  t.equal(fired.statusCode, 200)
  t.match(fired.json().ID, /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/)
  t.same(fired.json(), {
    ID: fired.json().ID,
    Name: 'deploy',
    Payload: 'djI=',
    NodeFilter: '^n1$',
    ServiceFilter: 'web',
    TagFilter: 'blue',
    Version: 1,
    LTime: 0,
  })
  const listed = await list(h)
  t.same(listed.json(), [{ ...fired.json(), LTime: 1 }])
  t.equal(listed.headers['x-consul-knownleader'], 'true')
  t.equal(listed.headers['x-consul-lastcontact'], '0')
})

t.test('no payload is null, names and wildcards are decoded, ?name picks', async (t) => {
  const h = harness()
  t.equal((await fire(h, 'a%2Fb%20c')).json().Payload, null)
  await fire(h, 'other')
  t.same(
    (await list(h)).json().map(({ Name }: { Name: string }) => Name),
    ['a/b c', 'other'],
  )
  t.same(
    (await list(h, '?name=other')).json().map(({ LTime }: { LTime: number }) => LTime),
    [2],
  )
  t.same((await list(h, '?name=nope')).json(), [])
})

t.test('an agent lists no event for others', async (t) => {
  const h = harness()
  await fire(h, 'x?node=n2')
  t.same((await list(h)).json(), [])
})

t.test('refusals', async (t) => {
  const h = harness()
  const refused = async (path: string, status: number, text: string | RegExp, payload = '') => {
    const answer = await fire(h, path, payload)
    t.equal(answer.statusCode, status, path)
    t.match(answer.body, text)
  }
  await refused('', 400, 'Missing name')
  await refused('x?node=(', 400, /^Invalid node filter: error parsing regexp: missing closing \)/)
  await refused('x?service=a&tag=[', 400, /^Invalid tag filter: /)
  await refused('x?tag=a', 400, 'Tag filter provided without service filter')
  await refused('x', 413, /^Request body\(16385 bytes\) too large, max size: 16384 bytes/, 'x'.repeat(16_385))
  t.equal((await fire(h, 'x', 'x'.repeat(16_384))).statusCode, 200)
  t.equal((await list(h, '?index=abc')).statusCode, 400)
  t.equal((await list(h, '?index=18446744073709551616')).body, 'Invalid index')
  t.equal((await list(h, '?index=1&wait=soon')).body, 'Invalid wait time')
  t.equal((await h.app.inject({ method: 'POST', url: '/v1/event/list' })).headers.allow, 'OPTIONS,GET')
})

t.test('the index is the newest id, one half XOR the other', async (t) => {
  const withId = (id: string) => ({ id }) as UserEvent
  t.equal(listIndex([]), 1n)
  t.equal(
    listIndex([
      withId('00000000-0000-4000-8000-000000000000'),
      withId('b54fe110-7af5-cafc-d1fb-afc8ba432b1c'),
    ]),
    0xb54fe1107af5cafcn ^ 0xd1fbafc8ba432b1cn,
  )
  t.equal(listIndex([withId('12345678-1234-4321-1234-567812344321')]), 1n, 'never 0')
})

t.test('the list blocks while its index is that of the newest, and wakes at the next', async (t) => {
  const h = harness()
  t.equal(indexOf(await list(h)), '1')
  const first = list(h, '?index=1&wait=30s')
  await parked(h, 1)
  await fire(h, 'x?node=n2')
  await parked(h, 1)
  await fire(h, 'one')
  const woken = await first
  const [{ ID, Name }] = woken.json()
  t.equal(Name, 'one')
  t.equal(indexOf(woken), String(listIndex([{ id: ID } as UserEvent])))

  const second = list(h, `?index=${indexOf(woken)}&wait=30s`)
  await parked(h, 1)
  await fire(h, 'two')
  t.same(
    (await second).json().map(({ Name }: { Name: string }) => Name),
    ['one', 'two'],
  )
})

t.test('any other index answers at once, larger ones and those beyond 2^53 too', async (t) => {
  const h = harness()
  await fire(h, 'one')
  const current = BigInt(indexOf(await list(h)))
  for (const index of ['0', '1', '-1', String(current ^ 1n), '18446744073709551615']) {
    t.equal((await list(h, `?index=${index}&wait=30s`)).json().length, 1, index)
  }
})

t.test('?name blocks on the events of that name; the deadline answers what there is', async (t) => {
  const h = harness()
  await fire(h, 'mine')
  const mine = await list(h, '?name=mine')
  const waiting = list(h, `?name=mine&index=${indexOf(mine)}&wait=300ms`)
  await parked(h, 1)
  await fire(h, 'other')
  const late = await waiting
  t.same(late.json(), mine.json())
  t.equal(indexOf(late), indexOf(mine))
  const none = await list(h, '?name=nope&index=1&wait=10ms')
  t.same(none.json(), [])
})

t.test('events need no leader', async (t) => {
  const h = harness()
  h.consensus.loseLeader()
  t.equal((await fire(h, 'x')).statusCode, 200)
  const listed = await list(h)
  t.equal(listed.statusCode, 200)
  t.equal(listed.headers['x-consul-knownleader'], 'false')
})
