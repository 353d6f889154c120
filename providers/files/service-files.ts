import { type FSWatcher, watch } from 'node:fs'
import { basename } from 'node:path'
import type { Logger } from 'pino'
import { Gauge, type Registry as MetricRegistry } from 'prom-client'
import {
  dropRegistration,
  putRegistration,
  type Registration,
  type Registry,
} from '../../discovery/health/registration.ts'
import { systemTimers, type Timer, type Timers } from '../../discovery/health/timers.ts'
import { type ParseDefinition, readContent, tooManyFiles, unreadableFolder } from './content.ts'
import { type FoundFile, type Listing, listFolder } from './folder.ts'
import { type FileContent, planFiles } from './plan.ts'

/** Settings of {@link ServiceFiles}. Milliseconds. */
export interface ServiceFilesOptions {
  /** Absolute path of the folder. */
  readonly directory: string
  /** A change is looked at when the folder has been quiet for so long, and a file is taken when it has. Default 300. */
  readonly debounceMs?: number
  /** But no later than this after its first change. Default 2,000. */
  readonly debounceMsMax?: number
  /** Everything is looked at again this often, for what the system did not tell. Default 30,000. */
  readonly rescanMs?: number
}

/** What it works with. */
export interface ServiceFilesCollaborators {
  readonly registry: Registry
  readonly parse: ParseDefinition
  readonly log: Logger
  readonly metrics?: MetricRegistry
  readonly timers?: Timers
  /** The wall clock that times of files are compared with, in ms. */
  readonly wall?: () => number
}

/** What became of the files of a folder. */
export interface ServiceFilesReport {
  readonly directory: string
  readonly taken: number
  readonly refused: number
  /** What is wrong with the folder and with each file that is not taken as it is, in one line; the first hundred. */
  readonly problems: readonly string[]
}

const PROBLEMS_MAX = 100

/** What is known of a file from the looks before. */
interface Known {
  readonly content: FileContent
  /** Of the file when `content` was read. */
  readonly signature: string | null
  /** True once the record holds what it says. */
  applied: boolean
}

/**
 * Registers the services that the files of a folder describe, and follows the files: an instance is changed, added and removed as
 * its file is. What cannot be taken is reported and changes nothing: the last version that could be taken stays, over
 * restarts as well, as the record is kept on disk.
 */
export class ServiceFiles {
  readonly #options: Required<ServiceFilesOptions>
  readonly #with: ServiceFilesCollaborators
  readonly #timers: Timers
  readonly #wall: () => number
  readonly #known = new Map<string, Known>()
  /** Signatures of files that were being written at the last look, by path. */
  #unsettled = new Map<string, string>()
  /** What was last said about each file, so that it is said once. */
  readonly #said = new Map<string, string>()
  #watcher: FSWatcher | null = null
  #watched = ''
  #timer: Timer | null = null
  #dueMs = Number.POSITIVE_INFINITY
  #firstChangeMs: number | null = null
  #scanning: Promise<void> = Promise.resolve()
  #stopped = false

  constructor(options: ServiceFilesOptions, collaborators: ServiceFilesCollaborators) {
    this.#options = { debounceMs: 300, debounceMsMax: 2_000, rescanMs: 30_000, ...options }
    this.#with = collaborators
    this.#timers = collaborators.timers ?? systemTimers
    this.#wall = collaborators.wall ?? Date.now
    if (collaborators.metrics !== undefined) this.#measure(collaborators.metrics)
  }

  /** Takes what is there, removes what no file holds any more, and begins to follow. Never rejects. */
  async start(): Promise<void> {
    await this.scan()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#timer?.cancel()
    this.#watcher?.close()
    this.#watcher = null
    await this.#scanning
  }

  /** Files that are not taken, by path, and why; the folder itself if something is wrong with it. */
  get problems(): ReadonlyMap<string, string> {
    return this.#said
  }

  /** The files at a glance. */
  report(): ServiceFilesReport {
    const { directory } = this.#options
    const lines = [...this.#said].map(([path, problem]) =>
      path === directory ? problem : `${basename(path)}: ${problem}`,
    )
    const refused = this.#refused()
    return { directory, taken: this.#known.size - refused, refused, problems: lines.slice(0, PROBLEMS_MAX) }
  }

  #refused(): number {
    return this.#said.size - (this.#said.has(this.#options.directory) ? 1 : 0)
  }

  /** Looks at the folder now. One look at a time; resolves when this one has ended. */
  scan(): Promise<void> {
    this.#scanning = this.#scanning.then(() => this.#scan())
    return this.#scanning
  }

