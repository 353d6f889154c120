import { pino } from 'pino'
import type { Command, ConsensusClient } from '../../consensus/client.ts'
import { systemClock } from '../../consensus/clock.ts'
import type { PeerInfo } from '../../consensus/formation.ts'
import { ConsensusNode } from '../../consensus/node.ts'
import { textToKey } from '../../consensus/state/keys.ts'
import type { LogStore } from '../../consensus/storage/log-store.ts'
import { MemoryStore } from '../../consensus/storage/memory-store.ts'
import { TestNetwork } from './network.ts'

export const silent = pino({ level: process.env.TEST_LOG ?? 'silent' })

/** Polls until `probe` answers something, or fails with `what` and the last state after `timeoutMs`. */
export async function eventually<T>(
  what: string,
  probe: () => Promise<T | undefined | false> | T | undefined | false,
  timeoutMs = 10_000,
): Promise<T> {
  const end = performance.now() + timeoutMs
  let last: unknown
  while (performance.now() < end) {
    try {
      const value = await probe()
      if (value !== undefined && value !== false) return value
      last = value
    } catch (error) {
      last = error
    }
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  throw new Error(`did not happen within ${timeoutMs} ms: ${what} (last: ${String(last)})`)
}

export function set(key: string, value: string, cas?: number): Command {
  const command = {
    type: 'kv.set',
    key: textToKey(key),
    value: new TextEncoder().encode(value),
    flags: 0n,
  } as const
  return cas === undefined ? command : { ...command, cas }
}

/** Value of a key as text, or undefined. */
export async function get(
  client: ConsensusClient,
  key: string,
  consistency: 'stale' | 'consistent' = 'consistent',
) {
  const { view } = await client.read(consistency)
  const entry = view.kvGet(textToKey(key))
  return entry === undefined ? undefined : new TextDecoder().decode(entry.value)
}

interface Member {
  node: ConsensusNode
  store: LogStore
  expect: number
  running: boolean
}

/** Consensus nodes in one process on a network in memory, with ticks of 10 ms. */
export class TestCluster {
  readonly network = new TestNetwork()
  readonly members = new Map<string, Member>()
  readonly fatal: Error[] = []

  async add(
    id: string,
    options: { expect: number; store?: LogStore; snapshotEntries?: number },
  ): Promise<Member> {
    const store = options.store ?? new MemoryStore()
    const directory = { peers: (): PeerInfo[] => this.#peersOf(id) }
    const node = new ConsensusNode(
      {
        nodeId: id,
        tickMs: 10,
        bootstrapExpect: options.expect,
        keepEntries: 16,
        ...(options.snapshotEntries === undefined ? {} : { snapshotEntries: options.snapshotEntries }),
      },
      {
        store,
        directory,
        transport: this.network.transport(id),
        log: silent.child({ node: id }),
        clock: systemClock,
        random: Math.random,
        metrics: null,
        onFatal: (error) => this.fatal.push(error),
      },
    )
    const member = { node, store, expect: options.expect, running: true }
    this.members.set(id, member)
    await node.start()
    return member
  }

  #peersOf(id: string): PeerInfo[] {
    return [...this.members]
      .filter(([other, { running }]) => other !== id && running)
      .map(([other, { node, expect }]) => ({
        id: other,
        alive: true,
        clusterId: node.client.status().clusterId,
        bootstrapExpect: expect,
      }))
  }

  client(id: string): ConsensusClient {
    const member = this.members.get(id)
    if (member === undefined) throw new Error(`no node ${id}`)
    return member.node.client
  }

  /** Stops a node; its store keeps what was written. */
  async stop(id: string): Promise<void> {
    const member = this.members.get(id)
    if (member === undefined) return
    member.running = false
    this.network.unplug(id)
    await member.node.stop()
    for (const [other, { node, running }] of this.members) if (running && other !== id) node.peerLost(id)
  }

  /** Id of the leader that most running nodes agree on. */
  leader(): Promise<string> {
    return eventually('a leader known to all', () => {
      const running = [...this.members.values()].filter((member) => member.running)
      const leaders = new Set(running.map(({ node }) => node.client.status().leader))
      const [leader] = leaders
      return leaders.size === 1 && leader !== null && this.members.get(leader ?? '')?.running
        ? leader
        : undefined
    })
  }

  async close(): Promise<void> {
    for (const [id, { running }] of this.members) if (running) await this.stop(id)
  }
}
