import t from 'tap'
import { Fleet } from './fleet.ts'
import { resourcesOf } from './resources.ts'
import { COLLECTING } from './soak.ts'

const UP_MS = 40_000

t.test('what an agent holds can be measured while it runs', { timeout: 60_000 }, async (t) => {
  const fleet = await Fleet.create({ count: 2, program: COLLECTING, network: 'loopback', env: {} })
  t.teardown(() => fleet.close(false))
  for (const agent of fleet.agents) fleet.start(agent)
  const [agent] = fleet.named('n1')
  if (agent === undefined) throw new Error('no n1')
  // Before it runs, the signal to collect would end it.
  await fleet.settled(UP_MS)
  for (const [what, value] of Object.entries(await resourcesOf(agent))) t.ok(value > 0, `${what}: ${value}`)
  t.strictSame(fleet.crashes, [])
})
