import { type ChildProcess, spawn } from 'node:child_process'
import { constants } from 'node:os'
import type { Clock } from './clock.ts'

/** How often is looked whether a process group is empty. */
const POLL_MS = 20

/** As shells answer them. */
const EXIT_NOT_EXECUTABLE = 126
const EXIT_NOT_FOUND = 127
const EXIT_SIGNAL_BASE = 128

/** How a command ended. */
export interface CommandEnd {
  /** Its exit code; 128+n after signal n, 127 or 126 if it could not be started. */
  readonly exitCode: number
  /** Why it could not be started; null if it was. */
  readonly failure: string | null
}

/** The exit code that stands for the end by a signal. */
export function signalExitCode(signal: NodeJS.Signals): number {
  return EXIT_SIGNAL_BASE + constants.signals[signal]
}

/**
 * A command in a process group of its own, so that all it started can be ended with it. Input and output are those of this
 * process.
 */
export class HeldCommand {
  readonly #child: ChildProcess
  readonly #clock: Clock
  /** Resolves when the command itself has ended. */
  readonly ended: Promise<CommandEnd>

  constructor(command: readonly string[], env: Readonly<Record<string, string | undefined>>, clock: Clock) {
    const [program = '', ...args] = command
    this.#clock = clock
    this.#child = spawn(program, args, { stdio: 'inherit', env: { ...env }, detached: true })
    this.ended = new Promise((resolve) => {
      this.#child.once('error', (error: NodeJS.ErrnoException) => {
        const exitCode = error.code === 'ENOENT' ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE
        resolve({ exitCode, failure: `cannot run ${program}: ${error.message}` })
      })
      this.#child.once('exit', (code, signal) => {
        resolve({ exitCode: signal === null ? (code ?? 1) : signalExitCode(signal), failure: null })
      })
    })
  }

  /** The process group; null if the command could not be started. */
  get group(): number | null {
    return this.#child.pid ?? null
  }

  /** Sends a signal to the whole group. False if nothing of it is left. */
  signal(signal: NodeJS.Signals | 0): boolean {
    const { group } = this
    if (group === null) return false
    try {
      process.kill(-group, signal)
      return true
    } catch (error) {
      // A member of the group that may not be signalled is still there.
      return (error as NodeJS.ErrnoException).code === 'EPERM'
    }
  }

  /** Ends the whole group: SIGTERM now, SIGKILL at the moment `killAt` of the clock. Resolves when that is done. */
  async terminate(killAt: number): Promise<void> {
    this.signal('SIGTERM')
    // A stopped process would keep the signal for later.
    this.signal('SIGCONT')
    while (this.signal(0)) {
      const leftMs = killAt - this.#clock.now()
      if (leftMs <= 0) {
        this.signal('SIGKILL')
        break
      }
      await new Promise<void>((resolve) => this.#clock.after(Math.min(POLL_MS, leftMs), resolve))
    }
    await this.ended
  }
}
