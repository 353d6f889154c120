import { chownSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { StateMachine } from '../../../consensus/state/state-machine.ts'
import { LevelStore } from '../../../consensus/storage/level-store.ts'
import { constellation } from './run.ts'

const CLUSTER = '5afd5d9f-7eac-4577-8801-3913de5b7a48'

/** A data directory of node a, which founded a cluster with b and c. */
async function survivor(folder: string): Promise<string> {
  const directory = join(folder, 'data')
  mkdirSync(directory)
  const store = new LevelStore(join(directory, 'raft'))
  await store.open()
  const configuration = {
    voters: ['a', 'b', 'c'],
    votersOutgoing: [],
    learners: [],
    learnersNext: [],
    autoLeave: false,
  }
  const first = new StateMachine()
  first.skip(1)
  await store.initialise(
    { nodeId: 'a', clusterId: CLUSTER },
    { index: 1, term: 1, configuration },
    first.snapshot(),
    { term: 1, vote: '', commit: 1 },
  )
  await store.close()
  return directory
}

const recover = (...args: string[]) => constellation(['raft', 'recover', ...args])

t.test('without --confirm it shows what is there and changes nothing', async (t) => {
  const directory = await survivor(t.testdir())
  const { code, out, err } = await recover('--data-dir', directory)
  t.strictSame({ code, err }, { code: 0, err: '' })
  t.match(out, `data directory:   ${directory}`)
  t.match(out, `cluster:          ${CLUSTER}`)
  t.match(out, 'last entry:       term 1, index 1')
  t.match(out, /^voters: +a \(this node\)\n +b\n +c$/m)
  t.match(out, /^Nothing was changed\./m)
  t.match(out, `To do it: constellation raft recover --data-dir ${directory} --confirm ${CLUSTER}`)
  t.same(readdirSync(directory), ['raft'])
  t.match(JSON.parse((await recover('--data-dir', directory, '--json')).out), {
    clusterId: CLUSTER,
    lastIndex: 1,
    lost: ['b', 'c'],
    answering: [],
  })
})

t.test('with the id of the cluster it does it, once, and keeps what it replaced', async (t) => {
  const directory = await survivor(t.testdir())
  t.strictSame(await recover('--data-dir', directory, '--confirm', 'another'), {
    code: 1,
    out: '',
    err: `constellation: the data in ${directory} is of cluster ${CLUSTER}, not another\n`,
  })
  const { code, out } = await recover('--data-dir', directory, '--confirm', CLUSTER)
  t.equal(code, 0)
  t.match(out, /^recovered: .* new cluster 5afd5d9f-[0-9a-f-]+\+1-[0-9a-f]{8}, /)
  t.same(readdirSync(directory).toSorted(), ['raft', 'raft.before-recovery'])
  const old = new LevelStore(join(directory, 'raft.before-recovery'))
  t.equal((await old.open()).identity?.clusterId, CLUSTER)
  await old.close()
  const again = await recover('--data-dir', directory, '--confirm', CLUSTER)
  t.equal(again.code, 1)
  t.match(again.err, /was recovered already and its agent has not led since/)
})

t.test('it refuses what is no data directory, is in use, or belongs to somebody else', async (t) => {
  const folder = t.testdir()
  const directory = await survivor(folder)
  const refusal = async (path: string) => {
    const { code, out, err } = await recover('--data-dir', path)
    t.strictSame({ code, out }, { code: 1, out: '' })
    return err
  }
  t.match(await refusal(join(folder, 'none')), /is not the data directory of an agent: there is no log in it/)
  t.same(readdirSync(folder), ['data'], 'and makes none')
  const agent = new LevelStore(join(directory, 'raft'))
  await agent.open()
  t.match(await refusal(directory), /is in use by another process/)
  await agent.close()
  if (process.getuid?.() === 0) {
    // Only root may give files away.
    const log = join(directory, 'raft', 'CURRENT')
    chownSync(log, 4711, 4711)
    t.match(await refusal(directory), /belongs to the user with id 4711: run this as that user/)
    chownSync(log, 0, 0)
  }
  t.equal((await recover()).code, 64)
})

t.test('it refuses while others answer, unless it is forced', async (t) => {
  const directory = await survivor(t.testdir())
  const server = createServer().listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await new Promise((resolve) => server.once('listening', resolve))
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`
  const file = { format: 1, incarnation: 1, peers: [address, '127.0.0.1:1', 7, 'nonsense'] }
  writeFileSync(join(directory, 'membership.json'), JSON.stringify(file))
  t.match((await recover('--data-dir', directory)).out, `others answer at: ${address}\n`)
  const refused = await recover('--data-dir', directory, '--confirm', CLUSTER)
  t.equal(refused.code, 1)
  t.match(refused.err, `other members answer at ${address}`)
  t.notOk(readdirSync(directory).includes('raft.before-recovery'))
  t.equal((await recover('--data-dir', directory, '--confirm', CLUSTER, '--force')).code, 0)
})
