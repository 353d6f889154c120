import type { Call, Operation, Outcome, Output } from '../linearizability/history.ts'
import { type Answer, ask } from '../real/http.ts'

/** Longer than an agent waits for a leader and its result, so that its own answer mostly comes first. */
const TIMEOUT_MS = 4000

/** Answers of a node to a write that say that nothing was written, from their first character. */
const DEFINITE_FAILURES = ['No cluster leader', 'too many writes', 'the disk that holds', 'invalid session']

/** Where and how to ask. */
export interface Target {
  readonly port: number
  readonly node: string
  readonly client: string
}

/**
 * Makes one call and records it. Never throws: what went wrong is an outcome. A read is answered or counts for nothing;
 * a write that was refused before it was sent, or with a sentence that promises so, has failed; any other is unknown.
 */
export async function perform(
  { port, node, client }: Target,
  key: string,
  call: Call,
  query = '',
): Promise<Operation> {
  const calledAt = performance.now()
  const base = { client, node, key, call, calledAt }
  const finish = (outcome: Outcome, output: Output | null, note?: string): Operation => {
    const returnedAt = performance.now()
    return { ...base, returnedAt, outcome, output, ...(note === undefined ? {} : { note }) }
  }
  const isRead = call.f === 'get'
  let answer: Answer
  try {
    answer = await ask(port, pathOf(key, call, query), { ...requestOf(call), timeoutMs: TIMEOUT_MS })
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const wasSent = code !== 'ECONNREFUSED'
    return finish(wasSent && !isRead ? 'unknown' : 'failed', null, code ?? message)
  }
  const { status, text } = answer
  if (isRead) {
    const output = readOutput(answer)
    return output === null ? finish('failed', null, `${status} ${text}`.slice(0, 120)) : finish('ok', output)
  }
  const body = text.trim()
  if (status === 200 && (body === 'true' || body === 'false'))
    return finish('ok', { kind: 'done', ok: body === 'true' })
  const isDefinite =
    (status >= 400 && status < 500) || DEFINITE_FAILURES.some((start) => text.startsWith(start))
  return finish(isDefinite ? 'failed' : 'unknown', null, `${status} ${text}`.slice(0, 120))
}

/** The entry, or its absence, in an answer of the KV store; null if it is neither. */
export function readOutput(answer: Answer): Exclude<Output, { kind: 'done' }> | null {
  if (answer.status === 404) return { kind: 'absent', index: Number(answer.headers['x-consul-index']) }
  if (answer.status !== 200) return null
  const [row] = answer.json() as readonly KvRow[]
  if (row === undefined) return null
  return {
    kind: 'entry',
    value: Buffer.from(row.Value ?? '', 'base64').toString(),
    version: row.ModifyIndex,
    lockIndex: row.LockIndex,
    session: row.Session ?? null,
    created: row.CreateIndex,
  }
}

interface KvRow {
  readonly Value: string | null
  readonly ModifyIndex: number
  readonly CreateIndex: number
  readonly LockIndex: number
  readonly Session?: string
}

function pathOf(key: string, call: Call, query: string): string {
  const parameters: string[] = query === '' ? [] : [query]
  if ('version' in call) parameters.push(`cas=${call.version}`)
  if (call.f === 'acquire' || call.f === 'release') parameters.push(`${call.f}=${call.session}`)
  return `/v1/kv/${key}${parameters.length === 0 ? '' : `?${parameters.join('&')}`}`
}

function requestOf(call: Call): { method: 'GET' | 'PUT' | 'DELETE'; body?: string } {
  if (call.f === 'get') return { method: 'GET' }
  if (call.f === 'delete' || call.f === 'delete-cas') return { method: 'DELETE' }
  return 'value' in call ? { method: 'PUT', body: call.value } : { method: 'PUT' }
}
