import type { CliIo } from '../io.ts'
import { type CommandInput, CommandRunner } from './command-runner.ts'
import { untilSignal } from './until-signal.ts'

/** What a watch does with what it sees. */
export interface WatchingOptions {
  /** Program and arguments; empty = there is none. */
  readonly command: readonly string[]
  /** What the command is to be told now; null if nothing. */
  readonly next: () => CommandInput | null
  readonly note: (line: string) => void
  readonly io: CliIo
}

/**
 * Follows something until a signal, with a runner for the command if there is one.
 * @throws CliError what `follow` throws, or that the command cannot be run.
 */
export async function watching(
  { command, next, note, io }: WatchingOptions,
  follow: (runner: CommandRunner | null, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  let failure: Error | null = null
  await untilSignal(async (stop) => {
    const onFailure = (error: Error): void => {
      failure = error
      stop.abort()
    }
    const runner =
      command.length === 0 ? null : new CommandRunner({ command, env: io.env, next, note, onFailure })
    try {
      await follow(runner, stop.signal)
    } finally {
      await runner?.stop()
    }
  })
  if (failure !== null) throw failure
}
