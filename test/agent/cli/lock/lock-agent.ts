import type { Test } from 'tap'
import { CONFIG, type Harness, harness, listen } from '../../http/harness.ts'

/** Key of the lock that `lock` takes. */
export const KEY = 'jobs/backup/.lock'

/** An agent on the real state machine that takes TTLs of 1 s. Nothing in it expires by itself. */
export async function agent(
  t: Test,
): Promise<Harness & { readonly at: readonly string[]; readonly port: number }> {
  const made = harness({}, { config: { ...CONFIG, sessions: { ttlMinMs: 1000, ttlFactor: 1 } } })
  const port = await listen(made.app)
  // Connections of commands under way would hold the close up.
  t.teardown(() => {
    made.app.server.closeAllConnections()
    return made.app.close()
  })
  return { ...made, port, at: ['--http-addr', `127.0.0.1:${port}`] }
}

/** The key as the store has it. */
export const entryOf = ({ consensus }: Harness) => consensus.state.kvGet(KEY)
/** The arguments of a `lock` of this agent. */
export const lock = (at: readonly string[], ...rest: readonly string[]) => [
  'lock',
  ...at,
  'jobs/backup',
  ...rest,
]
