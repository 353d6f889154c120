import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { AgentProcess } from './agent-process.ts'
import { Cluster, ms } from './cluster.ts'
import { until } from './until.ts'

const GRACE_MS = 10_000
/** How much later than the grace began it may be seen. */
const NOTICED_MS = 2_000
const LEASE = 'lb_leader'
const MEMORY = 'constellation/traefik/service/'
const PUT = { method: 'PUT' } as const
const PATIENCE = { timeoutMs: 30_000 }

/** When an agent first said that the memory of `web` has a time to live: the grace has begun. */
interface Leaving {
  at: number | null
}

/** A document of one agent, as a Traefik would take it. */
interface Seen {
  readonly agent: string
  readonly at: number
  readonly hasRouter: boolean
  readonly servers: number
}

/** What the document says about `web`; null for an answer that Traefik does not take. */
async function look(agent: AgentProcess): Promise<(Seen & { readonly body: string }) | null> {
  const { status, text: body } = await agent.ask('/api/v1/traefik')
  if (status !== 200) return null
  const { http } = JSON.parse(body)
  const servers = http.services?.web?.loadBalancer?.servers?.length ?? 0
  const hasRouter = http.routers?.web?.rule === 'Host(`web.example`) && PathPrefix(`/app`)'
  return { agent: agent.name, at: performance.now(), hasRouter, servers, body }
}

/** Polls every agent as Traefiks would until the test is over, and keeps each document they would take. */
function pollAll(
  t: Test,
  agents: readonly AgentProcess[],
): { readonly seen: readonly Seen[]; readonly leaving: Leaving } {
  const seen: Seen[] = []
  const leaving: Leaving = { at: null }
  const over = new AbortController()
  t.teardown(() => over.abort())
  for (const agent of agents) {
    void (async () => {
      while (!over.signal.aborted) {
        const document = await look(agent).catch(() => null)
        if (document !== null) seen.push(document)
        const memory = await agent.json<{ TTL?: string }[]>(`/v1/kv/${MEMORY}web?stale`).catch(() => [])
        if (memory[0]?.TTL !== undefined) leaving.at ??= performance.now()
        await delay(100)
      }
    })()
  }
  return { seen, leaving }
}

async function register(agent: AgentProcess, name: string, port: number, rule: string): Promise<void> {
  const label = (text: string) => `traefik.http.${text}`
  const Tags = [
    label(`routers.${name}.rule=${rule}`),
    label(`routers.${name}.middlewares=${name}-prefix`),
    label(`middlewares.${name}-prefix.stripprefix.prefixes=/app`),
  ]
  const body = JSON.stringify({ Name: name, Address: '127.0.0.1', Port: port, Tags })
  const { status, text } = await agent.ask('/v1/agent/service/register', { ...PUT, body })
  if (status !== 200) throw new Error(`${status} ${text}`)
}

/** Waits until all agents serve the same bytes, and those are as wanted; answers them. */
function sameEverywhere(
  what: string,
  agents: readonly AgentProcess[],
  isSo: (seen: Seen & { readonly body: string }) => boolean,
): Promise<string> {
  let state: readonly unknown[] = []
  return until(
    what,
    async () => {
      const documents = await Promise.all(agents.map((agent) => look(agent).catch(String)))
      state = documents
      const [first] = documents
      if (first === null || typeof first !== 'object') return null
      const same = documents.every(
        (each) => each !== null && typeof each === 'object' && each.body === first.body,
      )
      return same && isSo(first) ? first.body : null
    },
    { ...PATIENCE, state: () => state },
  )
}

async function holderOf(agent: AgentProcess): Promise<string | null> {
  return (await agent.leases()).find(({ name }) => name === LEASE)?.holder ?? null
}

