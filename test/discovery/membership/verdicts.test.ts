import t from 'tap'
import { seededRandom } from '../../../discovery/membership/core/random.ts'
import { SwimCore } from '../../../discovery/membership/core/swim-core.ts'
import type { Update } from '../../../discovery/membership/core/types.ts'
import { member } from './sim.ts'

/** A node of thirty that keeps connections to four, none of which is told of here; `back` failed and came back at 10 s. */
function halfway() {
  const core = new SwimCore(
    { self: member('me'), random: seededRandom(2), timings: { connectionsMax: 4 } },
    0,
  )
  for (let i = 0; i < 28; i++) core.join(member(`n${i}`), 0)
  core.join(member('back'), 0)
  const hear = (now: number, ...updates: Update[]) => {
    // The driver is never late: nothing here is about stalls.
    core.localHealth(0, now)
    return core.message('n1', { type: 'gossip', updates }, now)
  }
  hear(5000, { status: 'failed', id: 'back', incarnation: 1, from: 'n2' })
  return {
    core,
    hear,
    comesBack: () => hear(10_000, { ...member('back', { incarnation: 2 }), status: 'alive' }),
  }
}

const verdict = (id: string, from: string) => ({ status: 'failed', id, incarnation: 1, from }) as const

t.test('the verdict of one that was cut off until lately makes a suspicion only', async (t) => {
  const { core, hear, comesBack } = halfway()
  hear(6000, verdict('n3', 'back'))
  t.equal(core.get('n3')?.status, 'suspect', 'while it is held for failed')
  comesBack()
  hear(11_000, verdict('n4', 'back'))
  t.equal(core.get('n4')?.status, 'suspect', 'when it is just back')
  hear(11_000, verdict('n5', 'n2'))
  t.equal(core.get('n5')?.status, 'failed', 'others are believed')
  hear(11_000, verdict('n4', 'n2'))
  t.equal(core.get('n4')?.status, 'failed', 'of the same member too')
  hear(69_999, verdict('n6', 'back'))
  t.equal(core.get('n6')?.status, 'suspect')
  hear(70_000, verdict('n7', 'back'))
  t.equal(core.get('n7')?.status, 'failed', 'it has been back for a minute')
})

t.test('what such a one says of this node is refuted as ever', async (t) => {
  const { core, hear } = halfway()
  hear(6000, verdict('me', 'back'))
  t.same([core.self().status, core.self().incarnation], ['alive', 2])
})
