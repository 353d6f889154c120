import { isRead, type Operation } from './history.ts'
import { type KeyState, NEVER_WRITTEN, step, UNSEEN } from './key-model.ts'

/** Bounds of one search. */
export interface CheckLimits {
  /** Configurations kept at most. */
  readonly visitedMax?: number
  readonly ms?: number
  /** What the key was before the first operation; by default it did not exist. */
  readonly start?: KeyState
}

/** How far an order could be found; what a report is made of. */
export interface Attempt {
  /** The longest order that was found, from the first operation on. */
  readonly order: readonly Operation[]
  /** What the key was after it. */
  readonly state: KeyState
  /** Operations of which one had to come next and none could. */
  readonly stuck: readonly Operation[]
}

/** `undecided`: the limits were reached first. Nobody may take that for a pass. */
export interface CheckResult {
  readonly verdict: 'linearizable' | 'violation' | 'undecided'
  readonly visited: number
  /** Null if linearizable. */
  readonly attempt: Attempt | null
}

const VISITED_MAX = 300_000
const CHECK_MS = 10_000
const CLOCK_EVERY = 256

/** One point of the search: what may come next and how to go back. */
interface Frame {
  readonly state: KeyState
  readonly candidates: readonly Candidate[]
  next: number
  /** What to take back when this point is given up: required operations taken on the way to it, and an optional one. */
  readonly taken: readonly number[]
  readonly used: bigint
}

interface Candidate {
  /** Index among the required or the optional operations. */
  readonly index: number
  readonly isOptional: boolean
  readonly state: KeyState
  /** A read or a refusal: it has no effect, wherever it comes. */
  readonly neverChanges: boolean
}

/** A configuration that was seen: which optional operations had happened, and the least version possible. */
interface Seen {
  readonly used: bigint
  readonly atLeast: number
}

/**
 * Looks for an order of the operations of one key that a single register could have answered, in which everything that
 * returned before another was called comes before it. The search is Wing and Gong's with Lowe's memory of configurations.
 * Operations of unknown outcome may take part anywhere after their call or not at all. What had to be looked at is kept
 * small by three facts: a read, or a refusal, that is possible now may always come now, because it changes nothing
 * wherever it comes; an operation of unknown outcome that changes nothing need not come, and of several that differ in
 * nothing the first does for all; and a configuration is no better than one seen before that used fewer of those
 * operations for the same state.
 */
export function checkKey(history: readonly Operation[], limits: CheckLimits = {}): CheckResult {
  return new Search(history, limits).run()
}

class Search {
  /** Operations as they are searched with, and as they were. */
  readonly #original: ReadonlyMap<Operation, Operation>
  readonly #required: readonly Operation[]
  readonly #optional: readonly Operation[]
  /** Optional operations of one kind are interchangeable. */
  readonly #kinds: readonly string[]
  readonly #done: boolean[]
  readonly #visitedMax: number
  readonly #deadline: number
  readonly #start: KeyState
  readonly #seen = new Map<string, Seen[]>()
  #visited = 0
  #firstOpen = 0
  #doneCount = 0
  readonly #order: Operation[] = []
  #bestCount = -1
  #best: Attempt | null = null

