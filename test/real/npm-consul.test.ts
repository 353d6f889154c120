import type { Test } from 'tap'
import type { AgentProcess } from './agent-process.ts'
import { type Cluster, clusterTest } from './cluster.ts'
import { type NpmConsul, type NpmError, type NpmWatch, npmConsul } from './npm-consul.ts'
import { until } from './until.ts'

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
/** What this client makes of the answer `false`. */
const REFUSED = undefined
const UNKNOWN = '00000000-0000-4000-8000-000000000000'

interface Seat {
  readonly consul: NpmConsul
  readonly agent: AgentProcess
  readonly cluster: Cluster
  /** Where its keys are, so that those of one seat do not meet another's. */
  readonly folder: string
}

clusterTest('npm consul, unchanged, through the leader and a follower', { nodes: 3 }, async (t, cluster) => {
  const leader = await cluster.leader()
  const [follower] = cluster.others(leader)
  if (follower === undefined) throw new Error('there is no follower')
  for (const [agent, role] of [
    [leader, 'leader'],
    [follower, 'follower'],
  ] as const) {
    const seat: Seat = { consul: npmConsul(agent.ports.http), agent, cluster, folder: role }
    t.teardown(() => seat.consul.destroy())
    await t.test(`keys, ${role}`, (t) => keys(t, seat))
    await t.test(`waiting for keys, ${role}`, (t) => waiting(t, seat))
    await t.test(`sessions, ${role}`, (t) => sessions(t, seat))
    await t.test(`locks, ${role}`, (t) => locks(t, seat))
    await t.test(`transactions, ${role}`, (t) => transactions(t, seat))
    await t.test(`status, ${role}`, (t) => status(t, seat, leader))
    await t.test(`events, ${role}`, (t) => events(t, seat))
    await t.test(`a watch, ${role}`, (t) => watch(t, seat))
    await t.test(`a watch and a restore, ${role}`, (t) => restore(t, seat))
  }
})

async function keys(t: Test, { consul, folder }: Seat): Promise<void> {
  const key = `${folder}/a b/ü`
  t.equal(await consul.kv.get(key), undefined, 'a key that is not there')
  t.equal(await consul.kv.set(key, 'one'), true)
  const one = await consul.kv.get(key)
  t.match(one, { Key: key, Value: 'one', Flags: 0, LockIndex: 0, CreateIndex: one?.ModifyIndex })
  t.equal(await consul.kv.set({ key, value: 'two', cas: 0 }), REFUSED, 'it is there already')
  t.equal(await consul.kv.set({ key, value: 'two', cas: (one?.ModifyIndex ?? 0) + 1 }), REFUSED)
  t.equal(await consul.kv.set({ key, value: 'two', cas: one?.ModifyIndex ?? -1, flags: 42 }), true)
  const two = await consul.kv.get({ key, consistent: true })
  t.match(two, { Value: 'two', Flags: 42, CreateIndex: one?.CreateIndex })
  t.ok((two?.ModifyIndex ?? 0) > (one?.ModifyIndex ?? 0))

  const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i))
  t.equal(await consul.kv.set(`${folder}/bytes`, bytes), true)
  t.same(await consul.kv.get({ key: `${folder}/bytes`, raw: true }), bytes)
  t.same((await consul.kv.get({ key: `${folder}/bytes`, buffer: true }))?.Value, bytes)
  t.equal(await consul.kv.set(`${folder}/empty`, ''), true)
  t.equal((await consul.kv.get(`${folder}/empty`))?.Value, null)
  t.equal(await consul.kv.set({ key: `${folder}/flags`, value: 'f', flags: '18446744073709551615' }), true)
  t.equal((await consul.kv.get(`${folder}/flags`))?.Flags, 2 ** 64, 'as near as its numbers come')

  t.same(await consul.kv.keys(`${folder}/`), [key, `${folder}/bytes`, `${folder}/empty`, `${folder}/flags`])
  t.same(await consul.kv.keys({ key: `${folder}/a`, separator: '/' }), [`${folder}/a b/`])
  await rejects(t, consul.kv.keys(`${folder}/none`), { statusCode: 404 })
  const list = await consul.kv.get({ key: folder, recurse: true, stale: true })
  t.same(
    list?.map(({ Key }) => Key),
    [key, `${folder}/bytes`, `${folder}/empty`, `${folder}/flags`],
  )
  t.equal(await consul.kv.get({ key: `${folder}/none`, recurse: true }), undefined)

  t.equal(await consul.kv.del({ key, cas: one?.ModifyIndex ?? -1 }), REFUSED, 'it has changed')
  t.equal(await consul.kv.del({ key, cas: two?.ModifyIndex ?? -1 }), true)
  t.equal(await consul.kv.delete(`${folder}/bytes`), true)
  t.equal(await consul.kv.del(`${folder}/none`), true, 'what is not there')
  t.equal(await consul.kv.del({ key: `${folder}/`, recurse: true }), true)
  t.equal(await consul.kv.get({ key: folder, recurse: true }), undefined)

  await rejects(t, consul.kv.get({ key, consistent: true, dc: 'elsewhere' }), {
    statusCode: 500,
    message: /No path to datacenter/,
  })
}

