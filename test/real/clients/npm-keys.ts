import type { Test } from 'tap'
import { REFUSED, rejects, type Seat } from './npm-seat.ts'

/** Every method of `kv` but for locks. */
export async function keys(t: Test, { consul, folder }: Seat): Promise<void> {
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

/** Reads that wait. */
export async function waiting(t: Test, { consul, folder }: Seat): Promise<void> {
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
