/** A container of a service of which one copy runs in the cluster. */
export interface Candidate {
  readonly id: string
  readonly name: string
  /** `up`: the engine has it running, paused or about to run. `down`: it can be started. `gone`: neither. */
  readonly state: 'up' | 'down' | 'gone'
  /** Why the one that runs had better run elsewhere; null if nothing is wrong with it. */
  readonly sick: string | null
}

/** Everything that decides what one host does about one service. */
export interface RunOnceSituation {
  /** Those of this host, by name. */
  readonly candidates: readonly Candidate[]
  /** The engine can be seen and asked. */
  readonly engineUp: boolean
  /** This host may act as the holder of the lease now. */
  readonly holds: boolean
  /** Name of the node that holds it as far as is known. */
  readonly holder: string | null
  /** The agent has started just now and does not know yet whether the lease is its own. */
  readonly isNew: boolean
  /** This host is to run it if it can: it is neither drained, nor cordoned while another could run it. */
  readonly mayKeep: boolean
  /** Another host could run it. */
  readonly othersCan: boolean
  /** The agent ends. */
  readonly leaving: boolean
  /**
   * Why the copy could not be started, or had to be stopped; null if that was not tried since the lease is held, or went well. A
   * candidate that is up all the same has to be stopped.
   */
  readonly failure: string | null
  /** A copy has been running here since the lease is held. */
  readonly hasRun: boolean
  /** Since when none runs here; milliseconds. */
  readonly downForMs: number
  /** This host stands back for so long after its copy failed; milliseconds. */
  readonly restsForMs: number
}

/** What is to be done now, one thing at a time. */
export type RunOnceStep =
  | { readonly kind: 'none' }
  | { readonly kind: 'start'; readonly id: string }
  /** `fenced`: the lease is not held, so there is only so much time. `failed`: it is to run elsewhere, as something is wrong with it. */
  | { readonly kind: 'stop'; readonly id: string; readonly fenced: boolean; readonly failed: boolean }
  /** `failed`: this host stands back for a while. */
  | { readonly kind: 'release'; readonly failed: boolean }

/** What follows from a situation. */
export interface RunOnceDecision {
  readonly step: RunOnceStep
  /** Whether this host says that it could run the service. */
  readonly claims: boolean
  /** What is so and why, in words. */
  readonly note: string
  /** When to look again if nothing happens; null = not of itself. Milliseconds. */
  readonly againInMs: number | null
}

/** A container that is made anew or started again within this time has not failed. */
export const DOWN_MS = 5_000

/**
 * What a host does about one service of which one copy runs in the cluster. Pure. Only the holder of the lease starts its copy, it
 * gives the lease back only when no copy runs here, and what runs here without the lease is stopped.
 */
export function decideRunOnce(situation: RunOnceSituation): RunOnceDecision {
  const { candidates, engineUp, holds, holder, leaving, restsForMs } = situation
  const up = candidates.filter(({ state }) => state === 'up')
  const canRun = candidates.some(({ state }) => state !== 'gone')
  if (!engineUp) {
    const note = holds ? 'the engine is away: the lease is kept' : 'the engine is away'
    return decision({ kind: 'none' }, holds, note)
  }
  if (holds) return held(situation, up)
  const claims = canRun && !leaving && restsForMs <= 0
  const [first] = up
  if (first !== undefined) {
    if (situation.isNew) return decision({ kind: 'none' }, claims, 'it is not known yet who may run it')
    const why = leaving
      ? 'the agent ends'
      : holder === null
        ? 'nobody is known to hold the lease'
        : `${holder} holds the lease`
    return decision({ kind: 'stop', id: first.id, fenced: true, failed: false }, claims, `stopped, as ${why}`)
  }
  if (restsForMs > 0 && canRun) {
    const note = 'it failed here: left to other hosts for a while'
    return decision({ kind: 'none' }, false, note, restsForMs)
  }
  const note = holder === null ? 'stands by: nobody holds the lease' : `stands by: ${holder} holds the lease`
  return decision({ kind: 'none' }, claims, note)
}

function held(situation: RunOnceSituation, up: readonly Candidate[]): RunOnceDecision {
  const { candidates, mayKeep, othersCan, leaving, failure, hasRun, downForMs } = situation
  const [first, second] = up
  const stop = ({ id }: Candidate, note: string, failed = false) =>
    decision({ kind: 'stop', id, fenced: false, failed }, !leaving, note)
  const release = (failed: boolean, note: string) =>
    decision({ kind: 'release', failed }, !failed && !leaving, note)
  if (leaving || !mayKeep) {
    const why = leaving ? 'the agent ends' : 'this node is cordoned or drained'
    return first === undefined ? release(false, `given up, as ${why}`) : stop(first, `stopped, as ${why}`)
  }
  if (second !== undefined) return stop(second, 'stopped, as another container of this host runs')
  if (first !== undefined) {
    // Whether it was started is not known: the engine may start it yet, so it is stopped before another host has its turn.
    if (failure !== null) return stop(first, failure, true)
    const { sick } = first
    if (sick === null) return decision({ kind: 'none' }, true, 'this node holds the lease')
    if (!othersCan) return decision({ kind: 'none' }, true, `${sick}; no other host could run it`)
    return stop(first, `stopped, as ${sick}`, true)
  }
  if (failure !== null) return release(true, failure)
  if (hasRun) {
    const leftMs = DOWN_MS - downForMs
    if (leftMs > 0) return decision({ kind: 'none' }, true, 'it has ended, and may come back', leftMs)
    return release(true, 'it has ended')
  }
  const next = candidates.find(({ state }) => state === 'down')
  if (next === undefined) return release(false, 'there is no container that could be started')
  return decision({ kind: 'start', id: next.id }, true, 'started, as this node holds the lease')
}

function decision(
  step: RunOnceStep,
  claims: boolean,
  note: string,
  againInMs: number | null = null,
): RunOnceDecision {
  return { step, claims, note, againInMs }
}
