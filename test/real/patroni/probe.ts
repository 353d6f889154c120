import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { until } from '../until.ts'
import type { Member } from './member.ts'
import { PYTHON } from './programs.ts'
import type { Acknowledged, Line } from './verdict.ts'

const PROBE = join(import.meta.dirname, 'probe.py')

/** Milliseconds of CLOCK_MONOTONIC, the clock of probe.py. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000
}

/** Observers and writers of all members, and what they said. Ends with this process. */
export class Probe {
  readonly #lines: Line[] = []
  readonly #child: ChildProcess
  #ended = false

  constructor(members: readonly Member[]) {
    const targets = members.map(({ name, target }) => `${name}=${target}`)
    this.#child = spawn('env', ['-i', 'LANG=C.UTF-8', PYTHON, PROBE, ...targets], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    this.#child.stdin?.on('error', () => {})
    this.#child.once('exit', () => {
      this.#ended = true
    })
    if (this.#child.stdout === null) throw new Error('a pipe')
    createInterface(this.#child.stdout).on('line', (line) => this.#lines.push(JSON.parse(line) as Line))
  }

  get lines(): readonly Line[] {
    return this.#lines
  }

  /** The first row sent after `after` that this member, or any but `not`, acknowledged. Waits for it. */
  acknowledged(
    after: number,
    options: { readonly not?: Member; readonly timeoutMs: number },
  ): Promise<Acknowledged> {
    let next = 0
    return until(
      `a row is acknowledged${options.not === undefined ? '' : ` by another than ${options.not.name}`}`,
      () => {
        if (this.#ended) throw new Error('probe.py has ended')
        for (; next < this.#lines.length; next++) {
          const line = this.#lines[next]
          if (line?.kind !== 'acknowledged' || line.from < after || line.member === options.not?.name)
            continue
          return line
        }
        return null
      },
      { timeoutMs: options.timeoutMs, intervalMs: 20, state: () => this.#lines.slice(-5) },
    )
  }

  async end(): Promise<void> {
    if (this.#ended) return
    const exited = new Promise((resolve) => this.#child.once('exit', resolve))
    this.#child.stdin?.end()
    await exited
  }
}