  constructor(history: readonly Operation[], limits: CheckLimits) {
    this.#start = limits.start ?? NEVER_WRITTEN
    this.#original = withoutUnseen(history, this.#start.value)
    const sorted = [...this.#original.keys()].sort((a, b) => a.calledAt - b.calledAt)
    this.#required = sorted.filter(({ outcome }) => outcome === 'ok')
    this.#optional = sorted.filter(({ outcome, call }) => outcome === 'unknown' && !isRead(call))
    this.#kinds = this.#optional.map(({ call }) => JSON.stringify(call))
    this.#done = this.#required.map(() => false)
    this.#visitedMax = limits.visitedMax ?? VISITED_MAX
    this.#deadline = performance.now() + (limits.ms ?? CHECK_MS)
  }

  run(): CheckResult {
    const first = this.#enter(this.#start, 0n, null)
    if (first === null || this.#isComplete) return this.#result('linearizable')
    const stack: Frame[] = [first]
    for (;;) {
      const frame = stack.at(-1)
      if (frame === undefined) return this.#result('violation')
      const candidate = frame.candidates[frame.next++]
      if (candidate === undefined) {
        stack.pop()
        this.#leave(frame)
        continue
      }
      const used = candidate.isOptional ? frame.used | (1n << BigInt(candidate.index)) : frame.used
      const entered = this.#enter(candidate.state, used, candidate)
      if (this.#isComplete) return this.#result('linearizable')
      if (this.#isOverLimit()) return this.#result('undecided')
      if (entered !== null) stack.push(entered)
    }
  }

  get #isComplete(): boolean {
    return this.#doneCount === this.#required.length
  }

  #isOverLimit(): boolean {
    if (this.#visited >= this.#visitedMax) return true
    return this.#visited % CLOCK_EVERY === 0 && performance.now() > this.#deadline
  }

  #result(verdict: CheckResult['verdict']): CheckResult {
    return { verdict, visited: this.#visited, attempt: verdict === 'linearizable' ? null : this.#best }
  }

  /** Takes `by`, then every read and refusal that is possible. Null, with all of it taken back, if that was seen before. */
  #enter(state: KeyState, used: bigint, by: Candidate | null): Frame | null {
    const taken: number[] = []
    if (by !== null) {
      const operation = by.isOptional ? this.#optional[by.index] : this.#required[by.index]
      if (operation !== undefined) this.#order.push(operation)
      if (by.isOptional) taken.push(-1)
      else this.#take(by.index, taken)
    }
    let candidates = this.#candidates(state, used)
    for (;;) {
      const free = candidates.filter((candidate) => candidate.state === state && candidate.neverChanges)
      if (free.length === 0) break
      for (const { index } of free) {
        const operation = this.#required[index]
        if (operation !== undefined) this.#order.push(operation)
        this.#take(index, taken)
      }
      candidates = this.#candidates(state, used)
    }
    const frame: Frame = { state, candidates, next: 0, taken, used }
    if (this.#isComplete) return frame
    if (!this.#isNew(state, used)) {
      this.#leave(frame)
      return null
    }
    if (this.#doneCount > this.#bestCount) this.#rememberBest(state)
    return frame
  }

  #take(index: number, taken: number[]): void {
    this.#done[index] = true
    this.#doneCount++
    taken.push(index)
    while (this.#done[this.#firstOpen] === true) this.#firstOpen++
  }

  #leave({ taken }: Frame): void {
    for (const index of taken) {
      this.#order.pop()
      if (index < 0) continue
      this.#done[index] = false
      this.#doneCount--
      this.#firstOpen = Math.min(this.#firstOpen, index)
    }
  }

  #rememberBest(state: KeyState): void {
    this.#bestCount = this.#doneCount
    const { open } = this.#open()
    const original = (operation: Operation) => this.#original.get(operation) ?? operation
    const stuck = open.flatMap((index) => this.#required[index] ?? []).map(original)
    this.#best = { order: this.#order.map(original), state, stuck }
  }

  /** Required operations that may come next: called before any other that is not yet in the order returned. */
  #open(): { readonly open: number[]; readonly horizon: number } {
    let horizon = Number.POSITIVE_INFINITY
    const open: number[] = []
    for (let index = this.#firstOpen; index < this.#required.length; index++) {
      const operation = this.#required[index]
      if (operation === undefined || operation.calledAt > horizon) break
      if (this.#done[index] === true) continue
      open.push(index)
      horizon = Math.min(horizon, operation.returnedAt)
    }
    return { open: open.filter((index) => (this.#required[index]?.calledAt ?? 0) <= horizon), horizon }
  }

  /** What may come next and is possible in `state`: required ones by their return, then optional ones that change it. */
  #candidates(state: KeyState, used: bigint): Candidate[] {
    const { open, horizon } = this.#open()
    open.sort((a, b) => (this.#required[a]?.returnedAt ?? 0) - (this.#required[b]?.returnedAt ?? 0))
    const candidates: Candidate[] = []
    for (const index of open) {
      const operation = this.#required[index]
      if (operation === undefined || operation.output === null) continue
      const next = step(state, operation.call, operation.output)
      const neverChanges = operation.output.kind !== 'done' || !operation.output.ok
      if (next !== null) candidates.push({ index, isOptional: false, state: next, neverChanges })
    }
    const kinds = new Set<string>()
    for (const [index, { call, calledAt }] of this.#optional.entries()) {
      if (calledAt > horizon) break
      if ((used >> BigInt(index)) & 1n) continue
      const kind = this.#kinds[index] ?? ''
      if (kinds.has(kind)) continue
      kinds.add(kind)
      const next = step(state, call, { kind: 'done', ok: true })
      if (next !== null && next !== state)
        candidates.push({ index, isOptional: true, state: next, neverChanges: false })
    }
    return candidates
  }

  #isNew(state: KeyState, used: bigint): boolean {
    const beyond: number[] = []
    let count = this.#firstOpen
    for (let index = this.#firstOpen; count < this.#doneCount; index++) {
      if (this.#done[index] !== true) continue
      beyond.push(index)
      count++
    }
    const { value, version, not, created, lockIndex, session } = state
    const key = `${this.#firstOpen} ${beyond.join()} ${version} ${not.join()} ${created} ${lockIndex} ${session}\n${value}`
    const before = this.#seen.get(key)
    if (before === undefined) {
      this.#seen.set(key, [{ used, atLeast: state.atLeast }])
      this.#visited++
      return true
    }
    if (before.some((seen) => seen.atLeast <= state.atLeast && (seen.used & ~used) === 0n)) return false
    before.push({ used, atLeast: state.atLeast })
    this.#visited++
    return true
  }
}

/**
 * Gives all values that were written once and never read the same name, so that operations that differ in nothing else
 * are alike.
 */
function withoutUnseen(history: readonly Operation[], start: string | null): Map<Operation, Operation> {
  const writes = new Map<string, number>()
  const seen = new Set<string>(start === null ? [] : [start])
  for (const { call, output, outcome } of history) {
    if (outcome === 'failed') continue
    if ('value' in call) writes.set(call.value, (writes.get(call.value) ?? 0) + 1)
    if (output?.kind === 'entry') seen.add(output.value)
  }
  const renamed = new Map<Operation, Operation>()
  for (const operation of history) {
    const { call } = operation
    const isUnseen = 'value' in call && !seen.has(call.value) && writes.get(call.value) === 1
    renamed.set(isUnseen ? { ...operation, call: { ...call, value: UNSEEN } } : operation, operation)
  }
  return renamed
}
