import { type ChildProcess, spawn } from 'node:child_process'

/** Processes that take all the CPU they get, at the priority of this one. They end with it. */
export class Burn {
  readonly #children: readonly ChildProcess[]

  /** Begins at once. */
  constructor(count: number) {
    const loop =
      'process.stdin.resume().on("end", () => process.exit()); const spin = () => { const end = performance.now() + 100; while (performance.now() < end); setImmediate(spin) }; spin()'
    this.#children = Array.from({ length: count }, () =>
      spawn(process.execPath, ['-e', loop], { stdio: ['pipe', 'ignore', 'ignore'] }),
    )
  }

  stop(): void {
    for (const child of this.#children) child.kill('SIGKILL')
  }
}
