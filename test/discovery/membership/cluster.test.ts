import t from 'tap'
import { SimCluster } from './sim.ts'

t.test('20 nodes with 30 % of all messages lost: no false death', async (t) => {
  for (const seed of [1, 2, 3]) {
    const sim = SimCluster.converged(20, { seed, loss: 0.3 })
    sim.run(60_000)
    t.same(sim.deaths(), [], `seed ${seed}`)
  }
})

t.test('20 nodes with 30 % loss: a silent death is found by everybody', async (t) => {
  for (const seed of [11, 12, 13]) {
    const sim = SimCluster.converged(20, { seed, loss: 0.3 })
    sim.run(10_000)
    sim.vanish('n7')
    t.ok(
      sim.runUntil(() => sim.everybodySees('n7', 'failed'), 30_000),
      `seed ${seed}: after ${sim.now}`,
    )
    t.same(
      sim.deaths().filter((d) => !d.includes('gave up n7')),
      [],
    )
  }
})

t.test('kill -9 is known to everybody within 1.5 s', async (t) => {
  for (const count of [2, 3, 5, 20]) {
    const sim = SimCluster.converged(count, { seed: count })
    sim.run(5000)
    const victim = `n${count - 1}`
    const killedAt = sim.now
    sim.kill(victim)
    t.ok(
      sim.runUntil(() => sim.everybodySees(victim, 'failed'), 1500),
      `${count} nodes`,
    )
    t.ok(sim.now - killedAt >= 500, 'not without a second look')
    sim.run(10_000)
    t.same(
      sim.deaths().filter((d) => !d.includes(`gave up ${victim}`)),
      [],
    )
  }
})

t.test('two of three nodes killed at once are known within seconds', async (t) => {
  const sim = SimCluster.converged(3, { seed: 4 })
  sim.kill('n1')
  sim.kill('n2')
  const seen = () => sim.everybodySees('n1', 'failed') && sim.everybodySees('n2', 'failed')
  t.ok(sim.runUntil(seen, 2000))
})

t.test('a hung node is failed within several seconds, and alive again when it goes on', async (t) => {
  for (const count of [3, 5]) {
    const sim = SimCluster.converged(count, { seed: 5 + count })
    sim.run(5000)
    sim.pause('n1', 25_000)
    t.ok(
      sim.runUntil(() => sim.everybodySees('n1', 'failed'), 12_000),
      `${count} nodes`,
    )
    sim.run(25_000 - 12_000)
    t.ok(
      sim.runUntil(() => sim.everybodySees('n1', 'alive'), 15_000),
      'back with no help',
    )
    t.same(
      sim.deaths().filter((d) => !d.includes('gave up n1')),
      [],
      'and it blames nobody for its own sleep',
    )
  }
})

t.test('a pause of 2 s kills nobody', async (t) => {
  for (let seed = 1; seed <= 10; seed++) {
    const sim = SimCluster.converged(5, { seed })
    sim.run(3000 + seed * 97)
    sim.pause('n2', 2000)
    sim.run(30_000)
    t.same(sim.deaths(), [], `seed ${seed}`)
    t.ok(sim.everybodySees('n2', 'alive'))
  }
})

t.test('a connection that breaks between two living nodes kills nobody', async (t) => {
  const sim = SimCluster.converged(5, { seed: 3 })
  sim.partition(['n1'], ['n2'], true)
  sim.run(60_000)
  t.same(sim.deaths(), [], 'the others reach both')
  t.ok(sim.everybodySees('n1', 'alive'))
  t.ok(sim.everybodySees('n2', 'alive'))
})

t.test('a partition heals without an operator', async (t) => {
  for (const closing of [false, true]) {
    const sim = SimCluster.converged(6, { seed: 21 })
    sim.partition(['n0', 'n1'], ['n2', 'n3', 'n4', 'n5'], closing)
    sim.run(40_000)
    for (const [viewer, id] of [
      ['n0', 'n4'],
      ['n5', 'n1'],
    ] as const) {
      t.equal(sim.status(viewer, id), 'failed')
    }
    sim.heal()
    const whole = () => [...sim.nodes.keys()].every((id) => sim.everybodySees(id, 'alive'))
    t.ok(sim.runUntil(whole, 20_000), `closing ${closing}`)
  }
})

t.test('a node that restarts with a higher incarnation is alive again', async (t) => {
  const sim = SimCluster.converged(4, { seed: 8 })
  sim.kill('n3')
  sim.runUntil(() => sim.everybodySees('n3', 'failed'), 3000)
  sim.start('n3', { incarnation: 2, seed: 'n1' })
  t.ok(sim.runUntil(() => sim.everybodySees('n3', 'alive'), 2000))
  t.equal(sim.node('n0').core.get('n3')?.incarnation, 2)
})

t.test('a node that lost its incarnation refutes what is known of it', async (t) => {
  const sim = SimCluster.converged(4, { seed: 9 })
  sim.act('n3', (core, now) => core.setMeta({ a: '1' }, now))
  sim.act('n3', (core, now) => core.setMeta({ a: '2' }, now))
  sim.run(2000)
  sim.kill('n3')
  sim.runUntil(() => sim.everybodySees('n3', 'failed'), 3000)
  sim.start('n3', { incarnation: 1, seed: 'n1' })
  t.ok(sim.runUntil(() => sim.everybodySees('n3', 'alive'), 3000))
  t.ok((sim.node('n0').core.get('n3')?.incarnation ?? 0) > 3)
  t.same(sim.node('n0').core.get('n3')?.meta, {})
})

t.test('leaving is known at once and is not taken for a failure', async (t) => {
  const sim = SimCluster.converged(5, { seed: 10 })
  sim.act('n4', (core, now) => core.leave(now))
  t.ok(sim.runUntil(() => sim.everybodySees('n4', 'left'), 500))
  sim.kill('n4')
  sim.run(30_000)
  t.ok(sim.everybodySees('n4', 'left'))
  t.same(sim.deaths(), [])
  sim.start('n4', { incarnation: 5, seed: 'n0' })
  t.ok(
    sim.runUntil(() => sim.everybodySees('n4', 'alive'), 2000),
    'and may come back',
  )
})

t.test('a new identity takes the name of a dead one, not of a living one', async (t) => {
  const sim = SimCluster.converged(4, { seed: 12 })
  sim.start('x1', { name: 'n3', seed: 'n0' })
  sim.run(5000)
  t.equal(sim.status('n0', 'x1'), undefined, 'not admitted')
  t.equal(sim.status('n0', 'n3'), 'alive')
  for (const id of ['n0', 'n1']) t.ok(sim.node(id).conflicts.length <= 1, 'one error')
  t.same(sim.node('n0').conflicts, ['n3: n3 / x1'])
  t.same(sim.node('x1').conflicts, ['n3: n3 / x1'], 'the newcomer is told that it is the one')
  sim.kill('n3')
  t.ok(
    sim.runUntil(() => ['n0', 'n1', 'n2'].every((id) => sim.status(id, 'x1') === 'alive'), 60_000),
    'admitted once the holder is dead',
  )
  t.equal(sim.status('n0', 'n3'), undefined, 'the old record is gone')
})

t.test('meta reaches everybody', async (t) => {
  const sim = SimCluster.converged(20, { seed: 13 })
  sim.act('n5', (core, now) => core.setMeta({ zone: 'b' }, now))
  const seen = () => [...sim.nodes.values()].every((n) => n.core.get('n5')?.meta.zone === 'b')
  t.ok(sim.runUntil(seen, 2000))
})
