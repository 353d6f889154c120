import { type ChildProcess, spawn } from 'node:child_process'
import { CliError } from '../errors.ts'
import { type Change, changeLine, contentHash } from './changes.ts'

/** Changes that come within this time of the first are one batch: a script often writes several keys. */
const GATHER_MS = 100
/** How long a command that is told to stop may take. */
const STOP_MS_MAX = 5000

/** What a runner works with. */
export interface BatchRunnerOptions {
  /** Program and arguments. */
  readonly command: readonly string[]
  readonly env: Readonly<Record<string, string | undefined>>
  /** Something an operator may want to know. */
  readonly note: (line: string) => void
  /** The command cannot be run at all. */
  readonly onFailure: (error: CliError) => void
}

/**
 * Runs a command for each batch of changes, one line of JSON per key on its standard input, never two at a time. What comes
 * while it runs is the next batch; of several changes of a key the last one counts, and none if they left it as it was.
 */
export class BatchRunner {
  readonly #options: BatchRunnerOptions
  #pending = new Map<string, Change>()
  /** Hash of the content by key that the command was told. */
  readonly #told = new Map<string, string>()
  #held = false
  #gathering: NodeJS.Timeout | null = null
  #running: { readonly child: ChildProcess; readonly ended: Promise<void> } | null = null
  #stopped = false

  constructor(options: BatchRunnerOptions) {
    this.#options = options
  }

  /** Holds batches back while a listing is under way, which is one batch. */
  hold(): void {
    this.#held = true
    if (this.#gathering !== null) clearTimeout(this.#gathering)
    this.#gathering = null
  }

  /** The listing is complete. */
  release(): void {
    this.#held = false
    this.#schedule()
  }

  /** Takes changes. */
  add(changes: readonly Change[]): void {
    for (const change of changes) this.#pending.set(change.key, change)
    this.#schedule()
  }

  /** Runs nothing more, stops a command that runs and waits for its end. */
  async stop(): Promise<void> {
    this.#stopped = true
    if (this.#gathering !== null) clearTimeout(this.#gathering)
    const running = this.#running
    if (running === null) return
    running.child.kill('SIGTERM')
    const timer = setTimeout(() => running.child.kill('SIGKILL'), STOP_MS_MAX)
    await running.ended
    clearTimeout(timer)
  }

  #schedule(): void {
    if (this.#stopped || this.#held || this.#pending.size === 0) return
    if (this.#running !== null || this.#gathering !== null) return
    this.#gathering = setTimeout(() => {
      this.#gathering = null
      this.#run()
    }, GATHER_MS)
  }

  #run(): void {
    const batch = [...this.#pending.values()].filter((change) => this.#isNews(change))
    this.#pending = new Map()
    if (batch.length === 0) return
    const [program = '', ...args] = this.#options.command
    const child = spawn(program, args, {
      stdio: ['pipe', 'inherit', 'inherit'],
      env: { ...this.#options.env },
    })
    const ended = new Promise<void>((resolve) => {
      child.once('error', (cause) => {
        const why = `cannot run ${program}: ${cause.message}`
        this.#options.onFailure(new CliError('CLI_FAILED', why, { cause }))
        resolve()
      })
      child.once('exit', (code, signal) => {
        if (code !== 0 && !this.#stopped)
          this.#options.note(`the command ended with ${signal ?? `exit code ${code}`}`)
        resolve()
      })
    })
    // A command need not read what it is told.
    child.stdin?.on('error', () => {})
    child.stdin?.end(batch.map((change) => `${changeLine(change)}\n`).join(''))
    this.#running = { child, ended }
    void ended.then(() => {
      this.#running = null
      this.#schedule()
    })
  }

  /** Whether the command knows the key otherwise; from now on it knows it like this. */
  #isNews({ event, key, fields }: Change): boolean {
    if (event === 'delete') return this.#told.delete(key)
    const hash = contentHash(fields)
    if (this.#told.get(key) === hash) return false
    this.#told.set(key, hash)
    return true
  }
}
