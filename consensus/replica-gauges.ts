import { Counter, Gauge, type Registry } from 'prom-client'
import type { LogWriter } from './log-writer.ts'
import type { Proposals } from './proposals.ts'
import type { Raft } from './raft/raft.ts'
import type { ReadConfirmations } from './read-confirmations.ts'

/** What is read off a replica when somebody asks for its metrics. Totals count from the start of the process. */
export interface ReplicaReading {
  readonly preVotes: number
  readonly elections: number
  readonly electionsWon: number
  readonly committedIndex: number
  readonly appliedIndex: number
  readonly proposalsQueued: number
  readonly proposalsPending: number
  readonly readsWaiting: number
  readonly readRounds: number
  readonly writesQueued: number
  readonly writeBytesQueued: number
  readonly uncommittedBytes: number
  readonly logEntries: number
  readonly logBytes: number
  /** The other nodes of the configuration; empty unless this node leads. */
  readonly peers: readonly {
    readonly id: string
    readonly lag: number
    readonly state: 'probe' | 'replicate' | 'snapshot'
  }[]
}

/** Reads the figures of a replica off its parts; null until it belongs to a cluster. */
export function readReplica(
  raft: Raft | null,
  isLeader: boolean,
  parts: {
    readonly proposals: Pick<Proposals, 'sizes'>
    readonly reads: Pick<ReadConfirmations, 'size'>
    readonly writer: Pick<LogWriter, 'queued'>
  },
): ReplicaReading | null {
  if (raft === null) return null
  const { log, campaigns } = raft
  const { queued, pending } = parts.proposals.sizes
  const writes = parts.writer.queued
  const others = isLeader ? [...raft.progress].filter(([id]) => id !== raft.id) : []
  return {
    preVotes: campaigns.preVotes,
    elections: campaigns.elections,
    electionsWon: campaigns.won,
    committedIndex: log.committedIndex,
    appliedIndex: log.appliedIndex,
    proposalsQueued: queued,
    proposalsPending: pending,
    readsWaiting: parts.reads.size,
    readRounds: raft.readRounds,
    writesQueued: writes.length,
    writeBytesQueued: writes.bytes,
    uncommittedBytes: isLeader ? raft.uncommittedBytes : 0,
    logEntries: log.size,
    logBytes: log.bytes,
    peers: others.map(([id, { matchIndex, state }]) => ({ id, state, lag: log.lastIndex - matchIndex })),
  }
}

type Figure = {
  readonly [Name in keyof ReplicaReading]: ReplicaReading[Name] extends number ? Name : never
}[keyof ReplicaReading]

const GAUGES: readonly (readonly [name: string, figure: Figure, help: string])[] = [
  ['commit_index', 'committedIndex', 'Last committed log index'],
  ['applied_index', 'appliedIndex', 'Last applied log index'],
  ['proposals_queued', 'proposalsQueued', 'Writes that wait to be appended to the log'],
  ['proposals_pending', 'proposalsPending', 'Writes in the log of this leader that are not applied yet'],
  ['reads_waiting', 'readsWaiting', 'Reads that wait for the confirmation that this node leads'],
  ['write_queue_length', 'writesQueued', 'Writes that wait for the disk'],
  ['write_queue_bytes', 'writeBytesQueued', 'Bytes of the entries in the writes that wait for the disk'],
  ['uncommitted_bytes', 'uncommittedBytes', 'Bytes of entries of this leader without a quorum yet'],
  ['log_entries', 'logEntries', 'Log entries kept in memory'],
  ['log_bytes', 'logBytes', 'Bytes of the log entries kept in memory'],
]

const COUNTERS: readonly (readonly [name: string, figure: Figure, help: string])[] = [
  ['pre_votes_total', 'preVotes', 'Times this node asked whether it could win an election'],
  ['elections_total', 'elections', 'Elections this node started'],
  ['elections_won_total', 'electionsWon', 'Elections this node won'],
  ['read_rounds_total', 'readRounds', 'Rounds of heartbeats sent to confirm reads'],
]

const PREFIX = 'constellation_raft_'

/** Registers metrics that are read off the replica at each scrape. `read` answers null until it belongs to a cluster. */
export function registerReplicaGauges(registry: Registry, read: () => ReplicaReading | null): void {
  const registers = [registry]
  for (const [name, figure, help] of GAUGES) {
    new Gauge({
      name: PREFIX + name,
      help,
      registers,
      collect() {
        this.set(read()?.[figure] ?? 0)
      },
    })
  }
  for (const [name, figure, help] of COUNTERS) {
    new Counter({
      name: PREFIX + name,
      help,
      registers,
      collect() {
        this.reset()
        this.inc(read()?.[figure] ?? 0)
      },
    })
  }
  new Gauge({
    name: `${PREFIX}apply_lag`,
    help: 'Committed entries that are not applied yet',
    registers,
    collect() {
      const { committedIndex = 0, appliedIndex = 0 } = read() ?? {}
      this.set(committedIndex - appliedIndex)
    },
  })
  registerPeerGauges(registers, read)
}

/** One series for each peer of the configuration, on the leader only: whoever leaves takes its series along. */
function registerPeerGauges(registers: Registry[], read: () => ReplicaReading | null): void {
  new Gauge({
    name: `${PREFIX}peer_lag`,
    help: 'Entries of the log that the peer is not known to have; on the leader',
    labelNames: ['peer'],
    registers,
    collect() {
      this.reset()
      for (const { id, lag } of read()?.peers ?? []) this.set({ peer: id }, lag)
    },
  })
  new Gauge({
    name: `${PREFIX}peer_state`,
    help: '1 for how the leader sends to the peer: probe, replicate or snapshot',
    labelNames: ['peer', 'state'],
    registers,
    collect() {
      this.reset()
      for (const { id, state } of read()?.peers ?? []) this.set({ peer: id, state }, 1)
    },
  })
}
