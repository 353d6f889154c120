import t from 'tap'
import { neighbours } from '../../../discovery/membership/core/neighbours.ts'
import { seededRandom } from '../../../discovery/membership/core/random.ts'
import { SwimCore } from '../../../discovery/membership/core/swim-core.ts'
import type { SwimAction } from '../../../discovery/membership/core/types.ts'
import { member, SimCluster, type SimOptions } from './sim.ts'

const NODES = 40
const CONNECTIONS_MAX = 8
const IDLE_MS = 2_000

/** Runs for `ms`, or until `done`, while idle connections part. True if done. */
function runParting(sim: SimCluster, ms: number, done: () => boolean = () => false): boolean {
  for (const end = sim.now + ms; sim.now < end; ) {
    if (sim.runUntil(done, Math.min(500, end - sim.now))) return true
    sim.part(IDLE_MS)
  }
  return done()
}

/** Forty nodes that keep at most eight connections each, known to each other, with nothing open that nobody keeps. */
function partialMesh(options: SimOptions = {}): SimCluster {
  const sim = new SimCluster({ ...options, timings: { connectionsMax: CONNECTIONS_MAX } })
  for (let i = 0; i < NODES; i += 1) sim.start(`n${i}`, i === 0 ? {} : { seed: 'n0' })
  const ids = [...sim.nodes.keys()].sort()
  const settled = () =>
    ids.every((id) => {
      const { links } = sim.node(id)
      const wanted = neighbours(id, ids, CONNECTIONS_MAX)
      // With losses there is always somebody who looks for somebody.
      const isExact = options.loss !== undefined || links.size === wanted.length
      return isExact && wanted.every((other) => links.has(other))
    })
  if (!runParting(sim, 60_000, settled)) throw new Error('the mesh did not form')
  return sim
}

const shown = (sim: SimCluster) =>
  [...sim.nodes.values()].flatMap(({ id, history }) =>
    history.filter(({ status }) => status !== 'alive').map((h) => `${id}: ${h.id} ${h.status} at ${h.at}`),
  )

/** Those who were given up though they lived. */
const othersThan = (sim: SimCluster, dead: readonly string[]) =>
  sim.deaths().filter((line) => !dead.includes(line.split(' ')[3] ?? ''))

t.test('a partial mesh comes to rest at the neighbours, and nobody is suspected in it', async (t) => {
  const sim = partialMesh()
  t.same(shown(sim), [], 'while it formed')
  runParting(sim, 60_000)
  t.same(shown(sim), [])
  t.ok([...sim.nodes.values()].every(({ links }) => links.size <= CONNECTIONS_MAX))
})

t.test('lost messages make nobody fail', async (t) => {
  const sim = partialMesh({ loss: 0.05 })
  runParting(sim, 120_000)
  t.same(sim.deaths(), [])
})

t.test(
  'a killed node is known to all in two seconds, also to those without a connection to it',
  async (t) => {
    for (const seed of [1, 2, 3]) {
      const sim = partialMesh({ seed })
      const at = sim.now
      sim.kill('n33')
      t.ok(runParting(sim, 10_000, () => sim.everybodySees('n33', 'failed')))
      t.ok(sim.now - at <= 2_000, `${sim.now - at} ms`)
      t.same(othersThan(sim, ['n33']), [])
    }
  },
)

t.test('a node that vanishes is found by its neighbours', async (t) => {
  const sim = partialMesh()
  const at = sim.now
  sim.vanish('n33')
  t.ok(runParting(sim, 60_000, () => sim.everybodySees('n33', 'failed')))
  t.ok(sim.now - at <= 15_000, `${sim.now - at} ms`)
  t.same(othersThan(sim, ['n33']), [])
})

t.test('a node that leaves is told to all', async (t) => {
  const sim = partialMesh()
  sim.act('n33', (core, now) => core.leave(now))
  t.ok(runParting(sim, 10_000, () => sim.everybodySees('n33', 'left')))
  t.same(sim.deaths(), [])
})

