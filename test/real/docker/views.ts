import type { AgentProcess } from '../agent-process.ts'
import { until } from '../until.ts'

/** An instance as an agent's catalogue has it. */
export interface Row {
  readonly id: string
  readonly node: string
  readonly at: string
  readonly status: string
  readonly outputs: readonly string[]
}

/** The instances of a service as this agent sees them. */
export async function instances(agent: AgentProcess, service: string): Promise<readonly Row[]> {
  interface Entry {
    readonly Node: { readonly Node: string }
    readonly Service: { readonly ID: string; readonly Address: string; readonly Port: number }
    readonly Checks: readonly { readonly Status: string; readonly Output: string }[]
  }
  const entries = await agent.json<readonly Entry[]>(`/v1/health/service/${encodeURIComponent(service)}`)
  return entries.map(({ Node, Service, Checks }) => ({
    id: Service.ID,
    node: Node.Node,
    at: `${Service.Address}:${Service.Port}`,
    status: ['critical', 'warning'].find((bad) => Checks.some(({ Status }) => Status === bad)) ?? 'passing',
    outputs: Checks.map(({ Output }) => Output),
  }))
}

/** Waits until every agent sees the instances of the service so; answers how long it took. Milliseconds. */
export async function everywhere(
  agents: readonly AgentProcess[],
  service: string,
  what: string,
  isSo: (rows: readonly Row[]) => boolean,
): Promise<number> {
  const started = performance.now()
  await Promise.all(
    agents.map((agent) =>
      until(`${agent.name} sees ${service} ${what}`, async () => isSo(await instances(agent, service)), {
        timeoutMs: 20_000,
        state: async () => [await instances(agent, service), await agent.json('/api/v1/docker')],
      }),
    ),
  )
  return performance.now() - started
}

/** That all rows, one of each node at least, have this status. */
export function all(status: string, count: number): (rows: readonly Row[]) => boolean {
  return (rows) => rows.length === count && rows.every((row) => row.status === status)
}

/** Waits until the document for Traefik is the same bytes on every agent, and has this text or not. */
export async function sameDocument(
  agents: readonly AgentProcess[],
  text: string,
  isThere: boolean,
): Promise<void> {
  const documents = () => Promise.all(agents.map(async (agent) => (await agent.ask('/api/v1/traefik')).text))
  await until(
    `${text} is ${isThere ? '' : 'not '}in the same document everywhere`,
    async () => {
      const all = await documents()
      return new Set(all).size === 1 && all[0]?.includes(text) === isThere
    },
    { timeoutMs: 20_000, state: documents },
  )
}
