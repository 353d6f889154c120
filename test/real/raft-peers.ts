import type { AgentProcess } from './agent-process.ts'
import { until } from './until.ts'

/** A row of `peers` of /api/v1/raft. */
export interface PeerRow {
  readonly name: string
  readonly id: string
  readonly role: string
  readonly voter: boolean
  readonly cordoned: boolean
  readonly connected: boolean
  readonly lag: number | null
  readonly state: string | null
  readonly flapping: boolean | null
}

/** What /api/v1/raft answers, as far as the tests look at it. */
export interface RaftStatus {
  readonly clusterId: string | null
  readonly leader: string | null
  readonly problem: string | null
  readonly supersededBy: string | null
  readonly joint: { readonly incoming: readonly string[]; readonly outgoing: readonly string[] } | null
  readonly peers: readonly PeerRow[]
}

export function raftStatus(agent: AgentProcess): Promise<RaftStatus> {
  return agent.json('/api/v1/raft', { timeoutMs: 2000 })
}

/** The peers as an agent sees them: voters by name, learners in brackets, `n1 n2 (n3)`. */
export async function shape(agent: AgentProcess): Promise<string> {
  const { peers, joint } = await raftStatus(agent)
  const names = peers.map(({ name, voter }) => (voter ? name : `(${name})`))
  const byName = (a: string, b: string) => (a.replace('(', '') < b.replace('(', '') ? -1 : 1)
  return `${joint === null ? '' : 'joint: '}${names.toSorted(byName).join(' ')}`
}

/** Waits until these agents see the peers like that. Answers after how many milliseconds. */
export async function shaped(
  agents: readonly AgentProcess[],
  expected: string | RegExp,
  timeoutMs = 40_000,
): Promise<number> {
  const started = performance.now()
  for (const agent of agents) {
    await until(
      `${agent.name} sees ${expected}`,
      async () => {
        const now = await shape(agent)
        return typeof expected === 'string' ? now === expected : expected.test(now)
      },
      { timeoutMs, state: () => shape(agent).catch(String) },
    )
  }
  return performance.now() - started
}
