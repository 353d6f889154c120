import type { ApiClient } from '../api-client.ts'
import type { CliIo } from '../io.ts'
import { poll } from './poll.ts'
import type { WatchQuery } from './queries.ts'
import { watching } from './watching.ts'

/** What a watch works with. */
export interface WatchQueryCollaborators {
  readonly api: ApiClient
  readonly io: CliIo
}

/**
 * Follows a query until a signal: prints each news as a line of JSON, or runs a command with it on standard input, and with
 * the index in CONSUL_INDEX, as handlers of `consul watch` find it.
 * @throws CliError when the query is refused, nothing answers at first, or the command cannot be run.
 */
export async function watchWith(
  query: WatchQuery,
  command: readonly string[],
  { api, io }: WatchQueryCollaborators,
): Promise<void> {
  const note = (line: string): void => void io.stderr.write(`${line}\n`)
  let lastIndex = ''
  const take = (): string | null => {
    const value = query.news.take()
    return value === undefined ? null : `${JSON.stringify(value)}\n`
  }
  const next = () => {
    const input = take()
    return input === null ? null : { input, env: { CONSUL_INDEX: lastIndex } }
  }
  await watching({ command, next, note, io }, (runner, signal) => {
    const answer = (value: unknown, index: string): void => {
      query.news.add(value)
      lastIndex = index
      if (runner === null) io.stdout.write(take() ?? '')
      else runner.poke()
    }
    return poll(api, query, { answer, note }, signal)
  })
}
