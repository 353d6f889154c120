import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { generateClusterKey } from '../../../discovery/mesh/cluster-key.ts'
import { AgentProcess } from '../agent-process.ts'
import type { PortBlock } from '../ports.ts'
import { until } from '../until.ts'

/** How the agents are run. */
export interface AgentsOptions {
  readonly count: number
  readonly program: string
  readonly folder: string
  readonly ports: PortBlock
  readonly env: Readonly<Record<string, string>>
}

/** Agents that make one cluster, not started. Named a1, a2, … */
export async function makeAgents(options: AgentsOptions): Promise<readonly AgentProcess[]> {
  const { count, program, folder, ports, env } = options
  const keyFile = join(folder, 'cluster.key')
  writeFileSync(keyFile, `${generateClusterKey()}\n`, { mode: 0o600 })
  const mesh: number[] = []
  for (let i = 0; i < count; i++) mesh.push(await ports.next())
  const agents: AgentProcess[] = []
  for (const [i, port] of mesh.entries()) {
    const name = `a${i + 1}`
    const join_ = mesh.filter((other) => other !== port).flatMap((other) => ['--join', `127.0.0.1:${other}`])
    agents.push(
      new AgentProcess({
        name,
        program,
        ports: { http: await ports.next(), mesh: port, dns: await ports.next() },
        dataDir: join(folder, name),
        logFile: join(folder, `${name}.log`),
        args: [...join_, '--bootstrap-expect', String(count), '--cluster-key-file', keyFile],
        env,
      }),
    )
  }
  return agents
}

/** Waits until every one of these, which all run, is ready and sees all of them alive. */
export async function agentsSettled(agents: readonly AgentProcess[]): Promise<void> {
  for (const agent of agents) {
    await until(
      `${agent.name} is ready and sees ${agents.length} nodes alive`,
      async () => {
        const [{ ready }, nodes] = await Promise.all([agent.status(), agent.nodes()])
        return ready && nodes.filter(({ status }) => status === 'alive').length === agents.length
      },
      { timeoutMs: 60_000, state: () => agent.nodes().catch(String) },
    )
  }
}

/** The agent that leads, once one that answers says so. */
export function leadingAgent(agents: readonly AgentProcess[]): Promise<AgentProcess> {
  return until('an agent leads', async () => {
    for (const agent of agents) {
      const status = await agent.status().catch(() => null)
      if (status?.role === 'leader') return agent
    }
    return null
  })
}

/** Hands leadership to this agent, if it does not lead already. */
export async function makeLead(agents: readonly AgentProcess[], agent: AgentProcess): Promise<void> {
  await until(`${agent.name} leads`, async () => {
    const leader = await leadingAgent(agents)
    if (leader === agent) return true
    await leader.ask(`/api/v1/raft/transfer?to=${agent.name}`, { method: 'PUT' })
    return false
  })
}

/** Ends them at once and removes what they kept. */
export async function endAgents(agents: readonly AgentProcess[]): Promise<void> {
  await Promise.all(agents.map((agent) => agent.kill()))
  for (const agent of agents) rmSync(agent.dataDir, { recursive: true, force: true })
}