t.test('two halves find each other again', async (t) => {
  const sim = partialMesh()
  const ids = [...sim.nodes.keys()]
  const [left, right] = [ids.slice(0, NODES / 2), ids.slice(NODES / 2)]
  sim.partition(left, right, true)
  const apart = () =>
    left.every((id) => right.every((other) => sim.status(id, other) === 'failed')) &&
    right.every((id) => left.every((other) => sim.status(id, other) === 'failed'))
  t.ok(runParting(sim, 120_000, apart), 'apart')
  t.same(
    sim.deaths().filter((line) => !isAcross(line, new Set(left))),
    [],
  )
  sim.heal()
  t.ok(
    runParting(sim, 60_000, () => ids.every((id) => sim.everybodySees(id, 'alive'))),
    'together',
  )
})

function isAcross(line: string, left: ReadonlySet<string>): boolean {
  const [by = '', , , of = ''] = line.split(' ')
  return left.has(by) !== left.has(of)
}

t.test('when half of all nodes die at once, all of them are found', async (t) => {
  const sim = partialMesh()
  const dead = [...sim.nodes.keys()].filter((_, i) => i % 2 === 1)
  for (const id of dead) sim.kill(id)
  t.ok(runParting(sim, 60_000, () => dead.every((id) => sim.everybodySees(id, 'failed'))))
  t.same(othersThan(sim, dead), [])
})

t.test('the rounds of probes go over the neighbours, also over those who became it later', async (t) => {
  const random = seededRandom(1)
  const core = new SwimCore({ self: member('m05'), random, timings: { connectionsMax: 4 } }, 0)
  let now = 0
  const pinged = new Set<string>()
  const perform = (actions: readonly SwimAction[]): void => {
    for (const action of actions) {
      if (action.type === 'dial') {
        perform(core.peerConnected(action.id, now))
        perform(core.dialed(action.id, 'connected', now))
      } else if (action.type === 'send' && action.message.type === 'ping') {
        pinged.add(action.to)
        perform(core.message(action.to, { type: 'ack', seq: action.message.seq, updates: [] }, now))
      }
    }
  }
  const round = () => {
    pinged.clear()
    for (const end = now + 20_000; now < end; ) {
      now = Math.max(now, Math.min(end, core.deadline))
      perform(core.tick(now))
    }
    return [...pinged].sort()
  }
  for (let i = 0; i < 20; i += 1) {
    const id = `m${String(i).padStart(2, '0')}`
    if (id !== 'm05') perform(core.join(member(id), now))
  }
  // At the distances 1 and 8.
  t.same(round(), ['m04', 'm06', 'm13', 'm17'])
  for (const id of ['m06', 'm04', 'm13'])
    perform(core.message(id, { type: 'gossip', updates: [{ status: 'left', id, incarnation: 1 }] }, now))
  t.same(round(), ['m03', 'm07', 'm15', 'm16'])
})

t.test('news and exchanges use no connection that was made for a message', async (t) => {
  const core = new SwimCore(
    { self: member('m05'), random: seededRandom(1), timings: { connectionsMax: 4 } },
    0,
  )
  const to = new Set<string>()
  const note = (actions: readonly SwimAction[]) => {
    for (const action of actions) {
      if (action.type === 'send' && action.message.type === 'gossip') to.add(action.to)
      if (action.type === 'sync') to.add(action.peer)
    }
  }
  let now = 0
  for (let i = 0; i < 20; i += 1) {
    const id = `m${String(i).padStart(2, '0')}`
    if (id !== 'm05') core.join(member(id), now)
  }
  core.tick(now)
  for (const id of ['m04', 'm06', 'm13', 'm17', 'm10', 'm11']) core.peerConnected(id, now)
  for (let round = 0; round < 300; round += 1) {
    now += 200
    note(core.setMeta({ round: String(round) }, now))
    note(core.tick(now))
  }
  t.same([...to].sort(), ['m04', 'm06', 'm13', 'm17'])
})
