import { setTimeout as delay } from 'node:timers/promises'
import { runsMs } from '../held-up.ts'

/** How often and how long `until` asks. Milliseconds, without those in which this process was held up. */
export interface UntilOptions {
  readonly timeoutMs?: number
  readonly intervalMs?: number
  /** What to show when the time is up. */
  readonly state?: () => unknown
}

/**
 * Asks until the answer is neither undefined, null nor false, and answers it. A question that throws counts as not yet.
 * @throws Error with `what`, the time, the last failure and the state when the time is up.
 */
export async function until<T>(
  what: string,
  ask: () => T | Promise<T>,
  options: UntilOptions = {},
): Promise<Exclude<T, undefined | null | false>> {
  const { timeoutMs = 30_000, intervalMs = 50 } = options
  const deadline = runsMs() + timeoutMs
  let failure: unknown
  for (;;) {
    try {
      const answer = await ask()
      failure = undefined
      if (answer !== undefined && answer !== null && answer !== false) {
        return answer as Exclude<T, undefined | null | false>
      }
    } catch (error) {
      failure = error
    }
    if (runsMs() >= deadline) {
      const state = options.state === undefined ? '' : `; state: ${JSON.stringify(await options.state())}`
      const reason = failure === undefined ? '' : `; last failure: ${(failure as Error).message}`
      throw new Error(`${what}: not within ${timeoutMs} ms${reason}${state}`)
    }
    await delay(intervalMs)
  }
}
