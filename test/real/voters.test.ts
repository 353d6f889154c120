import { clusterTest, ms } from './cluster.ts'
import { type Finished, runCommand } from './command.ts'
import { raftStatus, shape, shaped } from './raft-peers.ts'
import { until } from './until.ts'

const GRACE_MS = 3000
const env = {
  CONSTELLATION_CLUSTER_VOTERS: '3',
  CONSTELLATION_CLUSTER_DEAD_VOTER_GRACE: `${GRACE_MS / 1000}s`,
}

clusterTest(
  'of four nodes three vote; who votes follows deaths, cordons and the operator',
  { nodes: 4, env, timeoutMs: 90_000 },
  async (t, cluster) => {
    const run = (...args: readonly string[]): Promise<Finished> => {
      const [agent] = cluster.running
      return runCommand(cluster.program, [...args, '--http-addr', `127.0.0.1:${agent?.ports.http}`])
    }
    await shaped(cluster.agents, /^[^(]*\([^(]*$/)
    const leader = await cluster.leader()
    const peers = (await raftStatus(leader)).peers
    const learner = cluster.agent(peers.find(({ voter }) => !voter)?.name ?? '')
    const [victim, other] = cluster.others(leader, learner)
    if (victim === undefined || other === undefined) throw new Error('two voters that follow')
    t.equal(await other.put('before', '1'), true)
    t.match(await run('raft', 'remove', victim.name), { code: 1, err: /answers: stop it first/ })

    await t.test('a killed voter is replaced by the learner', async (t) => {
      const killed = performance.now()
      await victim.kill()
      await shaped(
        cluster.running,
        [leader, learner, other]
          .map(({ name }) => name)
          .toSorted()
          .join(' '),
      )
      const afterMs = performance.now() - killed
      t.ok(afterMs >= GRACE_MS - 500, `not before its time: ${ms(afterMs)}`)
      t.comment(`replaced ${ms(afterMs)} after its death, ${GRACE_MS} ms of which are the grace`)
      t.equal(await learner.put('meanwhile', '2'), true)
    })

    await t.test('it returns as a learner with everything', async (t) => {
      victim.start()
      await cluster.settled()
      await until(`${victim.name} is a learner`, async () => (await victim.status()).role === 'learner')
      await until('it has what was written', async () => (await victim.get('meanwhile', '&stale')) === '2')
      t.match((await run('members')).out, new RegExp(`^${victim.name} .* learner `, 'm'))
    })

    await t.test('raft add gives it a vote in the place of another', async (t) => {
      const added = await until(`${victim.name} votes`, async () => {
        const finished = await run('raft', 'add', victim.name)
        return finished.code === 0 && finished
      })
      t.equal(added.out, `voter: ${victim.name}\n`)
      await shaped(cluster.running, new RegExp(`^(?!.*\\(${victim.name}\\))[^(]*\\([^(]*$`))
    })

    await t.test('a cordoned leader gives leadership and vote away', async (t) => {
      const cordoned = await cluster.leader()
      t.match(await run('cordon', cordoned.name), {
        code: 0,
        out: `cordoned: ${cordoned.name} (it is a leader until another node has taken its place)\n`,
      })
      const tookMs = await shaped(cluster.running, new RegExp(`^(?=.*\\(${cordoned.name}\\))[^(]*\\([^(]*$`))
      t.comment(`${ms(tookMs)} after the cordon it is a learner`)
      t.not((await cluster.leader()).name, cordoned.name)
      t.match((await run('members')).out, new RegExp(`^${cordoned.name} .* learner, cordoned `, 'm'))
      t.match((await run('raft', 'status')).out, new RegExp(`^${cordoned.name} +learner .* cordoned`, 'm'))
      t.match(await run('raft', 'add', cordoned.name), { code: 1, err: /is cordoned: uncordon it first/ })
      await cordoned.kill()
      cordoned.start()
      await cluster.settled()
      t.match(
        await cordoned.nodes(),
        cluster.agents.map(({ name }) => ({ name, cordoned: name === cordoned.name })),
      )
      t.match(await run('uncordon', cordoned.name), { code: 0, out: `uncordoned: ${cordoned.name}\n` })
    })

    await t.test('raft remove takes a dead learner out at once', async (t) => {
      const dead = cluster.agent(
        (await raftStatus(await cluster.leader())).peers.find(({ voter }) => !voter)?.name ?? '',
      )
      await dead.kill()
      const removed = await until('it is removed', async () => {
        const finished = await run('raft', 'remove', dead.name)
        return finished.code === 0 && finished
      })
      t.equal(removed.out, `removed: ${dead.name}\n`)
      await shaped(
        cluster.running,
        cluster.running
          .map(({ name }) => name)
          .toSorted()
          .join(' '),
      )
    })

    await t.test('without a quorum the status says who is missing', async (t) => {
      const [survivor, ...rest] = cluster.running
      if (survivor === undefined) throw new Error('a survivor')
      t.comment(await shape(survivor))
      await Promise.all(rest.map((agent) => agent.kill()))
      const names = rest.map(({ name }) => name).toSorted()
      const line = `no leader: 1 of 3 voters answer, 2 are needed; silent: ${names.join(', ')}`
      await until('it says so', async () => (await raftStatus(survivor)).problem === line, {
        state: () => raftStatus(survivor),
      })
      const { code, out } = await run('raft', 'status')
      t.equal(code, 0)
      t.match(out, `problem:        ${line}\n`)
      t.comment(`\n${out}`)
    })
  },
)
