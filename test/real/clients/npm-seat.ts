import type { Test } from 'tap'
import type { AgentProcess } from '../agent-process.ts'
import type { Cluster } from '../cluster.ts'
import type { NpmConsul, NpmError } from './npm-consul.ts'

/** What this client makes of the answer `false`. */
export const REFUSED = undefined
/** An id that no session has. */
export const UNKNOWN = '00000000-0000-4000-8000-000000000000'

/** The client of one agent. */
export interface Seat {
  readonly consul: NpmConsul
  readonly agent: AgentProcess
  readonly cluster: Cluster
  /** Where its keys are, so that those of one seat do not meet another's. */
  readonly folder: string
}

/** Asserts that the promise is rejected with a status and a text. */
export async function rejects(
  t: Test,
  promise: Promise<unknown>,
  expected: { readonly statusCode: number; readonly message?: RegExp; readonly body?: unknown },
): Promise<void> {
  const error = await promise.then(
    () => null,
    (failure: NpmError) => failure,
  )
  const { statusCode, message, response } = error ?? { message: 'it was not rejected' }
  t.match({ statusCode, message, body: response?.body }, expected, message)
}