async function waiting(t: Test, { consul, folder }: Seat): Promise<void> {
  const key = `${folder}/waited`
  await consul.kv.set(key, '1')
  const index = String((await consul.kv.get(key))?.ModifyIndex)
  const started = performance.now()
  const same = await consul.kv.get({ key, index, wait: '200ms' })
  const took = performance.now() - started
  t.equal(same?.Value, '1')
  t.ok(took >= 199 && took < 5000, `waited for 200 ms: ${Math.round(took)} ms`)
  const woken = consul.kv.get({ key, index, wait: '60s' })
  await consul.kv.set(`${folder}/unrelated`, '1')
  await consul.kv.set(key, '2')
  t.equal((await woken)?.Value, '2')
  await consul.kv.del({ key: `${folder}/`, recurse: true })
  await rejects(t, consul.kv.get({ key, index, wait: 'soon' }), {
    statusCode: 400,
    message: /Invalid wait time/,
  })
}

async function sessions(t: Test, { consul, agent }: Seat): Promise<void> {
  const { ID: plain } = await consul.session.create()
  t.match(plain, UUID)
  const found = await consul.session.info(plain)
  t.same(found, {
    ID: plain,
    Name: '',
    Node: agent.name,
    LockDelay: 15e9,
    Behavior: 'release',
    TTL: '',
    Checks: ['serfHealth'],
    NodeChecks: ['serfHealth'],
    ServiceChecks: null,
    CreateIndex: found?.CreateIndex,
    ModifyIndex: found?.CreateIndex,
  })
  const { ID: full } = await consul.session.create({
    name: 'full',
    node: agent.name,
    checks: ['serfHealth'],
    lockdelay: '1m30s',
    behavior: 'delete',
    ttl: '10s',
  })
  t.match(await consul.session.get(full), {
    Name: 'full',
    // The longest there is.
    LockDelay: 60e9,
    Behavior: 'delete',
    TTL: '10s',
  })
  const [renewed, ...more] = await consul.session.renew(full)
  t.match(renewed, { ID: full, TTL: '10s' })
  t.same(more, [])
  const ids = (list: readonly { readonly ID: string }[]) => list.map(({ ID }) => ID)
  const own = ids(await consul.session.node(agent.name))
  t.ok(own.includes(plain) && own.includes(full))
  const all = ids(await consul.session.list({ consistent: true }))
  t.ok(own.every((id) => all.includes(id)))
  t.same(await consul.session.node('nowhere'), [])

  for (const id of [plain, full, full, UNKNOWN]) t.equal(await consul.session.destroy(id), undefined)
  t.equal(await consul.session.info(full), undefined)
  t.notOk(ids(await consul.session.list()).includes(full))
  await rejects(t, consul.session.renew(full), {
    statusCode: 404,
    message: new RegExp(`Session id '${full}' not found`),
  })
  await rejects(t, consul.session.create({ ttl: '1s' }), {
    statusCode: 500,
    message: /Invalid Session TTL '1000000000', must be between \[10s=24h0m0s\]/,
  })
}

async function locks(t: Test, { consul, folder }: Seat): Promise<void> {
  const key = `${folder}/lock`
  const [{ ID: mine }, { ID: other }] = await Promise.all([
    consul.session.create({ name: 'mine', lockdelay: '0s', checks: [] }),
    consul.session.create({ name: 'other', checks: [] }),
  ])
  t.equal(await consul.kv.set({ key, value: 'mine', acquire: mine }), true)
  t.equal(await consul.kv.set({ key, value: 'other', acquire: other }), REFUSED)
  t.match(await consul.kv.get(key), { Value: 'mine', Session: mine, LockIndex: 1 })
  t.equal(await consul.kv.set({ key, value: 'still mine', acquire: mine }), true)
  t.match(await consul.kv.get(key), { Value: 'still mine', Session: mine, LockIndex: 1 })
  t.equal(await consul.kv.set({ key, value: 'x', release: other }), REFUSED)
  t.equal(await consul.kv.set({ key, value: 'free', release: mine }), true)
  const free = await consul.kv.get(key)
  t.match(free, { Value: 'free', LockIndex: 1 })
  t.notOk('Session' in (free ?? {}))
  t.equal(await consul.kv.set({ key, value: 'other', acquire: other }), true)
  t.match(await consul.kv.get(key), { Session: other, LockIndex: 2 })
  await rejects(t, consul.kv.set({ key, value: 'x', acquire: UNKNOWN }), {
    statusCode: 500,
    message: new RegExp(`invalid session "${UNKNOWN}"`),
  })
  await consul.session.destroy(other)
  const after = await consul.kv.get(key)
  t.match(after, { Value: 'other', LockIndex: 2 })
  t.notOk('Session' in (after ?? {}), 'the end of the session is the end of the lock')
  t.equal(await consul.kv.set({ key, value: 'x', acquire: mine }), REFUSED, 'and delays the next one')
  await consul.session.destroy(mine)
  await consul.kv.del(key)
}

