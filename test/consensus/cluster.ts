import { pino } from 'pino'
import type { CallOptions, Command, ConsensusClient } from '../../consensus/client.ts'
import { type Clock, systemClock } from '../../consensus/clock.ts'
import type { FeedOptions } from '../../consensus/feed.ts'
import type { PeerInfo } from '../../consensus/formation.ts'
import type { ReplicaMetrics } from '../../consensus/metrics.ts'
import { ConsensusNode } from '../../consensus/node.ts'
import { textToKey } from '../../consensus/state/keys.ts'
import { MemoryStore } from '../../consensus/storage/memory-store.ts'
import { runsMs } from '../held-up.ts'
import { FaultyStore } from './faulty-store.ts'
import { TestNetwork } from './network.ts'
import { patientClient } from './patient-client.ts'

export const silent = pino({ level: process.env.TEST_LOG ?? 'silent' })

/** Polls until `probe` answers something, or fails with `what` and the last state when this process has run for `timeoutMs`. */
export async function eventually<T>(
  what: string,
  probe: () => Promise<T | undefined | false> | T | undefined | false,
  timeoutMs = 10_000,
): Promise<T> {
  const end = runsMs() + timeoutMs
  let last: unknown
  while (runsMs() < end) {
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
  options: CallOptions = {},
) {
  const { view } = await client.read(consistency, options)
  const entry = view.kvGet(textToKey(key))
  return entry === undefined ? undefined : new TextDecoder().decode(entry.value)
}

interface Member {
  node: ConsensusNode
  store: FaultyStore
  options: MemberOptions
  running: boolean
}

/** What a node of a test cluster may be given. */
export interface MemberOptions {
  readonly expect: number
  /** Default 10. */
  readonly tickMs?: number
  /** Whom it was told to find the cluster by; all are there from the start. */
  readonly seeds?: readonly string[]
  readonly store?: FaultyStore
  readonly snapshotEntries?: number
  readonly clock?: Clock
  readonly random?: () => number
  readonly deadVoterGraceMs?: number
  readonly deadLearnerGraceMs?: number
  readonly votersTarget?: number
  readonly diskRetryMs?: number
  readonly leaseReads?: boolean
  readonly learnersMax?: number
  readonly feed?: Partial<FeedOptions>
  readonly metrics?: ReplicaMetrics
}

/** Consensus nodes in one process on a network in memory, with ticks of 10 ms if nothing else is said. */
export class TestCluster {
  readonly network = new TestNetwork()
  readonly members = new Map<string, Member>()
  readonly fatal: Error[] = []
  readonly #deaf = new Set<string>()

  async add(id: string, options: MemberOptions): Promise<Member> {
    const store = options.store ?? new FaultyStore(new MemoryStore())
    const seeds = (options.seeds ?? []).map((seed) => ({ address: `${seed}:7946`, id: seed }))
    const directory = { peers: (): PeerInfo[] => this.#peersOf(id), seeds: () => seeds }
    const {
      seeds: _seeds,
      store: _store,
      clock: _clock,
      random: _random,
      metrics: _metrics,
      expect,
      ...settings
    } = options
    const node = new ConsensusNode(
      {
        nodeId: id,
        tickMs: 10,
        bootstrapExpect: expect,
        keepEntries: 16,
        ...settings,
      },
      {
        store,
        directory,
        transport: this.network.transport(id),
        log: silent.child({ node: id }),
        clock: options.clock ?? systemClock,
        random: options.random ?? Math.random,
        feedMetrics: null,
        metrics: options.metrics ?? null,
        onFatal: (error) => this.fatal.push(error),
      },
    )
    const member = { node, store, options, running: true }
    this.members.set(id, member)
    await node.start()
    return member
  }

  /** Nodes a, b, c … that found one cluster together. Answers their ids. */
  async found(size: number, options: Omit<MemberOptions, 'expect'> = {}): Promise<string[]> {
    const ids = [...'abcdefgh'].slice(0, size)
    await Promise.all(ids.map((id) => this.add(id, { ...options, expect: size })))
    await this.leader()
    return ids
  }

  #peersOf(id: string): PeerInfo[] {
    return [...this.members]
      .filter(([other, { running }]) => other !== id && running && !this.#deaf.has(`${id}<${other}`))
      .map(([other, { node, options }]) => ({
        id: other,
        alive: true,
        clusterId: node.client.status().clusterId,
        bootstrapExpect: options.expect,
      }))
  }

  /** The membership of `id` no longer knows of `other`; messages pass as before. */
  deafTo(id: string, other: string): void {
    this.#deaf.add(`${id}<${other}`)
  }

  hearsAgain(id: string, other: string): void {
    this.#deaf.delete(`${id}<${other}`)
  }

  member(id: string): Member {
    const member = this.members.get(id)
    if (member === undefined) throw new Error(`no node ${id}`)
    return member
  }

  /** The client of a node, with time for calls that name none. */
  client(id: string): ConsensusClient {
    return patientClient(this.member(id).node.client)
  }

  /** Stops a node; its store keeps what was written. */
  async stop(id: string): Promise<void> {
    const member = this.member(id)
    member.running = false
    this.network.unplug(id)
    await member.node.stop()
    this.#tellLost(id)
  }

  /** Ends a node as the death of its process would: what was not on the disk is lost. */
  kill(id: string): void {
    const member = this.member(id)
    member.running = false
    this.network.unplug(id)
    member.store = member.store.cut()
    member.node.stop().catch(() => {
      // It cannot write any more.
    })
    this.#tellLost(id)
  }

  /** Starts a node again on what it had stored. */
  restart(id: string): Promise<Member> {
    const { store, options } = this.member(id)
    return this.add(id, { ...options, store })
  }

  #tellLost(id: string): void {
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
