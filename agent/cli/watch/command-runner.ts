import { type ChildProcess, spawn } from 'node:child_process'
import { CliError } from '../errors.ts'

/** Changes that come within this time of the first are told together: a script often writes several keys. */
const GATHER_MS = 100
/** How long a command that is told to stop may take. */
const STOP_MS_MAX = 5000

/** One run of the command. */
export interface CommandInput {
  readonly input: string
  /** Variables of this run, over those of every run. */
  readonly env?: Readonly<Record<string, string>>
}

/** What a runner works with. */
export interface CommandRunnerOptions {
  /** Program and arguments. */
  readonly command: readonly string[]
  readonly env: Readonly<Record<string, string | undefined>>
  /** Takes what the command is to be told now; null if there is nothing it does not know. */
  readonly next: () => CommandInput | null
  /** Something an operator may want to know. */
  readonly note: (line: string) => void
  /** The command cannot be run at all. */
  readonly onFailure: (error: CliError) => void
}

/** Runs a command for what changed, on its standard input, never two at a time. What comes while it runs waits for the next run. */
export class CommandRunner {
  readonly #options: CommandRunnerOptions
  #held = false
  #gathering: NodeJS.Timeout | null = null
  #running: { readonly child: ChildProcess; readonly ended: Promise<void> } | null = null
  #stopped = false

  constructor(options: CommandRunnerOptions) {
    this.#options = options
  }

  /** Starts no run until `release`. */
  hold(): void {
    this.#held = true
    if (this.#gathering !== null) clearTimeout(this.#gathering)
    this.#gathering = null
  }

  release(): void {
    this.#held = false
    this.poke()
  }

  /** There may be something to tell. */
  poke(): void {
    if (this.#stopped || this.#held || this.#running !== null || this.#gathering !== null) return
    this.#gathering = setTimeout(() => {
      this.#gathering = null
      this.#run()
    }, GATHER_MS)
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

  #run(): void {
    const next = this.#options.next()
    if (next === null) return
    const [program = '', ...args] = this.#options.command
    const child = spawn(program, args, {
      stdio: ['pipe', 'inherit', 'inherit'],
      env: { ...this.#options.env, ...next.env },
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
    child.stdin?.end(next.input)
    this.#running = { child, ended }
    void ended.then(() => {
      this.#running = null
      this.poke()
    })
  }
}
