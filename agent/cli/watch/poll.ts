import { setTimeout as delay } from 'node:timers/promises'
import type { ApiClient, ApiResponse } from '../api-client.ts'
import { CliError } from '../errors.ts'
import { parseExact } from '../exact-json.ts'
import type { WatchQuery } from './queries.ts'

const WAIT_MS = 60_000
/** An agent may take a sixteenth of the wait longer; the rest is for a slow network. */
const TIMEOUT_MS = WAIT_MS + WAIT_MS / 16 + 10_000
/** Between two questions: changes that follow each other closely are seen together. */
const ROUND_MS_MIN = 100
const BACKOFF_FIRST_MS = 250
const BACKOFF_MAX_MS = 10_000
const TOO_MANY_REQUESTS = 429

/** Who wants the answers. */
export interface PollListener {
  /** The agent answered; nothing need be different. @param index X-Consul-Index of the answer. */
  answer(value: unknown, index: string): void
  /** Something an operator may want to know. */
  note(line: string): void
}

/**
 * Asks a blocking query again and again until `signal` is aborted. When the agent is away or cannot answer it is asked again
 * after growing pauses; the first answer has to come about.
 * @throws CliError when the agent refuses the query, or does not answer the first time.
 */
export async function poll(
  api: ApiClient,
  query: WatchQuery,
  listener: PollListener,
  signal: AbortSignal,
): Promise<void> {
  let index = ''
  let pauseMs = BACKOFF_FIRST_MS
  let begun = false
  let outage = false
  while (!signal.aborted) {
    const startedAt = performance.now()
    let refused = false
    try {
      const response = await api.send(pathOf(query, index), { timeoutMs: TIMEOUT_MS, signal })
      refused = isRefusal(query, response)
      const value = answerOf(api, query, response)
      if (outage) listener.note(`${api.address} answers again`)
      begun = true
      outage = false
      pauseMs = BACKOFF_FIRST_MS
      index = response.indexText
      listener.answer(value, index)
      await pause(ROUND_MS_MIN - (performance.now() - startedAt), signal)
    } catch (error) {
      if (signal.aborted) return
      if (!(error instanceof CliError) || refused || !begun) throw error
      if (!outage) listener.note(`${error.message}; trying again`)
      outage = true
      // The agent that comes back may count anew.
      index = ''
      await pause(pauseMs * (0.75 + Math.random() / 4), signal)
      pauseMs = Math.min(pauseMs * 2, BACKOFF_MAX_MS)
    }
  }
}

function pathOf({ path, params }: WatchQuery, index: string): string {
  const wait = index === '' ? [] : [['index', index] as const, ['wait', `${WAIT_MS}ms`] as const]
  const query = new URLSearchParams([...params, ...wait].map(([name, value]) => [name, value]))
  return query.size === 0 ? path : `${path}?${query}`
}

/** Whether asking again would not help. */
function isRefusal(query: WatchQuery, response: ApiResponse): boolean {
  const { status } = response
  return status >= 400 && status < 500 && status !== TOO_MANY_REQUESTS && !isAbsent(query, response)
}

function isAbsent({ absent }: WatchQuery, { status, body }: ApiResponse): boolean {
  return absent !== undefined && status === 404 && body.length === 0
}

function answerOf(api: ApiClient, query: WatchQuery, response: ApiResponse): unknown {
  const { status, body, indexText } = response
  const absent = isAbsent(query, response)
  if (!absent && status !== 200) throw api.refusal(response)
  // Without an index every question would be answered at once.
  if (!/^[1-9]\d*$/.test(indexText)) {
    throw new CliError(
      'CLI_FAILED',
      `what answers at ${api.address} is no Constellation agent: no X-Consul-Index`,
    )
  }
  if (absent) return query.valueOf(query.absent)
  try {
    return query.valueOf(parseExact(body.toString('utf8')))
  } catch (cause) {
    throw new CliError('CLI_FAILED', `what answers at ${api.address} is no Constellation agent: not JSON`, {
      cause,
    })
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (ms > 0) await delay(ms, undefined, { signal }).catch(() => {})
}
