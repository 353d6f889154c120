import { lstat, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Logger } from 'pino'
import { makeDirectory } from '../data-dir.ts'
import { type ArchiveMeta, readArchive } from './archive.ts'
import type { Backups, SavedArchive } from './backups.ts'
import { UNFINISHED_SUFFIX, writeDurably } from './durable-file.ts'
import { parseSnapshotFileName, type SnapshotFile, snapshotFileName } from './file-names.ts'
import type { BackupMetrics } from './metrics.ts'

/** Settings of the scheduled snapshots. */
export interface SnapshotScheduleOptions {
  readonly node: string
  readonly everyMs: number
  /** How many files are kept. */
  readonly keep: number
  readonly directory: string
}

/** What the schedule works with. `clock`: monotonic and Unix milliseconds. */
export interface SnapshotScheduleCollaborators {
  readonly backups: Pick<Backups, 'save'>
  readonly log: Logger
  readonly metrics: BackupMetrics
  readonly clock: { now(): number; wall(): number }
}

const CHECK_MS = 1000
/** After a failure it is tried again this soon, if the schedule is not sooner. */
const RETRY_MS = 60_000
const READ_TIMEOUT_MS = 10_000

/** Saves all keys to a file of this node's own every so often, and removes the oldest of these files. */
export class SnapshotSchedule {
  readonly #options: SnapshotScheduleOptions
  readonly #with: SnapshotScheduleCollaborators
  readonly #abort = new AbortController()
  #timer: NodeJS.Timeout | null = null
  #running: Promise<void> | null = null
  /** Monotonic; null until the folder was looked at. */
  #dueAt: number | null = null
  /** What the newest file holds, once that is known. */
  #newest: { readonly name: string; readonly meta: ArchiveMeta } | null = null

  constructor(options: SnapshotScheduleOptions, collaborators: SnapshotScheduleCollaborators) {
    this.#options = options
    this.#with = collaborators
  }

  async start(): Promise<void> {
    this.#timer = setInterval(() => void this.check(), CHECK_MS)
  }

  /** Waits for a file that is being written, and for nothing else. */
  async stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#abort.abort()
    await this.#running
  }

  /** Saves a snapshot if it is time for one. A failure is logged, counted and left to the next time. */
  check(): Promise<void> {
    this.#running ??= this.#check().finally(() => {
      this.#running = null
    })
    return this.#running
  }

  async #check(): Promise<void> {
    const { clock, log, metrics } = this.#with
    const { everyMs, directory } = this.#options
    try {
      this.#dueAt ??= await this.#firstDue()
      if (clock.now() < this.#dueAt || this.#abort.signal.aborted) return
      await this.#save()
      this.#dueAt = clock.now() + everyMs
    } catch (error) {
      this.#dueAt = clock.now() + Math.min(everyMs, RETRY_MS)
      if (this.#abort.signal.aborted) return
      metrics.failed()
      log.warn({ err: error, directory }, 'a scheduled snapshot could not be saved; trying again')
    }
  }

  /** A restart does not put the next one off. */
  async #firstDue(): Promise<number> {
    const { clock } = this.#with
    const { everyMs } = this.#options
    await this.#prepare()
    const newest = (await this.#files()).at(-1)
    if (newest === undefined) return clock.now()
    const age = Math.max(0, clock.wall() - newest.createdMs)
    return clock.now() + Math.max(0, everyMs - age)
  }

  /** Makes the folder, and removes what a crash left half-written. */
  async #prepare(): Promise<void> {
    const { directory, node } = this.#options
    await makeDirectory(directory)
    for (const name of await readdir(directory)) {
      if (!name.endsWith(UNFINISHED_SUFFIX)) continue
      const finished = name.slice(0, -UNFINISHED_SUFFIX.length)
      if (parseSnapshotFileName(node, finished) !== null) await rm(join(directory, name), { force: true })
    }
  }

  /** The files this node made, oldest first. */
  async #files(): Promise<readonly SnapshotFile[]> {
    const { directory, node } = this.#options
    const files: SnapshotFile[] = []
    for (const name of await readdir(directory)) {
      const file = parseSnapshotFileName(node, name)
      if (file !== null && (await lstat(join(directory, name))).isFile()) files.push(file)
    }
    return files.sort((a, b) => a.createdMs - b.createdMs || a.index - b.index)
  }

  async #save(): Promise<void> {
    const { backups, clock, log, metrics } = this.#with
    const { directory, node } = this.#options
    const started = clock.now()
    await this.#prepare()
    const saved = await backups.save('default', { signal: this.#abort.signal, timeoutMs: READ_TIMEOUT_MS })
    if (await this.#isUnchanged(saved)) {
      metrics.unchanged(clock.wall())
      log.debug({ index: saved.meta.index }, 'no key changed since the last scheduled snapshot')
      return
    }
    const name = snapshotFileName(node, Date.parse(saved.meta.created), saved.meta.index)
    const path = join(directory, name)
    const bytes = await writeDurably(path, saved.open())
    this.#newest = { name, meta: saved.meta }
    const ms = clock.now() - started
    metrics.saved({ ms, bytes, wallMs: clock.wall() })
    log.info({ path, index: saved.meta.index, keys: saved.meta.keys, bytes }, 'saved a scheduled snapshot')
    await this.#removeOldest(name)
  }

  /** True if the newest file holds the same keys: a changed key has a new ModifyIndex, a deleted one is missing. */
  async #isUnchanged({ meta }: SavedArchive): Promise<boolean> {
    const newest = (await this.#files()).at(-1)
    if (newest === undefined) return false
    if (this.#newest?.name !== newest.name) this.#newest = await this.#read(newest.name)
    const last = this.#newest?.meta
    return (
      last !== undefined &&
      last.clusterId === meta.clusterId &&
      last.keys === meta.keys &&
      last.modifyIndex === meta.modifyIndex
    )
  }

  async #read(name: string): Promise<{ name: string; meta: ArchiveMeta } | null> {
    try {
      const { meta } = await readArchive(await readFile(join(this.#options.directory, name)))
      return { name, meta }
    } catch (error) {
      this.#with.log.warn({ err: error, name }, 'the newest scheduled snapshot cannot be read')
      return null
    }
  }

  /** Never the one just made: after the clock was set back it looks like the oldest. */
  async #removeOldest(justMade: string): Promise<void> {
    const { directory, keep } = this.#options
    const others = (await this.#files()).filter(({ name }) => name !== justMade)
    for (const { name } of others.slice(0, Math.max(0, others.length - (keep - 1)))) {
      await rm(join(directory, name), { force: true })
    }
  }
}
