import { type Attempt, type CheckResult, checkKey } from './check.ts'
import { byKey, type Call, isRead, type Operation, type Output } from './history.ts'
import { type KeyState, NEVER_WRITTEN, UNSEEN } from './key-model.ts'

/** A key whose history is wrong or could not be judged. */
export interface Finding {
  readonly key: string
  readonly result: CheckResult
  /** What to show to people. */
  readonly text: string
}

/** How long a history is made smaller before it is shown. Milliseconds. */
const SHRINK_MS = 10_000
const SHRINK_LIMITS = { visitedMax: 20_000, ms: 1000 }
const SHOWN_OPERATIONS_MAX = 60

/** Checks every key of a history. Empty: all are linearizable. */
export function checkHistory(history: readonly Operation[]): Finding[] {
  const findings: Finding[] = []
  for (const [key, operations] of byKey(history)) {
    const finding = checkAndReport(key, operations)
    if (finding !== null) findings.push(finding)
  }
  return findings
}

/** Checks the operations of one key. Null: they are linearizable. */
export function checkAndReport(key: string, operations: readonly Operation[]): Finding | null {
  const result = checkKey(operations)
  if (result.verdict === 'linearizable') return null
  if (result.verdict === 'undecided') {
    const text = `key ${key}: undecided after ${result.visited} configurations of ${operations.length} operations`
    return { key, result, text: `${text}\n${attemptText(result.attempt, operations)}` }
  }
  const { start, read, operations: small } = shrink(operations)
  const shown = checkKey(small, { start })
  const lines = [
    `key ${key}: not linearizable; ${small.length} of its ${operations.length} operations show it:`,
    ...(read === null
      ? []
      : [`  the key was ${stateText(start)}, as this read says:`, operationText(read, firstCall(small))]),
    ...originsText(small, operations),
    timeline(small),
    attemptText(shown.attempt, small),
  ]
  return { key, result, text: lines.join('\n') }
}

/** The writes, left out of the part, of the values that it reads. */
function originsText(part: readonly Operation[], history: readonly Operation[]): string[] {
  const kept = new Set(part.map(({ client, calledAt }) => `${client} ${calledAt}`))
  const seen = new Set(part.flatMap(({ output }) => (output?.kind === 'entry' ? [output.value] : [])))
  const origins = history.filter(
    ({ call, client, calledAt }) =>
      'value' in call && seen.has(call.value) && !kept.has(`${client} ${calledAt}`),
  )
  if (origins.length === 0) return []
  const first = firstCall(part)
  return ['  written before:', ...origins.map((operation) => operationText(operation, first))]
}

/** A part of a history, and what the key was before it. */
export interface Part {
  readonly start: KeyState
  /** The read that said so; null: the key did not exist. */
  readonly read: Operation | null
  readonly operations: readonly Operation[]
}

/**
 * A part of a wrong history that is wrong as well: it ends as early and begins as late as possible, and what does not
 * matter is left out. A write stays if anything left has seen its effect, so that the part does not accuse reads of
 * inventing values.
 */
export function shrink(history: readonly Operation[]): Part {
  const deadline = performance.now() + SHRINK_MS
  const isWrong: Judge = ({ start, operations }) =>
    checkKey(operations, { ...SHRINK_LIMITS, start }).verdict === 'violation'
  const early = shortestPrefix(history, isWrong)
  const { start, read, operations } = latestStart(early, isWrong, deadline)
  const values = new Map(
    history.flatMap(({ output }) =>
      output?.kind === 'entry' ? [[output.version, output.value] as const] : [],
    ),
  )
  let kept = operations
  for (let size = Math.max(1, kept.length >> 1); size >= 1; size >>= 1) {
    for (let first = 0; first < kept.length && performance.now() < deadline; ) {
      const chunk = new Set(kept.slice(first, first + size))
      const rest = kept.filter((operation) => !chunk.has(operation))
      const isFair = [...chunk].every((operation) => mayGo(operation, rest, values))
      if (isFair && isWrong({ start, operations: rest })) kept = rest
      else first += size
    }
  }
  return { start, read, operations: kept }
}

type Judge = (part: Omit<Part, 'read'>) => boolean

/**
 * Begins at a read. It says what the key was at one moment; whatever had returned before it has no say any more, and
 * whatever was under way may have happened before that moment or after it, so that its outcome counts as unknown.
 */
function latestStart(operations: readonly Operation[], isWrong: Judge, deadline: number): Part {
  for (const read of operations.toReversed()) {
    if (performance.now() > deadline) break
    const { output } = read
    if (output?.kind !== 'entry') continue
    const { value, version, lockIndex = 0, session = null } = output
    const start: KeyState = {
      ...NEVER_WRITTEN,
      ...{ value, version, atLeast: version, lockIndex, session },
    }
    const rest = operations.flatMap((operation) => {
      if (operation === read) return []
      if (operation.outcome === 'unknown' || operation.calledAt > read.returnedAt) return [operation]
      return operation.returnedAt < read.calledAt ? [] : undecided(operation)
    })
    const part = { start, read, operations: rest }
    if (isWrong(part)) return part
  }
  return { start: NEVER_WRITTEN, read: null, operations }
}

