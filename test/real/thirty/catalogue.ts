import type { AgentProcess } from '../agent-process.ts'
import type { Fleet } from './fleet.ts'

/** An instance as a node's catalogue has it. */
export interface InstanceView {
  readonly node: string
  readonly id: string
  readonly status: string
}

interface HealthEntry {
  readonly Node: { readonly Node: string }
  readonly Service: { readonly ID: string }
  readonly Checks: readonly { readonly Status: string }[]
}

const SEVERITY = ['passing', 'warning', 'critical']
const REQUEST_MS = 60_000
const WAIT_SECONDS = 10

/** Registers an instance on a node, without a check of its own. @throws Error if it is refused */
export function register(agent: AgentProcess, service: string): Promise<void> {
  return put(agent, '/v1/agent/service/register', JSON.stringify(definition(agent, service)))
}

/** Registers an instance with a TTL check, which passes at once. @throws Error if it is refused */
export async function registerChecked(agent: AgentProcess, service: string): Promise<void> {
  const id = `${service}-${agent.name}`
  const body = { ...definition(agent, service), Check: { CheckID: id, TTL: '10m' } }
  await put(agent, '/v1/agent/service/register', JSON.stringify(body))
  await setCheck(agent, service, 'pass')
}

function definition(agent: AgentProcess, service: string) {
  return { ID: `${service}-${agent.name}`, Name: service, Port: 80 }
}

/** Sets the check of an instance of {@link registerChecked}. */
export function setCheck(agent: AgentProcess, service: string, status: 'pass' | 'fail'): Promise<void> {
  return put(agent, `/v1/agent/check/${status}/${service}-${agent.name}`)
}

/** Takes an instance away. */
export function deregister(agent: AgentProcess, service: string): Promise<void> {
  return put(agent, `/v1/agent/service/deregister/${service}-${agent.name}`)
}

async function put(agent: AgentProcess, path: string, body = ''): Promise<void> {
  const answer = await agent.ask(path, { method: 'PUT', body, timeoutMs: REQUEST_MS })
  if (answer.status !== 200)
    throw new Error(`${agent.name} answered ${path} with ${answer.status}: ${answer.text}`)
}

/**
 * Follows one service on all these nodes with blocking queries until each shows what is wanted. Answers how many ms after
 * `from` (time of day) each did. Call it before the change is made: then nobody is asked again and again meanwhile.
 * @throws Error after `timeoutMs`, with what each of the others showed
 */
export async function seenBy(
  fleet: Fleet,
  service: string,
  wanted: (instances: readonly InstanceView[]) => boolean,
  options: {
    readonly agents?: readonly AgentProcess[]
    readonly timeoutMs: number
    readonly change: () => Promise<number>
  },
): Promise<readonly number[]> {
  const agents = options.agents ?? fleet.up
  const over = AbortSignal.timeout(options.timeoutMs)
  const last = new Map<string, readonly InstanceView[]>()
  const seenAt = new Map<string, number>()
  const follow = async (agent: AgentProcess): Promise<void> => {
    let index = '0'
    while (!over.aborted) {
      const path = `/v1/health/service/${service}?index=${index}&wait=${WAIT_SECONDS}s`
      const answer = await agent.ask(path, { timeoutMs: (WAIT_SECONDS + 5) * 1000 }).catch(() => null)
      if (answer?.status !== 200) {
        index = '0'
        continue
      }
      index = String(answer.headers['x-consul-index'] ?? '0')
      const instances = (answer.json() as readonly HealthEntry[]).map(instanceOf)
      last.set(agent.name, instances)
      if (!wanted(instances)) continue
      seenAt.set(agent.name, Date.now())
      return
    }
  }
  const following = agents.map(follow)
  const from = await options.change()
  const timeUp = new Promise<void>((resolve) =>
    over.addEventListener('abort', () => resolve(), { once: true }),
  )
  await Promise.race([Promise.all(following), timeUp])
  const missing = agents.filter(({ name }) => !seenAt.has(name))
  if (missing.length === 0) return agents.map(({ name }) => Math.max(0, (seenAt.get(name) ?? 0) - from))
  const shown = missing.map(({ name }) => `${name}: ${JSON.stringify(last.get(name) ?? 'no answer')}`)
  throw new Error(`${service} is not as wanted after ${options.timeoutMs} ms on ${shown.join('; ')}`)
}

function instanceOf({ Node, Service, Checks }: HealthEntry): InstanceView {
  const worst = Math.max(0, ...Checks.map(({ Status }) => SEVERITY.indexOf(Status)))
  return { node: Node.Node, id: Service.ID, status: SEVERITY[worst] ?? 'critical' }
}

/** Everything a node says of members, services and their health, in one form that is the same for the same facts. */
export async function picture(fleet: Fleet, agent: AgentProcess): Promise<string> {
  const [members, services] = await Promise.all([
    fleet.members(agent),
    agent.json<Record<string, readonly string[]>>('/v1/catalog/services'),
  ])
  const health: string[] = []
  for (const service of Object.keys(services).sort()) {
    const entries = await agent.json<readonly HealthEntry[]>(
      `/v1/health/service/${encodeURIComponent(service)}`,
    )
    const lines = entries.map(instanceOf).map(({ node, id, status }) => `${service} ${node} ${id} ${status}`)
    health.push(...lines.sort())
  }
  return [
    ...members.map(({ name, status, incarnation }) => `${name} ${status} ${incarnation}`),
    ...health,
  ].join('\n')
}
