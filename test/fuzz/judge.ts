import { Check } from 'typebox/value'
import { unknownFailure } from './allowed.ts'
import type { Answer, Parsed } from './answer.ts'
import type { Exchange } from './exchange.ts'
import { isStoreRead, isWrite, nameOf, type Operation } from './operations.ts'
import type { Contents } from './subject.ts'

/** What was sent and everything that happened. */
export interface Case {
  /** Target of the request; null when the bytes are no request one could read it from. */
  readonly target: string | null
  readonly method: string
  readonly exchange: Exchange
  readonly parsed: Parsed
  /** Operations whose handler ran. */
  readonly reached: readonly Operation[]
  readonly before: Contents
  readonly after: Contents
}

/** The whole of the texts that answer what is not HTTP. The path is not known there, so they are the same everywhere. */
const CONNECTION_TEXTS: ReadonlySet<string> = new Set([
  'Bad Request\n',
  'Request Timeout\n',
  'Request Header Fields Too Large\n',
])
const READ_HEADERS: readonly (readonly [name: string, value: RegExp])[] = [
  ['x-consul-index', /^[1-9]\d*$/],
  ['x-consul-knownleader', /^(true|false)$/],
  ['x-consul-lastcontact', /^\d+$/],
  ['x-consul-effective-consistency', /^(leader|consistent|stale)$/],
]

/** Everything that is wrong with what happened, one sentence each; empty if it is as it has to be. */
export function judge(happened: Case): string[] {
  const { exchange, parsed } = happened
  const wrong: string[] = []
  if (exchange.end === 'hung') wrong.push(`no end after ${Math.round(exchange.ms)} ms`)
  if (exchange.end === 'closed') {
    if (parsed.problem !== null) wrong.push(`what was answered is no HTTP: ${parsed.problem}`)
    else if (parsed.answers.length === 0) wrong.push('closed without an answer')
  }
  for (const [i, answer] of parsed.answers.entries()) wrong.push(...judgeAnswer(happened, answer, i))
  wrong.push(...judgeContents(happened))
  return wrong
}

function judgeAnswer(happened: Case, answer: Answer, i: number): string[] {
  const { status, headers, body } = answer
  const text = body.toString('utf8')
  const wrong: string[] = []
  const failure = unknownFailure(status, messageOf(text))
  if (failure !== null) wrong.push(failure)
  if (status === 405 && !headers.has('allow')) wrong.push('405 without Allow')
  const type = headers.get('content-type')
  if (type === 'application/json' && body.length > 0 && !isJson(text)) {
    wrong.push(`${status} says it is JSON and is not: ${JSON.stringify(text.slice(0, 200))}`)
  }
  const isConnectionError = status >= 400 && CONNECTION_TEXTS.has(text) && type === TEXT
  // Of what follows the first request on the connection nobody here knows what it asked for.
  if (i > 0 || isConnectionError) return wrong
  const [operation] = happened.reached
  if (status >= 400) wrong.push(...judgeFailure(happened, answer, operation))
  if (operation === undefined) return wrong
  if (isStoreRead(operation) && (status === 200 || (status === 404 && body.length === 0))) {
    for (const [name, pattern] of READ_HEADERS) {
      const value = headers.get(name)
      if (!pattern.test(value ?? ''))
        wrong.push(`${nameOf(operation)} answers ${status} with ${name}: ${value}`)
    }
  }
  const isDescribed = status === 200 && operation.success !== null && type === 'application/json'
  if (isDescribed && body.length > 0 && isJson(text) && !Check(operation.success, JSON.parse(text))) {
    wrong.push(`${nameOf(operation)} answers what its description does not allow: ${text.slice(0, 300)}`)
  }
  return wrong
}

const TEXT = 'text/plain; charset=utf-8'

/** A failure in the dialect of the path it happened on. */
function judgeFailure(
  { target, method }: Case,
  { status, headers, body }: Answer,
  operation: Operation | undefined,
): string[] {
  if (method === 'HEAD') return []
  const type = headers.get('content-type') ?? 'no type'
  const text = body.toString('utf8')
  const dialect = dialectOf(target ?? '')
  if (dialect === 'api') {
    if (type !== 'application/json') return [`${status} below /api has ${type}`]
    return isApiFailure(text)
      ? []
      : [`${status} below /api is no {error:{code,message}}: ${text.slice(0, 200)}`]
  }
  const isMissing = status === 404 && operation !== undefined && isStoreRead(operation) && body.length === 0
  if (isMissing) return []
  // A transaction that did not apply says why in JSON.
  if (status === 409 && operation?.path === '/v1/txn')
    return type === 'application/json' ? [] : [`409 has ${type}`]
  // How a service is, said by the status.
  const isHealth = operation?.path.startsWith('/v1/agent/health/service/') === true
  if (isHealth && [404, 429, 503].includes(status) && type === 'application/json') return []
  if (type !== TEXT) return [`${status} has ${type}`]
  return text === '' ? [`${status} without a text`] : []
}

/** The dialect of a target, read without the help of the code under test. */
export function dialectOf(target: string): 'consul' | 'api' | 'other' {
  const path = target.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?]*/i, '')
  if (/^\/v1(?:[/?]|$)/.test(path)) return 'consul'
  return /^\/api(?:\/|$)/.test(path) ? 'api' : 'other'
}

function messageOf(text: string): string {
  const parsed: unknown = isJson(text) ? JSON.parse(text) : null
  const message = (parsed as { error?: { message?: unknown } } | null)?.error?.message
  return typeof message === 'string' ? message : text
}

function isApiFailure(text: string): boolean {
  const { error } = (isJson(text) ? JSON.parse(text) : {}) as {
    error?: { code?: unknown; message?: unknown }
  }
  const { code, message } = error ?? {}
  return typeof code === 'string' && /^[A-Z_]+$/.test(code) && typeof message === 'string' && message !== ''
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** Only a valid write changes anything: one that was answered with success, and not with `false`. */
function judgeContents({ before, after, parsed, reached, exchange }: Case): string[] {
  const changed = [...new Set([...before.keys(), ...after.keys()])].filter(
    (each) => before.get(each) !== after.get(each),
  )
  if (changed.length === 0) return []
  const what = changed
    .slice(0, 5)
    .map((each) => JSON.stringify(each))
    .join(', ')
  if (!reached.some(isWrite)) return [`${reached.map(nameOf).join(', ') || 'no route'} changed ${what}`]
  const said = parsed.answers.map(({ status, body }) => `${status} ${body.toString('utf8', 0, 100)}`)
  const isDone = parsed.answers.some(
    ({ status, body }) => status < 300 && body.toString('utf8').trim() !== 'false',
  )
  // A client that hears nothing has to expect either.
  return isDone || exchange.end === 'gone' ? [] : [`answered ${said.join(' and ')}, and changed ${what}`]
}