async function transactions(t: Test, { consul, folder }: Seat): Promise<void> {
  const a = `${folder}/ta`
  const base64 = (text: string) => Buffer.from(text).toString('base64')
  const { ID: session } = await consul.session.create({ checks: [], lockdelay: '0s' })
  const done = await consul.transaction.create([
    { KV: { Verb: 'set', Key: a, Value: base64('one'), Flags: 7 } },
    { KV: { Verb: 'lock', Key: `${a}/lock`, Value: base64('held'), Session: session } },
    { KV: { Verb: 'get', Key: a } },
    { KV: { Verb: 'get-or-empty', Key: `${a}/none` } },
    { KV: { Verb: 'delete', Key: `${a}/none` } },
  ])
  const index = done.Results?.[0]?.KV.ModifyIndex ?? 0
  const made = { LockIndex: 0, Key: a, Flags: 7, CreateIndex: index, ModifyIndex: index }
  t.same(done, {
    Results: [
      { KV: { ...made, Value: null } },
      { KV: { ...made, Key: `${a}/lock`, Flags: 0, LockIndex: 1, Session: session, Value: null } },
      { KV: { ...made, Value: base64('one') } },
      { KV: { LockIndex: 0, Key: `${a}/none`, Flags: 0, Value: null, CreateIndex: 0, ModifyIndex: 0 } },
    ],
    Errors: null,
  })
  const fenced = (holder: string) => [
    { KV: { Verb: 'check-session', Key: `${a}/lock`, Session: holder } },
    { KV: { Verb: 'cas', Key: a, Value: base64('two'), Index: index } },
  ]
  await rejects(t, consul.transaction.create(fenced(UNKNOWN)), {
    statusCode: 409,
    body: {
      Results: null,
      Errors: [
        {
          OpIndex: 0,
          What: `failed session check for key "${a}/lock", current session "${session}" != "${UNKNOWN}"`,
        },
      ],
    },
  })
  t.match(await consul.kv.get(a), { Value: 'one', ModifyIndex: index })
  t.match(await consul.transaction.create(fenced(session)), { Results: [{}, {}], Errors: null })
  t.equal((await consul.kv.get(a))?.Value, 'two')
  const tree = [{ KV: { Verb: 'get-tree', Key: a } }]
  t.match(await consul.transaction.create(tree, { consistent: true }), {
    Results: [{ KV: { Key: a, Value: base64('two') } }, { KV: { Key: `${a}/lock`, Value: base64('held') } }],
  })
  const many = Array.from({ length: 129 }, () => ({ KV: { Verb: 'delete', Key: a } }))
  await rejects(t, consul.transaction.create(many), {
    statusCode: 413,
    message: /Transaction contains too many operations \(129 > 128\)/,
  })
  t.match(await consul.transaction.create([...many.slice(0, 127), { KV: { Verb: 'delete-tree', Key: a } }]), {
    Results: [],
  })
  t.equal(await consul.kv.get({ key: a, recurse: true }), undefined)
  await consul.session.destroy(session)
}

async function status(t: Test, { consul, cluster }: Seat, leader: AgentProcess): Promise<void> {
  t.equal(await consul.status.leader(), `127.0.0.1:${leader.ports.mesh}`)
  t.same(
    new Set(await consul.status.peers()),
    new Set(cluster.agents.map(({ ports }) => `127.0.0.1:${ports.mesh}`)),
  )
}

async function events(t: Test, { consul, agent, cluster }: Seat): Promise<void> {
  const name = `deploy-${agent.name}`
  t.same(await consul.event.list(name), [])
  const fired = await consul.event.fire({ name, payload: 'v2', node: '^n[123]$' })
  t.match(fired.ID, UUID)
  const event = {
    ID: fired.ID,
    Name: name,
    Payload: 'v2',
    NodeFilter: '^n[123]$',
    ServiceFilter: '',
    TagFilter: '',
    Version: 1,
  }
  t.same(fired, { ...event, LTime: 0 })
  for (const { ports } of cluster.agents) {
    const other = npmConsul(ports.http)
    const [listed, ...more] = await until('the event is there', async () => {
      const list = await other.event.list({ name })
      return list.length > 0 && list
    })
    other.destroy()
    t.ok((listed?.LTime ?? 0) > 0)
    t.same(listed, { ...event, LTime: listed?.LTime })
    t.same(more, [])
  }
  const [binary, empty] = [Buffer.from([0, 255]), await consul.event.fire(`${name}-empty`)]
  t.equal(empty.Payload, null)
  t.same((await consul.event.fire(`${name}-binary`, binary)).Payload, binary)
  const all = (await consul.event.list()).map(({ Name }) => Name)
  t.ok([name, `${name}-empty`, `${name}-binary`].every((each) => all.includes(each)))
}

