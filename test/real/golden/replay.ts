import type { Test } from 'tap'
import { until } from '../until.ts'
import { exchange, type Incoming } from './exchange.ts'
import { fill, includes, match, type Variables } from './pattern.ts'
import type { Expectation, Section } from './transcript.ts'

/** Clients allow a blocking query this share of `wait` on top of it. */
const JITTER_DIVISOR = 16
/** What a loaded machine adds to any answer. Milliseconds. */
const SLACK_MS = 2000

/** Replays a section against one agent; every answer is one assertion. */
export async function replay(
  test: Test,
  section: Section,
  agent: { readonly port: number; readonly variables: Readonly<Record<string, string>> },
): Promise<void> {
  const variables: Variables = new Map(Object.entries(agent.variables))
  const pending = new Map<string, { readonly what: string; readonly answer: Promise<Incoming> }>()
  for (const step of section.steps) {
    if (step.kind === 'relation') {
      const { ok, told } = relation(step.text, variables)
      test.ok(ok, `line ${step.line}: ${step.text} (${told})`)
    } else if (step.kind === 'request') {
      if (pending.has(step.name))
        throw new Error(`line ${step.line}: the answer of the one before is missing`)
      const { method, target, headers, body } = step.request
      const answer = exchange({
        port: agent.port,
        method,
        target: fill(target, variables),
        headers: headers.map(([name, value]) => [name, fill(value, variables)] as const),
        body: body === null ? null : fill(body, variables),
      })
      // Looked at when its turn comes; until then a failure is not an unhandled one.
      answer.catch(() => {})
      pending.set(step.name, { what: `${method} ${target.slice(0, 120)}`, answer })
      if (step.name !== '' && target.includes('index=')) await parked(agent.port, [...pending.values()])
    } else {
      const asked = pending.get(step.name)
      if (asked === undefined) throw new Error(`line ${step.line}: nothing was asked`)
      pending.delete(step.name)
      const answer = await asked.answer
      const { actual, expected } = compare(answer, step.answer, variables)
      test.equal(actual, expected, `line ${step.line}: ${asked.what}`)
    }
  }
  if (pending.size > 0) throw new Error(`${section.title}: not every answer was looked at`)
}

/** Waits until each of these waits at the agent or has its answer: what the transcript does next must come after it. */
async function parked(port: number, asked: readonly { readonly answer: Promise<Incoming> }[]): Promise<void> {
  let answered = 0
  for (const { answer } of asked) {
    const count = () => {
      answered++
    }
    answer.then(count, count)
  }
  await until('the query waits or is answered', async () => {
    const { text } = await exchange({ port, method: 'GET', target: '/metrics', headers: [], body: null })
    const waiting = /^constellation_http_blocking_queries\{[^}]*\} (\d+)$/m.exec(text)?.[1]
    return Number(waiting) + answered >= asked.length
  })
}

/** Both as text, equal if the answer is as expected. Gives names to what the expectation names. */
export function compare(
  answer: Incoming,
  expectation: Expectation,
  variables: Variables,
): { readonly actual: string; readonly expected: string } {
  const actual: string[] = []
  const expected: string[] = []
  const say = (name: string, found: string, wanted: string): void => {
    actual.push(`${name}${found}`)
    expected.push(`${name}${match(wanted, found, variables)}`)
  }
  say('', String(answer.status), String(expectation.status))
  say('content-type: ', answer.headers['content-type'] ?? '', expectation.type ?? '')
  for (const [name, value] of expectation.headers) say(`${name}: `, headerText(answer, name), value)
  for (const problem of readHeaderProblems(answer, expectation)) actual.push(problem)
  if (expectation.took !== null) {
    actual.push(`took ${Math.round(answer.ms)} ms`)
    expected.push(
      tookAsLong(answer, expectation.took) ? (actual.at(-1) ?? '') : `took ${tookText(expectation.took)}`,
    )
  }
  if (expectation.includes === null) {
    say('', answer.text, expectation.body)
  } else {
    const wanted = fill(expectation.includes, variables)
    actual.push(answer.text)
    expected.push(includes(JSON.parse(answer.text), JSON.parse(wanted)) ? answer.text : `with ${wanted}`)
  }
  return { actual: actual.join('\n'), expected: expected.join('\n') }
}

/** Go's client stops at the first header of this group that it cannot parse: they come together or not at all. */
function readHeaderProblems(answer: Incoming, { headers }: Expectation): readonly string[] {
  if (answer.headers['x-consul-index'] === undefined) return []
  const wanted = {
    'x-consul-index': /^[1-9][0-9]*$/,
    'x-consul-knownleader': /^true$/,
    'x-consul-lastcontact': /^[0-9]+$/,
    'x-consul-effective-consistency': /^(leader|consistent|stale)$/,
  }
  return (
    Object.entries(wanted)
      // One that the transcript names has been compared already.
      .filter(([name]) => headers.every(([given]) => given !== name))
      .filter(([name, pattern]) => !pattern.test(headerText(answer, name)))
      .map(([name]) => `${name}: ${JSON.stringify(answer.headers[name])} is not what clients can read`)
  )
}

function headerText(answer: Incoming, name: string): string {
  return String(answer.headers[name] ?? 'absent')
}

function tookAsLong({ ms, heldUpMs }: Incoming, took: NonNullable<Expectation['took']>): boolean {
  if (took === 'at once') return ms - heldUpMs < SLACK_MS
  // The timer of the agent may fire up to a millisecond early.
  return ms >= took.ms - 1 && ms - heldUpMs <= took.ms + took.ms / JITTER_DIVISOR + SLACK_MS
}

function tookText(took: NonNullable<Expectation['took']>): string {
  return took === 'at once' ? `less than ${SLACK_MS} ms` : `${took.ms} ms and a sixteenth more`
}

function relation(text: string, variables: Variables): { readonly ok: boolean; readonly told: string } {
  const told = fill(text, variables)
  const [left = '', operator, right = ''] = told.split(' ')
  if (operator === '=') return { ok: left === right, told }
  if (operator === '>') return { ok: BigInt(left) > BigInt(right), told }
  throw new Error(`${text} is no relation`)
}
