import { join } from 'node:path'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import type { Test } from 'tap'
import { decodeMessage } from '../../../discovery/catalog/codec.ts'
import { GossipCatalog } from '../../../discovery/catalog/gossip-catalog.ts'
import { type FakeMesh, type FakeNetwork, until } from '../fake-mesh.ts'
import { tempDir } from '../temp-dir.ts'
import { FakeMembership } from './fixtures.ts'

export const log = pino({ level: 'silent' })

/** One node of a test, over a network in memory and a membership the test writes. */
export interface Node {
  readonly mesh: FakeMesh
  readonly membership: FakeMembership
  readonly catalog: GossipCatalog
  readonly metrics: Registry
}

/** What may be different about a node. */
export interface NodeOptions {
  readonly incarnation?: number
  readonly hasSeeds?: boolean
  readonly intervalMs?: number
  readonly others?: readonly string[]
  readonly now?: () => number
}

/** Starts a node. */
export async function node(
  t: Test,
  net: FakeNetwork,
  dir: string,
  id: string,
  options: NodeOptions = {},
): Promise<Node> {
  const mesh = net.add(id)
  const membership = new FakeMembership(id, options)
  for (const other of options.others ?? []) membership.set(other)
  const metrics = new Registry()
  const catalog = new GossipCatalog(
    {
      name: id,
      address: mesh.advertise,
      meta: {},
      dataDir: join(dir, id),
      intervalMs: options.intervalMs ?? 50,
    },
    { mesh, membership, log, metrics, ...(options.now ? { now: options.now } : {}) },
  )
  await mesh.start()
  await catalog.start()
  t.teardown(() => catalog.stop())
  return { mesh, membership, catalog, metrics }
}

/** Nodes that know each other and are connected. */
export async function cluster(
  t: Test,
  net: FakeNetwork,
  ids: readonly string[],
  options: NodeOptions = {},
): Promise<Node[]> {
  const dir = tempDir(t)
  const nodes: Node[] = []
  for (const id of ids) nodes.push(await node(t, net, dir, id, { ...options, others: ids }))
  for (const { mesh } of nodes) {
    for (const id of ids) if (id > mesh.id) await mesh.dial(`${id}:7946`)
  }
  await until('synced', () => nodes.every((n) => n.catalog.store.synced))
  return nodes
}

/** What a node shows of a service, one line for each instance. */
export const sees = (n: Node, name: string) =>
  n.catalog.store.instances(name).map((i) => `${i.node.record.name} ${i.service.id} ${i.status}`)

/** How often a node has refused something for this reason. */
export const rejected = async (n: Node, reason: string) => {
  const text = await n.metrics.metrics()
  return Number(new RegExp(`rejected_total\\{reason="${reason}"\\} (\\d+)`).exec(text)?.[1] ?? 0)
}

/** A member that says to whoever compares with it what the test wants. */
export async function liar(
  net: FakeNetwork,
  id: string,
  answer: (asked: string) => Uint8Array,
): Promise<FakeMesh> {
  const mesh = net.add(id)
  mesh.onRequest('catalog', async (_from, payload) => answer(decodeMessage(payload).type))
  await mesh.start()
  return mesh
}
