import type { Test } from 'tap'
import type { AgentProcess } from '../agent-process.ts'
import { until } from '../until.ts'
import type { NpmConsul, NpmWatch } from './npm-consul.ts'
import type { Seat } from './npm-seat.ts'

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

/** A watch of a key that comes, changes and goes. */
export async function watch(t: Test, { consul, agent, folder }: Seat): Promise<void> {
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

/** A watch while a snapshot is restored. */
export async function restore(t: Test, { consul, agent, folder }: Seat): Promise<void> {
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