/** A prefix of a linearizable history is linearizable, so the shortest wrong one is found by halving. */
function shortestPrefix(operations: readonly Operation[], isWrong: Judge): Operation[] {
  const ends = operations
    .filter(({ outcome }) => outcome === 'ok')
    .map(({ returnedAt }) => returnedAt)
    .sort((a, b) => a - b)
  let [low, high] = [0, ends.length - 1]
  while (low < high) {
    const middle = (low + high) >> 1
    if (isWrong({ start: NEVER_WRITTEN, operations: prefix(operations, ends[middle] ?? 0) })) high = middle
    else low = middle + 1
  }
  const shortest = prefix(operations, ends[low] ?? 0)
  return isWrong({ start: NEVER_WRITTEN, operations: shortest }) ? shortest : [...operations]
}

/** What was known at `time`: what had not returned by then has an unknown outcome. */
function prefix(operations: readonly Operation[], time: number): Operation[] {
  return operations
    .filter(({ calledAt, outcome }) => calledAt <= time && outcome !== 'failed')
    .flatMap((operation) => {
      if (operation.outcome === 'ok' && operation.returnedAt <= time) return [operation]
      return undecided(operation)
    })
}

/** The same with an unknown outcome: nothing for a read. */
function undecided(operation: Operation): Operation[] {
  return isRead(operation.call) ? [] : [{ ...operation, outcome: 'unknown', output: null }]
}

/** True if nothing in `rest` shows that this happened. `values` tells which value had a version. */
function mayGo(
  { call, output }: Operation,
  rest: readonly Operation[],
  values: ReadonlyMap<number, string>,
): boolean {
  if (isRead(call) || (output?.kind === 'done' && !output.ok)) return true
  const shows = (other: Operation): boolean => {
    const seen = other.output
    if ('value' in call) {
      if (seen?.kind === 'entry') return seen.value === call.value
      return compared(other) > 0 && (values.get(compared(other)) ?? call.value) === call.value
    }
    return seen?.kind === 'absent' || compared(other) === 0
  }
  return !rest.some(shows)
}

/** The version a comparison succeeded with; -1 if there was none. */
function compared({ call, output }: Operation): number {
  if (call.f !== 'cas' && call.f !== 'delete-cas') return -1
  return output?.kind === 'done' && output.ok ? call.version : -1
}

/** One line for each operation, in the order of the calls, with the time since the first. */
export function timeline(operations: readonly Operation[]): string {
  const sorted = operations.toSorted((a, b) => a.calledAt - b.calledAt)
  const first = sorted[0]?.calledAt ?? 0
  const shown = sorted.slice(-SHOWN_OPERATIONS_MAX)
  const left = sorted.length - shown.length
  const lines = shown.map((operation) => operationText(operation, first))
  return [...(left > 0 ? [`  (${left} earlier operations)`] : []), ...lines].join('\n')
}

function firstCall(operations: readonly Operation[]): number {
  return Math.min(...operations.map(({ calledAt }) => calledAt))
}

function operationText(operation: Operation, first: number): string {
  const { client, node, call, calledAt, returnedAt, outcome, output, note } = operation
  const time = (at: number) => (Number.isFinite(at) ? (at - first).toFixed(1) : '…').padStart(9)
  const who = `${client}@${node}`.padEnd(12)
  const answer = outcome === 'ok' ? outputText(output) : `${outcome}${note === undefined ? '' : ` (${note})`}`
  const end = outcome === 'unknown' ? Number.POSITIVE_INFINITY : returnedAt
  return `  ${time(calledAt)} – ${time(end)} ms  ${who} ${callText(call)} → ${answer}`
}

function callText(call: Call): string {
  const { f, ...rest } = call
  const words = Object.entries(rest).map(([name, value]) => `${name}=${value}`)
  return [f, ...words].join(' ')
}

function outputText(output: Output | null): string {
  if (output === null) return 'nothing'
  if (output.kind === 'done') return String(output.ok)
  if (output.kind === 'absent')
    return output.index === undefined ? 'absent' : `absent at index ${output.index}`
  const lock = output.session == null ? '' : ` held by ${output.session}, lock ${output.lockIndex}`
  return `${output.value} version ${output.version}${lock}`
}

function attemptText(attempt: Attempt | null, operations: readonly Operation[]): string {
  if (attempt === null) return ''
  const { order, state, stuck } = attempt
  const first = firstCall(operations)
  return [
    `  ${order.length} operations have a possible order; after them the key is ${stateText(state)}, and none of these fits next:`,
    ...stuck.slice(0, 8).map((operation) => operationText(operation, first)),
  ].join('\n')
}

function stateText({ value, version, atLeast, session }: KeyState): string {
  const index = version ?? `${atLeast} or more`
  if (value === null) return `absent since ${index}`
  const held = session === null ? '' : `, held by ${session}`
  return `${value === UNSEEN ? 'a value that nobody read' : value}, version ${index}${held}`
}
