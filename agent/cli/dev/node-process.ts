import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, fstatSync, openSync } from 'node:fs'
import { isSea } from 'node:sea'
import { LogTail, warningText } from './log-tail.ts'
import type { NodePlan } from './plan.ts'

/** How to run this same program again. */
export interface Program {
  readonly command: string
  readonly args: readonly string[]
}

/** How a process ended: `exit code 1`, `signal SIGKILL`. */
export type ExitReason = string

/** The program this process runs, be it a script under Node.js or a single executable. */
export function ownProgram(): Program {
  const script = process.argv[1]
  if (isSea() || script === undefined) return { command: process.execPath, args: [] }
  return { command: process.execPath, args: [...process.execArgv, script] }
}

/**
 * The environment of a node: without our own variables, which would configure it behind our back, and without what
 * systemd meant for this process alone.
 */
export function nodeEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const foreign =
    /^(CONSTELLATION_|NOTIFY_SOCKET$|WATCHDOG_|LISTEN_|JOURNAL_STREAM$|CREDENTIALS_DIRECTORY$|STATE_DIRECTORY$)/
  const kept = Object.entries(env).filter(([name]) => !foreign.test(name))
  return { ...Object.fromEntries(kept), CONSTELLATION_PARENT_PIPE: '1' }
}

/** One agent of the development cluster as a process of its own, with its output in a file. */
export class NodeProcess {
  readonly plan: NodePlan
  /** Resolves when the process has ended; never rejects. */
  readonly exited: Promise<ExitReason>
  readonly #child: ChildProcess
  readonly #tail: LogTail
  #running = true

  /** Starts the process. Its standard input is a pipe that closes with this process, which ends the agent. */
  constructor(
    options: { readonly plan: NodePlan; readonly args: readonly string[]; readonly logFile: string },
    collaborators: { readonly program: Program; readonly print: (line: string) => void },
  ) {
    this.plan = options.plan
    const { program, print } = collaborators
    const log = openSync(options.logFile, 'a', 0o600)
    const offset = fstatSync(log).size
    this.#child = spawn(program.command, [...program.args, 'agent', ...options.args], {
      stdio: ['pipe', log, log],
      env: nodeEnvironment(process.env),
      // A process group of its own: Ctrl-C reaches this process only, which then stops the nodes in order.
      detached: true,
    })
    closeSync(log)
    this.#child.stdin?.on('error', () => {})
    this.#tail = new LogTail({ file: options.logFile, offset }, (line) => {
      const text = warningText(line)
      if (text !== null) print(`${options.plan.name}: ${text}`)
    })
    this.#tail.start()
    this.exited = new Promise((resolve) => {
      const end = (reason: ExitReason): void => {
        this.#running = false
        this.#tail.stop()
        resolve(reason)
      }
      this.#child.once('exit', (code, signal) =>
        end(signal === null ? `exit code ${code}` : `signal ${signal}`),
      )
      this.#child.once('error', (error) => end(error.message))
    })
  }

  get running(): boolean {
    return this.#running
  }

  /** Undefined if the process could not be started. */
  get pid(): number | undefined {
    return this.#child.pid
  }

  kill(signal: 'SIGTERM' | 'SIGKILL'): void {
    if (this.#running) this.#child.kill(signal)
  }

  /** The end of what the process said, at most 20 lines. */
  lastLines(): readonly string[] {
    return this.#tail.lastLines()
  }
}
