import t from 'tap'
import { executable } from '../executable.ts'
import { until } from '../until.ts'
import { Fleet } from './fleet.ts'
import { resourcesOf } from './resources.ts'
import { collecting } from './soak.ts'

const UP_MS = 40_000

t.test('what an agent holds can be measured while it runs', { timeout: 90_000 }, async (t) => {
  const fleet = await Fleet.create({ count: 2, network: 'loopback', ...collecting(await executable()) })
  t.teardown(() => fleet.close(false))
  for (const agent of fleet.agents) fleet.start(agent)
  const [agent] = fleet.named('n1')
  if (agent === undefined) throw new Error('no n1')
  // Before it runs, the signal to collect would end it.
  await fleet.settled(UP_MS)
  let held = await resourcesOf(agent)
  const missing = () => Object.entries(held).filter(([, value]) => !(value > 0))
  await until(
    'n1 holds something of everything',
    async () => {
      held = await resourcesOf(agent)
      return missing().length === 0
    },
    { timeoutMs: UP_MS, state: missing },
  )
  t.strictSame(fleet.crashes, [])
})