t.test(
  'routers outlive their service over the death of the lease holder and restarts, the same on every node',
  { timeout: 140_000 },
  async (t) => {
    const cluster = await Cluster.create(t)
    const env = { CONSTELLATION_PROVIDERS_TRAEFIK_GRACE: `${GRACE_MS}ms` }
    await cluster.addFounders(['n1', 'n2', 'n3'], () => ({ env }))
    await cluster.start()
    const agents = cluster.agents
    const [n1] = agents
    if (n1 === undefined) throw new Error('three agents')
    const holder = cluster.agent(await until('the lease is held', () => holderOf(n1)))
    const [owner, third] = cluster.others(holder)
    if (owner === undefined || third === undefined) throw new Error('three agents')
    for (const [at, agent] of agents.entries())
      await register(agent, 'stay', 8001 + at, 'Host(`stay.example`)')
    await register(owner, 'web', 8000, 'Host(`web.example`) && PathPrefix(`/app`)')
    const hasAllOfStay = ({ body }: { body: string }) =>
      [8001, 8002, 8003].every((port) => body.includes(`:${port}`))
    await sameEverywhere('all serve both', agents, (seen) => seen.servers === 1 && hasAllOfStay(seen))
    for (const agent of agents) {
      await until(
        `${agent.name} has it remembered`,
        async () => (await agent.get(`${MEMORY}web`, '&stale')) !== null,
        PATIENCE,
      )
    }

    const { seen, leaving } = pollAll(t, agents)
    const gone = performance.now()
    await owner.ask('/v1/agent/service/deregister/web', PUT)
    await sameEverywhere('its server is gone', agents, ({ servers }) => servers === 0)
    await holder.kill()
    const next = cluster.agent(
      await until(
        'another holds the lease',
        async () => {
          const found = await holderOf(third)
          return found !== null && found !== holder.name && found
        },
        PATIENCE,
      ),
    )
    t.comment(`${next.name} holds the lease ${ms(performance.now() - gone)} after the service went`)
    const [other] = cluster.others(next)
    if (other === undefined) throw new Error('two agents')
    await other.kill()
    for (const agent of [holder, other]) agent.start()
    await cluster.settled(agents, 30_000)
    const during = await sameEverywhere(
      'all serve the same again',
      agents,
      (each) => each.hasRouter && each.servers === 0 && hasAllOfStay(each),
    )
    t.comment(`the router is there on all three ${ms(performance.now() - gone)} after the service went`)
    t.match(JSON.parse(during).http.middlewares, { 'web-prefix': {} }, 'with what protects it')
    const kept = await Promise.all(agents.map((agent) => agent.get(`${MEMORY}web`, '&stale')))
    t.equal(new Set(kept).size, 1, 'what is remembered is the same on every node')
    t.type(kept[0], 'string')

    const after = await sameEverywhere(
      'it goes on every node',
      agents,
      (each) => !each.hasRouter && hasAllOfStay(each),
    )
    t.notMatch(after, 'web')
    t.comment(`it is gone on all three ${ms(performance.now() - gone)} after the service went`)
    const digests = await Promise.all(
      agents.map((agent) => agent.json<{ catalog: { digest: string } }>('/api/v1/status')),
    )
    t.equal(new Set(digests.map(({ catalog }) => catalog.digest)).size, 1, 'the catalogue is the same')

    // A Traefik that took all these documents never lost the router before it was over, and never got it back.
    const firstWithout = Math.min(...seen.filter(({ hasRouter }) => !hasRouter).map(({ at }) => at))
    const lasted = firstWithout - (leaving.at ?? Number.NaN)
    t.ok(lasted > GRACE_MS - NOTICED_MS, `without it ${ms(lasted)} after its grace was seen to have begun`)
    for (const { name } of agents) {
      const without = () => seen.filter((each) => each.agent === name && !each.hasRouter).length
      await until(`${name} was polled without it`, () => without() >= 5, { state: without })
      const own = seen.filter(({ agent }) => agent === name)
      const last = own.findLastIndex(({ hasRouter }) => hasRouter)
      const first = own.findIndex(({ hasRouter }) => !hasRouter)
      t.ok(own.length > 20 && first > last, `${name}: ${own.length} documents, it never comes back`)
    }
  },
)