  async #scan(): Promise<void> {
    if (this.#stopped) return
    this.#timer?.cancel()
    this.#timer = null
    this.#dueMs = Number.POSITIVE_INFINITY
    this.#firstChangeMs = null
    const { directory, rescanMs, debounceMs } = this.#options
    let listing: Listing | null = null
    try {
      listing = await listFolder(directory)
      this.#follow(listing.identity)
      await this.#read(listing.files)
    } catch (error) {
      this.#say(directory, `${unreadableFolder(error)}; its services stay as they are`)
    }
    if (this.#stopped) return
    if (listing !== null) {
      const { tooMany } = listing
      this.#say(directory, tooMany === 0 ? null : tooManyFiles(tooMany))
      this.#apply()
    }
    this.#scanIn(this.#unsettled.size > 0 ? debounceMs : rescanMs)
  }

  /** Reads what is new, of files that nobody is writing. */
  async #read(files: readonly FoundFile[]): Promise<void> {
    const paths = new Set(files.map(({ path }) => path))
    for (const path of [...this.#known.keys()]) if (!paths.has(path)) this.#known.delete(path)
    const unsettled = new Map<string, string>()
    for (const file of files) {
      const { path, signature } = file
      const known = this.#known.get(path)
      if (known !== undefined && known.signature === signature && signature !== null) continue
      if (signature !== null && !this.#isSettled(file, signature)) {
        unsettled.set(path, signature)
        // Until it has been read it says what it said; a new one says nothing, but is there.
        if (known === undefined)
          this.#known.set(path, { content: unread(file), signature: null, applied: false })
        continue
      }
      this.#known.set(path, { content: await readContent(file, this.#with.parse), signature, applied: false })
    }
    this.#unsettled = unsettled
  }

  /** True for what was written some time ago, and for what looks as it did at the look before. */
  #isSettled({ path, writtenMs }: FoundFile, signature: string): boolean {
    const ageMs = this.#wall() - writtenMs
    return ageMs > this.#options.debounceMs || this.#unsettled.get(path) === signature
  }

  #apply(): void {
    const { registry, log } = this.#with
    const contents = [...this.#known.values()].map(({ content }) => content)
    const plan = planFiles(registry.local.record(), contents)
    const problems = new Map(plan.problems)
    // First what goes: an id of a check may go over to another service.
    for (const id of plan.drop) {
      dropRegistration(registry, id)
      log.info({ service: id }, 'deregistered a service: no file holds it any more')
    }
    for (const [path, registrations] of plan.put) {
      const known = this.#known.get(path)
      // What was deregistered since, because a check was critical for too long, comes back with a change of the file only.
      if (known === undefined || known.applied) continue
      const problem = this.#put(registrations)
      known.applied = problem === null
      if (problem !== null) problems.set(path, problem)
      else
        log.info(
          { file: path, services: registrations.map(({ service }) => service.id) },
          'took a service file',
        )
    }
    for (const [path, known] of this.#known) if (plan.problems.has(path)) known.applied = false
    for (const path of [...this.#said.keys()]) {
      if (path !== this.#options.directory && !problems.has(path)) this.#say(path, null)
    }
    for (const [path, problem] of problems) this.#say(path, problem)
  }

  /** Why it could not be put in whole; null if it is in. */
  #put(registrations: readonly Registration[]): string | null {
    try {
      for (const registration of registrations) {
        putRegistration(this.#with.registry, registration, { replaceChecks: true })
      }
      return null
    } catch (error) {
      return (error as Error).message
    }
  }

  /** Says what is wrong with a file or the folder, once, and when it is over. */
  #say(path: string, problem: string | null): void {
    if ((this.#said.get(path) ?? null) === problem) return
    const { log } = this.#with
    if (problem === null) {
      this.#said.delete(path)
      log.info({ file: path }, 'what was wrong with it is over')
      return
    }
    this.#said.set(path, problem)
    const text =
      path === this.#options.directory ? problem : `the service file ${path} is not taken: ${problem}`
    log.warn({ file: path }, text)
  }

  /** Watches the folder, and a new one that took its place. What the system does not tell, the rescan finds. */
  #follow(identity: string): void {
    if (this.#watcher !== null && identity === this.#watched) return
    this.#watcher?.close()
    this.#watcher = null
    this.#watched = identity
    const failed = (error: unknown): void => {
      this.#with.log.debug(
        { err: error },
        'the folder of service files is not watched, only looked at again and again',
      )
      this.#watcher?.close()
      this.#watcher = null
    }
    try {
      const watcher = watch(this.#options.directory, { persistent: false }, () => this.#changed())
      this.#watcher = watcher
      watcher.on('error', failed)
    } catch (error) {
      failed(error)
    }
  }

  #changed(): void {
    const { debounceMs, debounceMsMax } = this.#options
    const now = this.#timers.now()
    this.#firstChangeMs ??= now
    const latestMs = this.#firstChangeMs + debounceMsMax
    this.#scanIn(Math.max(0, Math.min(debounceMs, latestMs - now)), true)
  }

  /** @param postpone whether a look that was to come sooner may come later */
  #scanIn(delayMs: number, postpone = false): void {
    const dueMs = this.#timers.now() + delayMs
    if (this.#stopped || (this.#timer !== null && this.#dueMs <= dueMs && !postpone)) return
    this.#timer?.cancel()
    this.#dueMs = dueMs
    this.#timer = this.#timers.after(delayMs, () => {
      this.#timer = null
      void this.scan()
    })
  }

  #measure(registry: MetricRegistry): void {
    const report = () => this.report()
    new Gauge({
      name: 'constellation_service_files',
      help: 'Files of services, by whether they are taken as they are',
      labelNames: ['state'],
      registers: [registry],
      collect() {
        const { taken, refused } = report()
        this.set({ state: 'refused' }, refused)
        this.set({ state: 'taken' }, taken)
      },
    })
  }
}

function unread({ path, name }: FoundFile): FileContent {
  return { path, name, registrations: null, problem: null }
}

/** Removes what files held in an earlier run, when no folder is followed any more. */
export function dropFileServices(registry: Registry): void {
  for (const { id, source } of registry.local.record().services.values()) {
    if (source?.kind === 'file') dropRegistration(registry, id)
  }
}
