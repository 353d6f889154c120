import type { Random } from '../sim/random.ts'
import type { Call, Operation, Output } from './history.ts'

/** What a generated history is made of. */
export interface RegisterOptions {
  readonly operations: number
  readonly clients: number
  /** Share of the writes whose outcome nobody learns. */
  readonly unknown: number
  /** Every write has a value of its own. */
  readonly unique: boolean
  readonly locks: boolean
}

/**
 * A history that a real register gave: operations take effect one after the other, each at a moment between its call and
 * its return, which lie at random around it. Linearizable by construction.
 */
export function registerHistory(random: Random, options: RegisterOptions): Operation[] {
  const register = new Register(random)
  const free = Array.from({ length: options.clients }, (_, i) => ({ name: `c${i}`, freeAt: 0 }))
  const history: Operation[] = []
  for (let i = 0; i < options.operations; i++) {
    const client = random.pick(free)
    const at = 10 * (i + 1)
    // A client asks one thing at a time; one whose last answer is later than this moment has to leave.
    if (client.freeAt >= at) continue
    const calledAt = Math.max(random.between(client.freeAt, at), at - random.exponential(25))
    const call = drawCall(random, options, register, i)
    const isUnknown = call.f !== 'get' && random.chance(options.unknown)
    const happens = !isUnknown || random.chance(0.5)
    const base = { client: client.name, node: 'n1', key: 'k', call, calledAt }
    if (!happens) {
      history.push({ ...base, returnedAt: at, outcome: 'unknown', output: null })
      client.freeAt = Number.POSITIVE_INFINITY
    } else {
      const output = register.apply(call)
      const returnedAt = at + random.exponential(25)
      if (isUnknown) history.push({ ...base, returnedAt, outcome: 'unknown', output: null })
      else history.push({ ...base, returnedAt, outcome: 'ok', output })
      client.freeAt = isUnknown ? Number.POSITIVE_INFINITY : returnedAt
    }
    if (client.freeAt === Number.POSITIVE_INFINITY) {
      client.name = `c${i}+`
      client.freeAt = at
    }
  }
  return history
}

function drawCall(random: Random, { unique, locks }: RegisterOptions, register: Register, i: number): Call {
  const value = unique ? `v${i}` : random.pick(['x', 'y', 'z'])
  const version = random.chance(0.7) ? register.version : random.below(register.index + 2)
  const session = random.pick(['s1', 's2'])
  const calls: (() => Call)[] = [
    () => ({ f: 'get' }),
    () => ({ f: 'get' }),
    () => ({ f: 'put', value }),
    () => ({ f: 'cas', value, version }),
    () => ({ f: 'delete' }),
    () => ({ f: 'delete-cas', version }),
  ]
  if (locks) {
    calls.push(
      () => ({ f: 'acquire', value, session }),
      () => ({ f: 'release', value, session }),
      () => ({ f: 'session-end', session, behavior: random.pick(['release', 'delete']) }),
    )
  }
  return random.pick(calls)()
}

/** The register itself, with concrete versions. */
class Register {
  readonly #random: Random
  index = 0
  #entry: { value: string; version: number; session: string | null; lockIndex: number } | null = null
  #deletedAt = 0

  constructor(random: Random) {
    this.#random = random
  }

  /** Version of the moment, 0 if the key is missing. */
  get version(): number {
    return this.#entry?.version ?? 0
  }

  apply(call: Call): Output {
    this.index += 1 + this.#random.below(3)
    const entry = this.#entry
    switch (call.f) {
      case 'get':
        if (entry === null) return { kind: 'absent', index: this.#deletedAt }
        return { kind: 'entry', ...entry }
      case 'put':
        this.#set(call.value, entry?.session ?? null, entry?.lockIndex ?? 0)
        return done(true)
      case 'cas':
        if (call.version !== this.version) return done(false)
        this.#set(call.value, entry?.session ?? null, entry?.lockIndex ?? 0)
        return done(true)
      case 'delete':
        this.#remove()
        return done(true)
      case 'delete-cas':
        if (entry !== null && call.version !== entry.version) return done(false)
        this.#remove()
        return done(true)
      case 'acquire': {
        const holder = entry?.session ?? null
        if (holder !== null && holder !== call.session) return done(false)
        this.#set(call.value, call.session, (entry?.lockIndex ?? 0) + (holder === null ? 1 : 0))
        return done(true)
      }
      case 'release':
        if (entry === null || entry.session !== call.session) return done(false)
        this.#set(call.value, null, entry.lockIndex)
        return done(true)
      case 'session-end':
        if (entry === null || entry.session !== call.session) return done(true)
        if (call.behavior === 'delete') this.#remove()
        else this.#set(entry.value, null, entry.lockIndex)
        return done(true)
    }
  }

  #set(value: string, session: string | null, lockIndex: number): void {
    const { index } = this
    const before = this.#entry
    if (before?.value === value && before.session === session && before.lockIndex === lockIndex) return
    this.#entry = { value, session, lockIndex, version: index }
  }

  #remove(): void {
    if (this.#entry === null) return
    this.#entry = null
    this.#deletedAt = this.index
  }
}

function done(ok: boolean): Output {
  return { kind: 'done', ok }
}

/** The history with one answer changed: a value, a version, an absence, or whether a write was done. */
export function mutate(random: Random, history: readonly Operation[]): Operation[] {
  const at = random.below(history.length)
  const values = history.flatMap(({ call }) => ('value' in call ? [call.value] : []))
  return history.map((operation, i) => {
    const { output } = operation
    if (i !== at || output === null || operation.call.f === 'session-end') return operation
    if (output.kind === 'done') return { ...operation, output: done(!output.ok) }
    if (output.kind === 'absent' || random.chance(0.2)) {
      const value = values.length === 0 ? 'nobody' : random.pick(values)
      const version = random.below(20)
      const kind = output.kind === 'absent' ? 'entry' : 'absent'
      const other: Output = kind === 'entry' ? { kind, value, version } : { kind, index: version }
      return { ...operation, output: other }
    }
    const change = random.chance(0.5)
      ? { value: values.length === 0 ? 'nobody' : random.pick(values) }
      : { version: Math.max(1, output.version + random.pick([-2, -1, 1, 2])) }
    return { ...operation, output: { ...output, ...change } }
  })
}
