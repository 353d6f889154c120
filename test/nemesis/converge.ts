import { until } from '../real/until.ts'
import type { Nodes } from './nodes.ts'

const CONVERGE_MS = 30_000

interface Copy {
  readonly node: string
  readonly index: string
  readonly text: string
}

/**
 * Waits until every node answers the same entries at the same index below `prefix`, each from what it has itself.
 * @throws Error with what differs when that takes too long
 */
export async function converge(nodes: Nodes, prefix: string): Promise<void> {
  let copies: readonly Copy[] = []
  await until(
    `all nodes have the same entries below ${prefix}`,
    async () => {
      copies = await Promise.all(nodes.places.map(({ agent }) => copyOf(agent, prefix)))
      return copies.every(({ index, text }) => index === copies[0]?.index && text === copies[0]?.text)
    },
    {
      timeoutMs: CONVERGE_MS,
      intervalMs: 100,
      state: async () => [
        copies.map(({ node, index, text }) => `${node}: index ${index}, ${text.length} bytes`),
        await nodes.describe(),
      ],
    },
  )
}

async function copyOf(agent: Nodes['places'][number]['agent'], prefix: string): Promise<Copy> {
  const { status, headers, text } = await agent.ask(`/v1/kv/${prefix}?recurse&stale`)
  if (status !== 200 && status !== 404) throw new Error(`${agent.name} answered ${status} ${text}`)
  return { node: agent.name, index: String(headers['x-consul-index']), text }
}
