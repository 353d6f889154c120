import { runsMs } from '../held-up.ts'
import type { AgentProcess } from './agent-process.ts'
import { clusterTest, ms } from './cluster.ts'
import { until } from './until.ts'

const WRITERS_PER_NODE = 4
const KEYS_MIN = 250

clusterTest(
  'kill -9 of every node in the middle of writes loses nothing acknowledged',
  { nodes: 3 },
  async (t, cluster) => {
    /** Key → last value acknowledged; a later value may have been written without an acknowledgement. */
    const acknowledged = new Map<string, number>()
    const stop = new AbortController()
    t.teardown(() => stop.abort())
    const write = async (agent: AgentProcess, writer: number): Promise<void> => {
      for (let i = 0; !stop.signal.aborted; i++) {
        for (const key of [`each/${agent.name}/${writer}/${i}`, `same/${agent.name}/${writer}`]) {
          if (await agent.put(key, String(i)).catch(() => false)) acknowledged.set(key, i)
        }
      }
    }
    const writers = cluster.agents.flatMap((agent) =>
      Array.from({ length: WRITERS_PER_NODE }, (_, writer) => write(agent, writer)),
    )
    const began = runsMs()
    await until('writes are acknowledged', () => acknowledged.size >= KEYS_MIN, { timeoutMs: 20_000 })
    const wroteMs = runsMs() - began
    await Promise.all(cluster.agents.map((agent) => agent.kill()))
    stop.abort()
    await Promise.all(writers)
    t.comment(`${acknowledged.size} keys acknowledged to ${writers.length} writers in ${ms(wroteMs)}`)

    const started = runsMs()
    await cluster.start()
    const readyAfter = runsMs() - started
    t.ok(readyAfter < 15_000, `all ready again within 15 s: ${ms(readyAfter)}`)
    for (const agent of cluster.agents) {
      const found = new Map<string, number>()
      for (const prefix of ['each', 'same']) {
        const entries = await agent.json<readonly { Key: string; Value: string }[]>(
          `/v1/kv/${prefix}?recurse&consistent`,
        )
        for (const { Key, Value } of entries) found.set(Key, Number(Buffer.from(Value, 'base64').toString()))
      }
      const lost = [...acknowledged].filter(([key, value]) => (found.get(key) ?? -1) < value)
      t.strictSame(lost, [], `${agent.name} has every acknowledged write`)
    }
    t.equal(await cluster.agent('n2').put('after', 'all'), true)
    t.comment(`ready ${ms(readyAfter)} after the start of all three`)
  },
)
