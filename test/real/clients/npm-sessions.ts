import type { Test } from 'tap'
import { REFUSED, rejects, type Seat, UNKNOWN } from './npm-seat.ts'
import { UUID } from './roles.ts'

/** Every method of `session`. */
export async function sessions(t: Test, { consul, agent }: Seat): Promise<void> {
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

/** Locks of sessions. */
export async function locks(t: Test, { consul, folder }: Seat): Promise<void> {
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

/** Transactions. */
export async function transactions(t: Test, { consul, folder }: Seat): Promise<void> {
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