/** A watch of one key, and the values it has told of. */
function watched(t: Test, consul: NpmConsul, key: string, index?: string) {
  const seen: (string | undefined)[] = []
  const errors: unknown[] = []
  const options = { key, wait: '60s', ...(index === undefined ? {} : { index }) }
  const watch: NpmWatch = consul.watch({ method: consul.kv.get, options, backoffFactor: 50 })
  watch.on('change', (entry: { readonly Value: string } | undefined) => seen.push(entry?.Value))
  watch.on('error', (error: unknown) => errors.push(error))
  t.teardown(() => watch.end())
  const sees = async (...values: readonly (string | undefined)[]): Promise<void> => {
    await until(`the watch tells of ${values.length} changes`, () => seen.length >= values.length, {
      intervalMs: 5,
      state: () => ({ seen, errors: errors.map(String) }),
    })
    t.same(seen, values)
    t.same(errors, [])
  }
  return { watch, sees }
}

async function watch(t: Test, { consul, agent, folder }: Seat): Promise<void> {
  const key = `${folder}/watched`
  const { watch, sees } = watched(t, consul, key)
  await sees(undefined)
  await consul.kv.set(key, 'appears')
  await sees(undefined, 'appears')
  await consul.kv.set(key, 'changes')
  await sees(undefined, 'appears', 'changes')

  await parked(agent, 1)
  const answered = watch.updateTime()
  await consul.kv.set(`${key}-not`, 'unrelated')
  await consul.kv.set(key, 'changes')
  await consul.session.destroy((await consul.session.create()).ID)
  // Takes the same way as the answer of a query that woke before it.
  await consul.kv.get({ key, consistent: true })
  t.equal(watch.updateTime(), answered, 'what does not concern it does not wake it')

  await consul.kv.del(key)
  await sees(undefined, 'appears', 'changes', undefined)
  await consul.kv.set(key, 'appears again')
  await sees(undefined, 'appears', 'changes', undefined, 'appears again')
  watch.end()
  await consul.kv.set(key, 'nobody looks')

  // An index of another store, larger than any here: it starts again from the beginning.
  const lost = watched(t, consul, key, '1000000000')
  await lost.sees('nobody looks', 'nobody looks')
  await consul.kv.set(key, 'found')
  await lost.sees('nobody looks', 'nobody looks', 'found')
  await consul.kv.del({ key: `${folder}/`, recurse: true })
}

async function restore(t: Test, { consul, agent, folder }: Seat): Promise<void> {
  const key = `${folder}/restored`
  await consul.kv.set(key, 'saved')
  const archive = await fetch(`http://127.0.0.1:${agent.ports.http}/v1/snapshot`)
  const bytes = new Uint8Array(await archive.arrayBuffer())
  const { sees } = watched(t, consul, key)
  const made = watched(t, consul, `${key}-later`)
  await parked(agent, 2)
  await consul.kv.set(key, 'written after')
  await consul.kv.set(`${key}-later`, 'made after')
  await sees('saved', 'written after')
  await made.sees(undefined, 'made after')
  await parked(agent, 2)
  const answer = await fetch(`http://127.0.0.1:${agent.ports.http}/v1/snapshot`, {
    method: 'PUT',
    body: bytes,
  })
  t.equal(answer.status, 200)
  await sees('saved', 'written after', 'saved')
  await made.sees(undefined, 'made after', undefined)
  await consul.kv.del({ key: `${folder}/`, recurse: true })
}

/** Waits until so many blocking queries wait on an agent. */
async function parked(agent: AgentProcess, count: number): Promise<void> {
  const gauge = new RegExp(`^constellation_http_blocking_queries\\S* ${count}$`, 'm')
  await until(`${count} queries wait`, async () => gauge.test((await agent.ask('/metrics')).text), {
    intervalMs: 10,
  })
}

/** Asserts that the promise is rejected with a status and a text. */
async function rejects(
  t: Test,
  promise: Promise<unknown>,
  expected: { readonly statusCode: number; readonly message?: RegExp; readonly body?: unknown },
): Promise<void> {
  const error = await promise.then(
    () => null,
    (failure: NpmError) => failure,
  )
  const { statusCode, message, response } = error ?? { message: 'it was not rejected' }
  t.match({ statusCode, message, body: response?.body }, expected, message)
}
