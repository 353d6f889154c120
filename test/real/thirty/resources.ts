import { setTimeout as delay } from 'node:timers/promises'
import type { AgentProcess } from '../agent-process.ts'

/** What a process holds. Bytes and counts. */
export interface Resources {
  readonly heapBytes: number
  /**
   * Of the heap: what V8 compiled of the program. It rises for as long as functions become hot, and is bounded by the size of the
   * program, so it says nothing of what the program keeps.
   */
  readonly codeBytes: number
  /** Entries of the Raft log in memory: they grow in number until a snapshot is taken. */
  readonly logEntries: number
  readonly externalBytes: number
  readonly rssBytes: number
  readonly fds: number
  readonly sockets: number
  readonly timers: number
  readonly streams: number
  readonly connections: number
}

const METRICS: Readonly<Record<Exclude<keyof Resources, 'codeBytes'>, string>> = {
  heapBytes: 'nodejs_heap_size_used_bytes',
  logEntries: 'constellation_raft_log_entries',
  externalBytes: 'nodejs_external_memory_bytes',
  rssBytes: 'process_resident_memory_bytes',
  fds: 'process_open_fds',
  sockets: 'nodejs_active_resources{type="TCPSocketWrap"',
  timers: 'nodejs_active_resources{type="Timeout"',
  streams: 'constellation_mesh_streams',
  connections: 'constellation_mesh_connections',
}
const CODE_SPACES = ['code', 'trusted', 'code_large_object', 'trusted_large_object']
const COLLECTED_MS = 1500

/**
 * Collects the garbage of an agent that was started with collect.ts, and reads what it holds from its metrics.
 * @throws Error if a metric is missing: what is not measured would look flat
 */
export async function resourcesOf(agent: AgentProcess): Promise<Resources> {
  agent.signal('SIGUSR2')
  await delay(COLLECTED_MS)
  const { text } = await agent.ask('/metrics', { timeoutMs: 10_000 })
  const lines = text.split('\n')
  const value = (prefix: string): number => {
    const line = lines.find((each) => each.startsWith(prefix) && /[ {,]/.test(each[prefix.length] ?? ''))
    if (line === undefined) throw new Error(`${agent.name} has no metric ${prefix}`)
    return Number(line.slice(line.lastIndexOf(' ') + 1))
  }
  const spaces = CODE_SPACES.map((space) => value(`nodejs_heap_space_size_used_bytes{space="${space}"`))
  return {
    ...(Object.fromEntries(
      Object.entries(METRICS).map(([name, prefix]) => [name, value(prefix)]),
    ) as unknown as Resources),
    codeBytes: spaces.reduce((sum, bytes) => sum + bytes),
  }
}
