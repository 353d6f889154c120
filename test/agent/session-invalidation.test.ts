import { pino } from 'pino'
import { Registry } from 'prom-client'
import t from 'tap'
import { SessionInvalidation } from '../../agent/session-invalidation.ts'
import { noLeader } from '../../consensus/errors.ts'
import type { CatalogNode } from '../../discovery/catalog/types.ts'
import { catalogOf, node } from './catalog-fixture.ts'
import { FakeConsensus } from './http/fake-consensus.ts'

const LOOK_MS = 500

/** A leader of long standing that sees n1 and n2 well. `step`: one look, half a second later. */
async function leader(t: { teardown(fn: () => unknown): unknown }) {
  const client = new FakeConsensus()
  let now = 0
  let nodes: CatalogNode[] = [node('n1', true), node('n2', true)]
  const catalog = {
    synced: true,
    nodes: () => nodes,
    node: (name: string) => catalogOf(...nodes).node(name),
  }
  const metrics = new Registry()
  const invalidation = new SessionInvalidation(
    { lookMs: LOOK_MS },
    { client, catalog, now: () => now, log: pino({ level: 'silent' }), metrics },
  )
  t.teardown(() => invalidation.stop())
  const step = async (count = 1) => {
    for (let i = 0; i < count; i++) {
      now += LOOK_MS
      await invalidation.look()
    }
  }
  await step(60)
  client.addSession('serf', { node: 'n2', nodeChecks: ['serfHealth'] })
  client.addSession('none', { node: 'n2' })
  const ended = () => client.proposals.map(({ command }) => 'id' in command && command.id)
  const sees = (...seen: CatalogNode[]) => {
    nodes = seen
  }
  const pause = (ms: number) => {
    now += ms
  }
  return { client, catalog, metrics, invalidation, step, ended, sees, pause }
}

const N1 = node('n1', true)
const N2_FAILED = node('n2', false)

t.test('the leader ends the sessions of a failed node, those without checks it leaves', async (t) => {
  const { client, metrics, step, ended, sees } = await leader(t)
  await step(100)
  t.same(ended(), [])
  sees(N1, N2_FAILED)
  await step()
  t.same(ended(), ['serf'])
  t.equal(client.state.session('serf'), undefined)
  t.ok(client.state.session('none'))
  await step(100)
  t.same(ended(), ['serf'], 'once')
  t.match(await metrics.metrics(), 'constellation_sessions_invalidated_total{reason="node-failed"} 1')
})

t.test('whoever does not lead ends nothing, and a new leader settles first', async (t) => {
  const { client, step, ended, sees } = await leader(t)
  client.loseLeader()
  sees(N1, N2_FAILED)
  await step(100)
  t.same(ended(), [])
  client.leader = 'peer-1'
  await step(6)
  t.same(ended(), [], 'it may still be told that the node lives')
  await step()
  t.same(ended(), ['serf'])
})

t.test('nothing is done on a catalogue that is not complete', async (t) => {
  const { catalog, step, ended, sees } = await leader(t)
  catalog.synced = false
  sees(N1, N2_FAILED)
  await step(100)
  t.same(ended(), [])
  catalog.synced = true
  await step()
  t.same(ended(), ['serf'])
})

t.test('a process that stood still judges nobody by what it knew', async (t) => {
  const { step, ended, sees, pause } = await leader(t)
  sees(N1, N2_FAILED)
  pause(60_000)
  await step(6)
  t.same(ended(), [])
  await step()
  t.same(ended(), ['serf'])
})

t.test('an end that fails is tried again, but not at once', async (t) => {
  const { client, step, ended, sees } = await leader(t)
  client.addSession('second', { node: 'n2', nodeChecks: ['serfHealth'] })
  sees(N1, N2_FAILED)
  client.nextError = noLeader()
  await step()
  t.equal(ended().length, 1, 'the others wait as well')
  await step(3)
  t.equal(ended().length, 1)
  await step()
  t.same(ended().toSorted(), ['second', 'serf', 'serf'])
})

t.test('it looks by itself from start to stop', async (t) => {
  const client = new FakeConsensus()
  client.addSession('serf', { node: 'n2', nodeChecks: ['serfHealth'] })
  const catalog = { ...catalogOf(N1, N2_FAILED), synced: true }
  const collaborators = { client, catalog, now: () => performance.now(), log: pino({ level: 'silent' }) }
  const invalidation = new SessionInvalidation({ lookMs: 5, settleMs: 0 }, collaborators)
  await invalidation.start()
  const deadline = performance.now() + 5000
  while (client.proposals.length === 0 && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  t.equal(client.proposals.length, 1)
  await invalidation.stop()
})
