import { cpSync, mkdirSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { AgentProcess } from './agent-process.ts'
import { clusterTest, ms } from './cluster.ts'
import { until } from './until.ts'

const ERROR = 50
const FATAL = 60
const WATCH_MS = 2_000

const said = (agent: AgentProcess, what: RegExp) =>
  until(`${agent.name} says ${what}`, () =>
    agent.log().find(({ level, msg }) => level === ERROR && what.test(msg)),
  )
const at = ({ ports }: AgentProcess) => new RegExp(`127\\.0\\.0\\.1:${ports.mesh}\\b`)

clusterTest(
  'a copy of a data_dir gets nothing while the node it is of runs',
  { nodes: 3, timeoutMs: 120_000 },
  async (t, cluster) => {
    const leader = await cluster.leader()
    const [first, third] = cluster.others(leader)
    if (first === undefined || third === undefined) throw new Error('two followers')
    const members = [leader, first, third]
    const join_ = [leader, third].map(({ ports }) => `127.0.0.1:${ports.mesh}`)
    const copy = join(cluster.folder, 'copy')
    const clone = join(cluster.folder, 'clone')
    cpSync(first.dataDir, copy, { recursive: true })
    mkdirSync(clone)
    cpSync(join(first.dataDir, 'identity.key'), join(clone, 'identity.key'))
    const { term } = await leader.status()

    for (const [name, dataDir, args] of [
      ['the-copy', copy, ['--node', first.name]],
      ['the-clone', clone, []],
    ] as const) {
      await t.test(name, async (t) => {
        const twin = await cluster.add(name, { dataDir, args, join: join_ })
        // What was copied is behind what the node has acknowledged since.
        t.equal(await leader.put(name, '1'), true)
        const started = performance.now()
        twin.start()
        const line = await said(twin, /^the identity of this node .* runs elsewhere too: /)
        t.match(line.msg, at(first))
        t.match((await said(leader, at(twin))).msg, at(first))
        await said(first, at(twin))
        t.comment(`told ${ms(performance.now() - started)} after the start`)
        const end = performance.now() + WATCH_MS
        await until('it says so', async () => (await twin.ask('/readyz')).text.includes('is in use at'))
        for (let count = 0; performance.now() < end; count += 1) {
          t.equal(await first.put(`${name}-${count}`, 'x'), true, 'the node writes as before')
          t.match(await twin.status(), { ready: false, leader: null })
          await delay(200)
        }
        for (const member of members) {
          t.match(await member.status(), { ready: true, term, leader: leader.name })
          t.notMatch(member.logText(), /consensus stopped/)
        }
        await twin.stop()
        t.equal(await leader.put(`${name}-after`, '1'), true)
      })
    }

    await t.test('a restart is let in at once', async (t) => {
      await first.kill()
      const started = performance.now()
      first.start()
      await until('it is ready', async () => (await first.status()).ready)
      t.comment(`ready ${ms(performance.now() - started)} after the start`)
      t.equal(await first.get('the-copy-after'), '1')
    })

    await t.test('an older copy in its place ends, with the way out', async (t) => {
      await first.kill()
      renameSync(first.dataDir, `${first.dataDir}.old`)
      renameSync(copy, first.dataDir)
      first.start()
      t.match(await first.exited, { code: 1 })
      const line = first.log().find(({ level }) => level === FATAL)
      t.match(line, {
        msg: 'consensus stopped on this node',
        err: {
          message:
            /^the log of this node ends at entry \d+, but .* older copy.* start it again as a new node/,
        },
      })
      t.equal(await leader.put('without', '1'), true)
      renameSync(first.dataDir, `${first.dataDir}.older`)
      first.start()
      await until('it is ready', async () => (await first.status()).ready, { timeoutMs: 20_000 })
      t.equal(await first.get('without'), '1')
    })
  },
)
