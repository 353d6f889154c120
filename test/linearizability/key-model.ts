import type { Call, Output } from './history.ts'

/**
 * What is known about one key between two operations. Writes answer no version, so a version is a number or a bound:
 * one state stands for every concrete one that fits. The same object comes back from `step` if nothing changed.
 */
export interface KeyState {
  /** Null: the key does not exist. */
  readonly value: string | null
  /** ModifyIndex, once somebody has seen it. */
  readonly version: number | null
  /** The version, or of a missing key the index of its deletion, is not less than this. */
  readonly atLeast: number
  /** Versions it cannot have, because a comparison with them failed; all greater than `atLeast`. */
  readonly not: readonly number[]
  /** CreateIndex, once somebody has seen it. */
  readonly created: number | null
  readonly lockIndex: number
  readonly session: string | null
}

/** A value that differs from every other, also from itself written again; what a history never reads may be called so. */
export const UNSEEN = '\u0000unseen'

/** A key nobody has ever written. */
export const NEVER_WRITTEN: KeyState = {
  value: null,
  version: null,
  atLeast: 0,
  not: [],
  created: null,
  lockIndex: 0,
  session: null,
}

/** The state after `call` was answered with `output`; null if it cannot have been in this state. */
export function step(state: KeyState, call: Call, output: Output): KeyState | null {
  if (call.f === 'get') return output.kind === 'done' ? null : read(state, output)
  if (output.kind !== 'done') return null
  const { ok } = output
  switch (call.f) {
    case 'put':
      return ok ? write(state, call.value, state.session, state.lockIndex) : null
    case 'cas':
      return ok ? compareAndSet(state, call.value, call.version) : compareFailed(state, call.version)
    case 'delete':
      return ok ? remove(state) : null
    case 'delete-cas':
      if (state.value === null) return ok ? state : null
      if (!ok) return exclude(state, call.version)
      return mapState(bind(state, call.version), remove)
    case 'acquire':
      return acquire(state, call, ok)
    case 'release': {
      const holds = state.value !== null && state.session === call.session
      if (!ok) return holds ? null : state
      return holds ? write(state, call.value, null, state.lockIndex) : null
    }
    case 'session-end':
      if (!ok) return null
      if (state.value === null || state.session !== call.session) return state
      return call.behavior === 'delete' ? remove(state) : write(state, state.value, null, state.lockIndex)
  }
}

function mapState(state: KeyState | null, next: (state: KeyState) => KeyState): KeyState | null {
  return state === null ? null : next(state)
}

function read(state: KeyState, output: Exclude<Output, { kind: 'done' }>): KeyState | null {
  if (output.kind === 'absent') {
    const { index } = output
    if (state.value !== null) return null
    if (index === undefined || index === state.atLeast) return state
    // Whatever comes after this read has a greater index than any the read could have seen.
    return index > state.atLeast ? { ...state, atLeast: index } : null
  }
  if (state.value !== output.value) return null
  if (output.lockIndex !== undefined && output.lockIndex !== state.lockIndex) return null
  if (output.session !== undefined && output.session !== state.session) return null
  const bound = bind(state, output.version)
  const { created } = output
  if (bound === null || created === undefined || created === bound.created) return bound
  return bound.created === null && created <= output.version ? { ...bound, created } : null
}

/** The version is this one. */
function bind(state: KeyState, version: number): KeyState | null {
  if (state.version === version) return state
  if (state.version !== null || version < state.atLeast || state.not.includes(version)) return null
  return { ...state, version, atLeast: version, not: [] }
}

/** The version is not this one. */
function exclude(state: KeyState, version: number): KeyState | null {
  if (state.version === version) return null
  if (state.version !== null || version < state.atLeast || state.not.includes(version)) return state
  let { atLeast } = state
  const not = new Set([...state.not, version])
  while (not.delete(atLeast)) atLeast++
  return { ...state, atLeast, not: [...not].sort((a, b) => a - b) }
}

function write(state: KeyState, value: string, session: string | null, lockIndex: number): KeyState {
  // A write that changes nothing keeps the version.
  const isSame = value !== UNSEEN && state.value === value
  if (isSame && state.session === session && state.lockIndex === lockIndex) return state
  const created = state.value === null ? null : state.created
  return { value, session, lockIndex, created, version: null, atLeast: state.atLeast + 1, not: [] }
}

function remove(state: KeyState): KeyState {
  return state.value === null ? state : { ...NEVER_WRITTEN, atLeast: state.atLeast + 1 }
}

function compareAndSet(state: KeyState, value: string, version: number): KeyState | null {
  if (version === 0) return state.value === null ? write(state, value, null, 0) : null
  if (state.value === null) return null
  return mapState(bind(state, version), (bound) => write(bound, value, bound.session, bound.lockIndex))
}

function compareFailed(state: KeyState, version: number): KeyState | null {
  if (version === 0) return state.value === null ? null : state
  return state.value === null ? state : exclude(state, version)
}

function acquire(state: KeyState, call: Extract<Call, { f: 'acquire' }>, ok: boolean): KeyState | null {
  const holds = state.session === call.session
  const isFree = state.session === null
  if (!ok) return isFree ? (call.mayBeDelayed === true ? state : null) : holds ? null : state
  if (!isFree && !holds) return null
  return write(state, call.value, call.session, state.lockIndex + (holds ? 0 : 1))
}
