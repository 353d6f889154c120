import t from 'tap'
import { neighbours } from '../../../discovery/membership/core/neighbours.ts'
import { seededRandom } from '../../../discovery/membership/core/random.ts'
import { SwimCore } from '../../../discovery/membership/core/swim-core.ts'
import type { SwimAction } from '../../../discovery/membership/core/types.ts'
import { member } from './sim.ts'

const SELF = 'n050'
const IDS = Array.from({ length: 100 }, (_, i) => `n${String(i).padStart(3, '0')}`)
/** Distances of 1, 2, 4, … 32 in both directions. */
const CONNECTIONS_MAX = 12

/** A node that is connected to its neighbours on the ring of a hundred, and to some others over connections made for messages. */
function neighbourly(seed: number, alsoConnected: readonly string[]): SwimCore {
  const self = member(SELF)
  const timings = { connectionsMax: CONNECTIONS_MAX }
  const core = new SwimCore({ self, random: seededRandom(seed), timings }, 0)
  for (const id of IDS) if (id !== SELF) core.join(member(id), 0)
  core.tick(0)
  for (const id of [...neighbours(SELF, IDS, CONNECTIONS_MAX), ...alsoConnected]) core.peerConnected(id, 0)
  return core
}

/** Nobody answers: who is probed first, and who is asked for it then. */
function firstProbe(core: SwimCore): { target: string; helpers: string[] } {
  let target = ''
  const helpers: string[] = []
  while (helpers.length === 0 && core.deadline < 3000) {
    for (const action of core.tick(core.deadline) as readonly SwimAction[]) {
      if (action.type !== 'send') continue
      if (action.message.type === 'ping') target ||= action.to
      if (action.message.type === 'ping-req' && action.message.target === target) helpers.push(action.to)
    }
  }
  return { target, helpers }
}

t.test(
  'those are asked for a member that keep a connection to it, not those who would have to make one',
  async (t) => {
    const strangers = IDS.filter((_, i) => i % 3 === 0)
    for (let seed = 1; seed <= 20; seed++) {
      const { target, helpers } = firstProbe(neighbourly(seed, strangers))
      const both = neighbours(SELF, IDS, CONNECTIONS_MAX).filter((id) =>
        neighbours(target, IDS, CONNECTIONS_MAX).includes(id),
      )
      t.ok(both.length >= 1, `${target}: ${both}`)
      t.equal(helpers.length, 3)
      t.equal(new Set(helpers).size, 3)
      t.notOk(helpers.includes(target))
      const near = helpers.filter((id) => both.includes(id))
      t.equal(near.length, Math.min(3, both.length), `${target}: asked ${helpers}, could have asked ${both}`)
    }
  },
)

t.test('if those who keep a connection to it do not live, others are asked', async (t) => {
  const core = neighbourly(1, [])
  const { target } = firstProbe(neighbourly(1, []))
  const both = neighbours(SELF, IDS, CONNECTIONS_MAX).filter((id) =>
    neighbours(target, IDS, CONNECTIONS_MAX).includes(id),
  )
  for (const id of both) {
    const updates = [{ status: 'suspect', id, incarnation: 1, from: 'n099' }] as const
    core.message('n051', { type: 'gossip', updates }, 0)
  }
  const asked = firstProbe(core)
  t.equal(asked.target, target)
  t.equal(asked.helpers.length, 3)
  t.same(
    asked.helpers.filter((id) => both.includes(id)),
    [],
  )
})
