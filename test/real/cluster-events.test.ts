import type { AgentProcess } from './agent-process.ts'
import { clusterTest, ms } from './cluster.ts'
import { register } from './dns-tools.ts'
import { EventFollower, type Told } from './event-follower.ts'
import { until } from './until.ts'

/** Types of events about a node or service. Without suspicions that were taken back, which come as they like under load. */
function steps(told: readonly Told[], subject: string): readonly string[] {
  const types = told
    .filter(({ data }) => (data.service ?? data.node) === subject)
    .map(({ type }) => type)
    .filter((type) => type !== 'node-joined')
  let suspected = false
  return types.filter((type) => {
    if (type === 'node-suspected') suspected = true
    else if (type === 'node-recovered' && suspected) suspected = false
    else {
      if (type === 'node-failed' || type === 'node-left') suspected = false
      return true
    }
    return false
  })
}

const about =
  (type: string, wanted: Readonly<Record<string, unknown>>) =>
  ({ type: told, data }: Told): boolean =>
    told === type && Object.entries(wanted).every(([name, value]) => data[name] === value)

clusterTest(
  'every node tells what happens, once, also to who was away',
  { nodes: 3, timeoutMs: 110_000 },
  async (t, cluster) => {
    const lease = 'dns_writer'
    const holder = await until('the lease is held', async () => {
      const rows = await cluster.agent('n1').leases()
      const held = rows.find(({ name }) => name === lease)?.holder ?? null
      return held !== null && cluster.agent(held)
    })
    // One is killed, one is paused, one leaves.
    const [paused, leaver] = cluster.others(holder)
    if (!paused || !leaver) throw new Error('three agents')
    const followers = new Map(cluster.agents.map((agent) => [agent, new EventFollower(t, agent)]))
    const follower = (agent: AgentProcess) => followers.get(agent) as EventFollower
    const read = new Map<AgentProcess, number>()
    /** Waits until every one of these nodes told it, behind what it told before. */
    const tell = async (
      agents: readonly AgentProcess[],
      withinMs: number,
      type: string,
      wanted: Readonly<Record<string, unknown>>,
    ): Promise<void> => {
      const what = `${type} ${JSON.stringify(wanted)}`
      const started = performance.now()
      for (const agent of agents) {
        const { told } = follower(agent)
        const from = read.get(agent) ?? 0
        const found = await until(
          `${agent.name} tells ${what}`,
          () => told.slice(from).find(about(type, wanted)),
          {
            timeoutMs: withinMs,
            state: () => told.slice(from),
          },
        )
        read.set(agent, told.indexOf(found) + 1)
      }
      t.comment(`${what} told by ${agents.length} within ${ms(performance.now() - started)}`)
    }
    const order = async (agent: AgentProcess, path: string): Promise<void> => {
      const { status, text } = await agent.ask(path, { method: 'PUT', body: '' })
      if (status !== 200) throw new Error(`${path} answered ${status}: ${text}`)
    }
    const all = cluster.agents

    await until('every stream is open', () => all.every((agent) => follower(agent).opened === 1))
    await register(leaver, { Name: 'web', Port: 80, Check: { TTL: '1h', Status: 'passing' } })
    await tell(all, 5_000, 'service-up', { service: 'web', node: leaver.name, healthy: 1 })
    await register(holder, { Name: 'app', Port: 80 })
    await tell(all, 5_000, 'service-up', { service: 'app', node: holder.name })
    await order(leaver, '/v1/agent/check/fail/service:web')
    await tell(all, 5_000, 'service-down', {
      service: 'web',
      healthy: 0,
      reason: "Service 'web' check is critical",
    })
    await order(leaver, '/v1/agent/check/pass/service:web')
    await tell(all, 5_000, 'service-up', { service: 'web' })

    await order(paused, `/api/v1/nodes/${leaver.name}/cordon`)
    await tell(all, 5_000, 'node-cordoned', { node: leaver.name })
    await tell(all, 5_000, 'service-down', { service: 'web' })
    await order(paused, `/api/v1/nodes/${leaver.name}/uncordon`)
    await tell(all, 5_000, 'node-uncordoned', { node: leaver.name })
    await tell(all, 5_000, 'service-up', { service: 'web' })

    for (const agent of all) follower(agent).cut()
    await order(leaver, '/v1/agent/check/fail/service:web')
    await order(leaver, '/v1/agent/check/pass/service:web')
    await tell(all, 5_000, 'service-down', { service: 'web' })
    await tell(all, 5_000, 'service-up', { service: 'web' })

    await holder.kill()
    await tell([paused, leaver], 15_000, 'node-failed', { node: holder.name })
    await tell([paused, leaver], 5_000, 'service-down', { service: 'app', node: holder.name })
    await tell([paused, leaver], 10_000, 'lease-moved', { lease, previous: holder.name })
    await until('another node holds the lease', async () => {
      const row = (await paused.leases()).find(({ name }) => name === lease)
      return (row?.holder ?? holder.name) !== holder.name
    })
    const { length } = follower(holder).told
    holder.start()
    await tell([paused, leaver], 15_000, 'node-recovered', { node: holder.name })
    await tell([paused, leaver], 5_000, 'service-up', { service: 'app', node: holder.name })
    await cluster.settled()
    t.same(
      steps(follower(holder).told.slice(length), 'web'),
      [],
      'an agent that starts does not tell what has been',
    )
    t.same(
      follower(holder)
        .told.slice(length)
        .filter(
          ({ type }) =>
            type.startsWith('lease') || type.startsWith('node-cord') || type.startsWith('node-uncord'),
        ),
      [],
    )

    paused.signal('SIGSTOP')
    await tell([holder, leaver], 30_000, 'node-failed', { node: paused.name })
    paused.signal('SIGCONT')
    await tell([holder, leaver], 20_000, 'node-recovered', { node: paused.name })
    await cluster.settled()

    await leaver.stop()
    await tell([holder, paused], 5_000, 'node-left', { node: leaver.name })
    await tell([holder, paused], 5_000, 'service-down', { service: 'web' })

    const by = (agent: AgentProcess, subject: string) => steps(follower(agent).told, subject)
    const [up, down] = ['service-up', 'service-down']
    const flapping = [up, down, up, down, up, down, up]
    t.strictSame(by(paused, 'web'), [...flapping, down], 'each change of web once')
    t.strictSame(by(holder, 'web'), [...flapping, down], 'also by the agent that ended in between')
    t.strictSame(by(leaver, 'web').slice(0, flapping.length), flapping, 'and where it runs')
    t.strictSame(by(paused, 'app'), [up, down, up])
    t.strictSame(by(leaver, 'app'), [up, down, up])
    t.strictSame(by(holder, 'app'), [up])
    const decided = ['node-cordoned', 'node-uncordoned', 'node-left']
    t.strictSame(by(paused, leaver.name), decided)
    t.strictSame(by(holder, leaver.name), decided)
    for (const agent of [paused, leaver]) {
      t.strictSame(by(agent, holder.name), ['node-failed', 'node-recovered'])
    }
    t.strictSame(by(leaver, paused.name), ['node-failed', 'node-recovered'])
    t.strictSame(
      [holder, paused, leaver].map((agent) => follower(agent).resets),
      [1, 0, 0],
      'only the agent that was started again has forgotten',
    )
  },
)
