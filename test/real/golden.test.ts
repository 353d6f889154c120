import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { AgentProcess } from './agent-process.ts'
import { type Cluster, clusterTest } from './cluster.ts'
import { replay } from './golden/replay.ts'
import { parseTranscript } from './golden/transcript.ts'
import { until } from './until.ts'

const FOLDER = join(import.meta.dirname, 'golden')
const WITHOUT_LEADER = 'without-leader.txt'
const TRANSCRIPTS = readdirSync(FOLDER).filter((file) => file.endsWith('.txt') && file !== WITHOUT_LEADER)

/** The values a transcript may name without having seen them. */
async function variables(cluster: Cluster, agent: AgentProcess): Promise<Record<string, string>> {
  const leader = await cluster.leader()
  const self = await agent.json<{ Config: { NodeID: string } }>('/v1/agent/self')
  return {
    node: agent.name,
    nodeId: self.Config.NodeID,
    meshPort: String(agent.ports.mesh),
    leaderMesh: `127.0.0.1:${leader.ports.mesh}`,
  }
}

async function replayFile(
  t: Test,
  file: string,
  agent: AgentProcess,
  role: string,
  known: Readonly<Record<string, string>>,
): Promise<void> {
  const sections = parseTranscript(readFileSync(join(FOLDER, file), 'utf8'))
  t.ok(sections.length > 0, `${file} has sections`)
  for (const section of sections) {
    await t.test(`${file}, ${section.title}, through the ${role}`, (t) =>
      replay(t, section, { port: agent.ports.http, variables: known }),
    )
  }
}

clusterTest(
  'recorded requests of clients are answered as recorded, by the leader and by a follower',
  { nodes: 3, timeoutMs: 100_000 },
  async (t, cluster) => {
    const leader = await cluster.leader()
    const [follower] = cluster.others(leader)
    if (follower === undefined) throw new Error('there is no follower')
    for (const file of TRANSCRIPTS) {
      for (const [agent, role] of [
        [leader, 'leader'],
        [follower, 'follower'],
      ] as const) {
        await replayFile(t, file, agent, role, await variables(cluster, agent))
      }
    }
    t.equal((await cluster.leader()).name, leader.name, 'the leader led all along')

    t.equal(await follower.put('kept', '1'), true)
    const known = await variables(cluster, follower)
    await Promise.all(cluster.others(follower).map((agent) => agent.kill()))
    await until('the follower knows that there is no leader', async () => {
      return (await follower.status()).leader === null
    })
    await replayFile(t, WITHOUT_LEADER, follower, 'survivor', known)
  },
)
