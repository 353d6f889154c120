import { execFile } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'
import { encodeMessage } from '../../discovery/membership/wire.ts'
import { percentile } from './measurements.ts'
import { type RunOptions, runSwim } from './run.ts'
import { scenarios } from './scenarios.ts'
import { SwimWorld } from './world.ts'

const MAIN = join(import.meta.dirname, 'main.ts')

function play(name: string, more: Partial<RunOptions> = {}) {
  const scenario = scenarios.find((s) => s.name === name)
  if (!scenario) throw new RangeError(`no scenario ${name}`)
  return runSwim({
    nodes: 30,
    seed: 1,
    scenario,
    transport: 'stream',
    loss: 0,
    connectionsMax: 128,
    ms: 60_000,
    ...more,
  })
}

interface Ended {
  readonly code: number
  readonly out: string
  readonly err: string
}

function swimSim(...args: string[]): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(process.execPath, [MAIN, ...args], (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code), out, err })
    })
  })
}

t.test('every scenario keeps the properties and heals', async (t) => {
  for (const transport of ['stream', 'datagram'] as const) {
    for (const { name } of scenarios) {
      for (const seed of [1, 2]) {
        const result = play(name, { seed, transport, loss: name === 'loss' ? 0.05 : 0 })
        t.equal(result.violation, null, `${name}, ${transport}, seed ${seed}`)
        t.ok(result.steps > 1000)
      }
    }
  }
})

t.test('pauses, lost packets, broken links and the end of a partition kill nobody', async (t) => {
  for (const [name, loss] of [
    ['idle', 0],
    ['pauses', 0],
    ['links', 0],
    ['partition', 0],
    ['loss', 0.05],
  ] as const) {
    for (const seed of [3, 4]) {
      const { falseDeaths, nodeHours } = play(name, { seed, loss, nodes: 50 })
      t.ok(nodeHours > 0.8)
      t.equal(falseDeaths, 0, `${name}, seed ${seed}`)
    }
  }
})

t.test('a kill is known to all within a second or two, a hang within seconds, a leave at once', async (t) => {
  const { spreads } = play('events', { nodes: 50, seed: 5 })
  const last = (samples: readonly number[] | undefined) => percentile(samples ?? [], 1)
  t.ok(last(spreads.leave?.last) < 300, `leave ${last(spreads.leave?.last)}`)
  t.ok(last(spreads.join?.last) < 2000, `join ${last(spreads.join?.last)}`)
  t.ok(last(spreads.kill?.last) < 2000, `kill ${last(spreads.kill?.last)}`)
  t.ok(last(spreads.hang?.last) < 20_000, `hang ${last(spreads.hang?.last)}`)
  t.ok(last(spreads.hang?.last) > 4000, 'not without giving it time to answer')
})

t.test('what happens while others come and go is known as soon to those that are there', async (t) => {
  const { spreads } = play('churn', { nodes: 100, seed: 1, ms: 240_000 })
  for (const [happening, { last }] of Object.entries(spreads)) {
    const worst = percentile(last, 1)
    t.ok(worst < 3000, `${happening}: ${worst} ms`)
  }
})

t.test('where each keeps connections to some members only, the same is known as soon', async (t) => {
  for (const name of ['events', 'churn', 'partition']) {
    const { violation, spreads, falseDeaths } = play(name, { nodes: 60, seed: 6, connectionsMax: 16 })
    t.equal(violation, null, name)
    t.equal(falseDeaths, 0, name)
    if (name === 'events') t.ok(percentile(spreads.kill?.last ?? [], 1) < 2500, 'kill')
  }
})

t.test('a member that hangs or joins costs the others little', async (t) => {
  const { bytes, nodeHours } = play('events', { nodes: 80, seed: 7, ms: 90_000 })
  const perSecond = Object.values(bytes).reduce((sum, count) => sum + count, 0) / (nodeHours * 3600)
  t.ok(perSecond < 4000, `${Math.round(perSecond)} bytes per second and member`)
})

t.test('a seed is a run', async (t) => {
  const [one, again, other] = [play('all'), play('all'), play('all', { seed: 2 })]
  t.equal(one.hash, again.hash)
  t.equal(one.steps, again.steps)
  t.not(one.hash, other.hash)
})

t.test('a cluster begins whole, with one record of each member for all', async (t) => {
  for (const [nodes, connectionsMax] of [
    [20, 128],
    [20, 6],
    [7, 6],
    [8, 6],
  ] as const) {
    const world = new SwimWorld({ seed: 1, nodes, transport: 'stream', identitiesMax: nodes, connectionsMax })
    const [first, last] = [world.member(0), world.member(nodes - 1)]
    for (const { core, id } of world.members) {
      t.equal(core.members().length, nodes)
      t.equal(core.queued, 0)
      if (id !== first.id && id !== last.id) t.equal(core.get(first.id), last.core.get(first.id))
      const connected = world.members.filter((other) => world.isConnected(world.byId(id), other))
      t.equal(connected.length <= connectionsMax, true, `${nodes} nodes: ${connected.length}`)
      t.ok(connected.length >= Math.min(nodes - 1, 4))
      for (const other of connected) t.ok(world.isConnected(other, world.byId(id)))
    }
  }
})

t.test('messages are counted in the bytes of the wire', async (t) => {
  const world = new SwimWorld({
    seed: 1,
    nodes: 3,
    transport: 'stream',
    identitiesMax: 4,
    connectionsMax: 128,
  })
  const seen: [string, number][] = []
  world.observe({
    changed: () => {},
    removed: () => {},
    acted: () => {},
    sent: (_from, kind, bytes) => void seen.push([kind, bytes]),
  })
  world.run(2000)
  const pings = seen.filter(([kind]) => kind === 'ping').map(([, bytes]) => bytes)
  t.ok(pings.length >= 3)
  t.ok(pings.includes(encodeMessage({ type: 'ping', seq: 1, updates: [] }).length), String(pings))
})

t.test('the command prints a table, or one JSON document', async (t) => {
  const args = ['--nodes', '5,10', '--scenario', 'idle,events', '--seconds', '5']
  const [plain, json] = await Promise.all([swimSim(...args), swimSim(...args, '--json')])
  t.equal(plain.code, 0)
  t.match(plain.out, /^\| scenario .*\n\| ---.*\n\| idle, stream, 0 % \| 5 \| 1 \|/)
  t.equal(plain.out.trim().split('\n').length, 2 + 4)
  const { groups } = JSON.parse(json.out)
  t.match(groups[3], { scenario: 'events', nodes: 10, violations: [], spreads: { kill: { count: Number } } })
})

t.test('a wrong command line is refused', async (t) => {
  const refused = [
    ['--nodes', '1'],
    ['--nodes', 'x'],
    ['--scenario', 'none'],
    ['--loss', '99'],
    ['--nonsense'],
  ]
  for (const { code, out, err } of await Promise.all(refused.map((args) => swimSim(...args)))) {
    t.equal(code, 64)
    t.equal(out, '')
    t.not(err, '')
  }
  t.match((await swimSim('--help')).out, 'Examples:')
})
