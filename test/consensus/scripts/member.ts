import { RAFT_DEFAULTS, type RaftOptions, type RaftState } from '../../../consensus/raft/options.ts'
import { Raft } from '../../../consensus/raft/raft.ts'
import type { Entry, HardState, Ready, SnapshotMeta } from '../../../consensus/raft/types.ts'

/** What a node has on its disk. */
export interface Disk {
  hardState: HardState
  snapshot: SnapshotMeta
  entries: Entry[]
  logStart: { index: number; term: number }
}

/** Settings a script may change. */
export interface MemberOptions {
  readonly raft: Partial<RaftOptions>
  /** Writes wait for a `persist` command. */
  readonly slowDisk: boolean
  /** Ticks of every election timeout drawn from now on. */
  readonly timeoutTicks: number
}

/** A node of a script: the core, its disk, and the writes on their way to it. */
export class Member {
  readonly id: string
  readonly slowDisk: boolean
  raft: Raft
  disk: Disk
  running = true
  timeoutTicks: number
  writes: Ready[] = []
  readonly #options: Partial<RaftOptions>
  /** A commit index that was not worth a sync: written with the next write that is, lost in a crash. */
  #unsynced: HardState | null = null

  constructor(id: string, disk: Disk, options: MemberOptions) {
    this.id = id
    this.disk = disk
    this.slowDisk = options.slowDisk
    this.timeoutTicks = options.timeoutTicks
    this.#options = options.raft
    this.raft = this.#boot()
  }

  get electionTicks(): number {
    return this.#options.electionTicks ?? RAFT_DEFAULTS.electionTicks
  }

  #boot(): Raft {
    const { electionTicks } = this
    // The middle of the interval that yields `timeoutTicks`, away from rounding errors.
    const random = (): number => (this.timeoutTicks - electionTicks + 0.5) / electionTicks
    const state: RaftState = { ...this.disk, entries: [...this.disk.entries] }
    return new Raft({ ...RAFT_DEFAULTS, ...this.#options, id: this.id, random }, state)
  }

  /** Makes the oldest write durable, as the store does: an entry replaces everything at its index and behind it. */
  completeWrite(): Ready | undefined {
    const ready = this.writes.shift()
    if (ready === undefined) return undefined
    const { disk } = this
    if (ready.snapshot !== null) {
      const { index, term } = ready.snapshot
      disk.snapshot = ready.snapshot
      disk.logStart = { index, term }
      disk.entries = []
    }
    const [first] = ready.entries
    if (first !== undefined) {
      disk.entries.length = first.index - disk.logStart.index - 1
      disk.entries.push(...ready.entries)
    }
    const hardState = ready.hardState ?? this.#unsynced
    if (hardState !== null && ready.mustSync) disk.hardState = hardState
    this.#unsynced = ready.mustSync ? null : hardState
    return ready
  }

  /** Takes a snapshot of what is applied and forgets the entries up to `compactTo`. */
  saveSnapshot(compactTo: number): SnapshotMeta {
    const { raft, disk } = this
    const index = raft.log.appliedIndex
    const meta = { index, term: raft.log.termAt(index) ?? 0, configuration: raft.configuration }
    const to = Math.min(compactTo, index)
    const startTerm = raft.log.termAt(to)
    disk.snapshot = meta
    if (startTerm !== undefined && to > disk.logStart.index) {
      disk.entries = disk.entries.filter((entry) => entry.index > to)
      disk.logStart = { index: to, term: startTerm }
    }
    // A node never starts with a commit index behind its snapshot.
    disk.hardState = { ...disk.hardState, commit: Math.max(disk.hardState.commit, index) }
    raft.snapshotSaved(meta, to)
    return meta
  }

  /** Loses everything that is not on the disk. */
  crash(): void {
    this.running = false
    this.writes = []
    this.#unsynced = null
  }

  restart(): void {
    this.raft = this.#boot()
    this.running = true
  }
}
