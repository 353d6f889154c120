import type { AgentProcess } from '../agent-process.ts'
import type { Cluster } from '../cluster.ts'
import type { Finished } from '../command.ts'

/** Longest time for one client on a machine that does much else. Milliseconds. */
export const CLIENT_MS_MAX = 60_000

/** What an id of a session looks like. */
export const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

/** A cluster, and whom a client may ask. */
export interface Roles {
  readonly cluster: Cluster
  readonly leader: AgentProcess
  readonly follower: AgentProcess
}

/** What a script printed. @throws Error with its complaint if it failed. */
export function printed<T>(finished: Finished): T {
  if (finished.code !== 0) {
    throw new Error(`exit code ${finished.code}: ${finished.err.slice(-1000)}${finished.out.slice(-2000)}`)
  }
  return JSON.parse(finished.out) as T
}
