import { setTimeout as delay } from 'node:timers/promises'
import type { AgentProcess } from '../../test/real/agent-process.ts'

/** When each agent, in their order, first answered the document as wanted (time of day, ms), and that document. */
export interface Followed {
  readonly at: readonly number[]
  readonly body: string
}

/** Until every agent's query waits. */
const PARKED_MS = 250
const PATIENCE_MS = 60_000
/** A document may follow the catalogue later, so after the first change it is also read without one. */
const LAGGING_MS = 100

/**
 * Does something and answers when the document of each agent is as wanted. A blocking query on the service at every agent tells
 * when to read the document; so nothing is polled before something has changed.
 * @throws Error when that takes longer than a minute, or when the documents differ in the end
 */
export async function follow(
  agents: readonly AgentProcess[],
  service: string,
  isSo: (body: string) => boolean,
  act: () => Promise<void>,
): Promise<Followed> {
  const deadline = Date.now() + PATIENCE_MS
  // All have an index from before the change, or one would wait for the next.
  const indexes = await Promise.all(agents.map((agent) => look(agent, service, '0', 0)))
  const waiting = Promise.all(
    agents.map((agent, i) => one(agent, service, isSo, { index: indexes[i] ?? '0', deadline })),
  )
  // What is thrown by `act` is thrown first.
  waiting.catch(() => {})
  await delay(PARKED_MS)
  await act()
  const seen = await waiting
  const bodies = new Set(seen.map(({ body }) => body))
  if (bodies.size !== 1) throw new Error(`${bodies.size} different documents: ${[...bodies].join('\n')}`)
  return { at: seen.map(({ at }) => at), body: seen[0]?.body ?? '' }
}

/** Waits for another index than this one and answers it. */
async function look(agent: AgentProcess, service: string, index: string, waitMs: number): Promise<string> {
  const path = `/v1/health/service/${service}?index=${index}&wait=${waitMs}ms`
  const { headers } = await agent.ask(path, { timeoutMs: PATIENCE_MS * 2 })
  return String(headers['x-consul-index'])
}

async function one(
  agent: AgentProcess,
  service: string,
  isSo: (body: string) => boolean,
  from: { readonly index: string; readonly deadline: number },
): Promise<{ readonly at: number; readonly body: string }> {
  let { index } = from
  let waitMs = PATIENCE_MS
  for (;;) {
    index = await look(agent, service, index, waitMs)
    waitMs = LAGGING_MS
    const { text: body, status } = await agent.ask('/api/v1/traefik', { timeoutMs: PATIENCE_MS })
    const at = Date.now()
    if (status === 200 && isSo(body)) return { at, body }
    if (at > from.deadline) throw new Error(`${agent.name} answers ${status} ${body} for too long`)
  }
}
