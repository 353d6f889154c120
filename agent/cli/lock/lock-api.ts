import { type ApiClient, type ApiResponse, encodeKey } from '../api-client.ts'
import { type Fields, record, records } from '../client-command.ts'
import { CliError } from '../errors.ts'
import { numberText, parseExact } from '../exact-json.ts'

/** Marks a key as a lock of Consul's clients, so that theirs and ours exclude each other. */
export const LOCK_FLAGS = '3304740253564472344'

/** How long the agent may hold a blocking query. */
const WAIT_MS = 60_000
/** What an answer may take on top: the agent adds up to a sixteenth, and the network is not instant. */
const ANSWER_MS = WAIT_MS / 16 + 5000
const REQUEST_MS_MAX = 10_000

/** The key of a lock as the store has it. */
export interface LockEntry {
  /** Digits. */
  readonly flags: string
  /** Null while nobody holds it. */
  readonly session: string | null
  readonly lockIndex: number
  readonly modifyIndex: number
}

/** A reading of the key, and the index to wait on for the next one. */
export interface LockReading {
  readonly entry: LockEntry | null
  readonly index: number
}

/** When to answer a reading. */
export interface ReadOptions {
  /** Wait until the key has changed since this index; 0 = answer at once. */
  readonly index: number
  /** Wait no longer than this, in milliseconds. Default a minute. */
  readonly waitMs?: number
  readonly signal: AbortSignal
}

/** The requests that a lock is made of. All throw CliError when there is no answer, or one that says no. */
export class LockApi {
  readonly #api: ApiClient
  readonly #path: string

  /** @param key of the lock. */
  constructor(api: ApiClient, key: string) {
    this.#api = api
    this.#path = `/v1/kv/${encodeKey(key)}`
  }

  /** Makes a session and answers its id. */
  async createSession(definition: Fields, signal: AbortSignal): Promise<string> {
    const body = Buffer.from(JSON.stringify(definition))
    const answer = await this.#api.expect('/v1/session/create', {
      method: 'PUT',
      body,
      signal,
      timeoutMs: REQUEST_MS_MAX,
    })
    const { ID: id } = record(this.#api.parse(answer))
    if (typeof id !== 'string' || id === '') throw this.#unknownForm()
    return id
  }

  /** True if the session has its full TTL again, false if there is none. */
  async renewSession(id: string, timeoutMs: number): Promise<boolean> {
    const response = await this.#api.send(`/v1/session/renew/${id}`, { method: 'PUT', timeoutMs })
    if (response.status === 404) return false
    if (response.status !== 200) throw this.#api.refusal(response)
    return true
  }

  async destroySession(id: string, signal: AbortSignal): Promise<void> {
    await this.#api.expect(`/v1/session/destroy/${id}`, { method: 'PUT', signal })
  }

  /** Who the session is, for messages: its name and node. Null if there is no answer to that. */
  async describeSession(id: string, signal: AbortSignal): Promise<string | null> {
    try {
      const body = await this.#api.expect(`/v1/session/info/${encodeURIComponent(id)}`, { signal })
      const [session] = records(this.#api.parse(body))
      if (session === undefined) return null
      const { Name: name, Node: node } = session
      return `${typeof name === 'string' && name !== '' ? JSON.stringify(name) : 'a session'} of node ${String(node)}`
    } catch {
      return null
    }
  }

  /** Reads the key, of which the leader makes sure that nothing newer was confirmed. */
  async read({ index, waitMs = WAIT_MS, signal }: ReadOptions): Promise<LockReading> {
    const blocking = index === 0 ? '' : `&index=${index}&wait=${Math.ceil(waitMs)}ms`
    const response = await this.#api.send(`${this.#path}?consistent${blocking}`, {
      signal,
      timeoutMs: index === 0 ? REQUEST_MS_MAX : waitMs + ANSWER_MS,
    })
    if (response.status === 404 && response.body.length === 0) return { entry: null, index: response.index }
    if (response.status !== 200) throw this.#api.refusal(response)
    return { entry: this.#entryOf(response), index: response.index }
  }

  /** Locks the key for the session: false if another holds it or its lock-delay lasts. @throws CliError `CLI_SESSION_GONE` */
  async acquire(session: string, signal: AbortSignal): Promise<boolean> {
    const response = await this.#put(`acquire=${session}&flags=${LOCK_FLAGS}`, signal)
    if (response.status === 500 && response.body.toString('utf8').includes('invalid session')) {
      throw new CliError('CLI_SESSION_GONE', 'the session has ended')
    }
    return this.#isTrue(response)
  }

  /** Unlocks the key: false if the session does not hold it. */
  async release(session: string, signal: AbortSignal): Promise<boolean> {
    return this.#isTrue(await this.#put(`release=${session}&flags=${LOCK_FLAGS}`, signal))
  }

  /** Deletes the key unless it has changed since this index. */
  async deleteIfUnchanged(modifyIndex: number, signal: AbortSignal): Promise<boolean> {
    const options = { method: 'DELETE', signal, timeoutMs: REQUEST_MS_MAX } as const
    return this.#isTrue(await this.#api.send(`${this.#path}?cas=${modifyIndex}`, options))
  }

  #put(query: string, signal: AbortSignal): Promise<ApiResponse> {
    const options = { method: 'PUT', body: Buffer.alloc(0), signal, timeoutMs: REQUEST_MS_MAX } as const
    return this.#api.send(`${this.#path}?${query}`, options)
  }

  #isTrue(response: ApiResponse): boolean {
    if (response.status !== 200) throw this.#api.refusal(response)
    return this.#api.parse(response.body) === true
  }

  #entryOf({ body }: ApiResponse): LockEntry {
    let parsed: unknown
    try {
      parsed = parseExact(body.toString('utf8'))
    } catch {
      this.#api.parse(body)
    }
    const [fields] = records(parsed)
    const flags = numberText(fields?.Flags)
    const { Session: session, LockIndex: lockIndex, ModifyIndex: modifyIndex } = fields ?? {}
    if (flags === null || typeof lockIndex !== 'number' || typeof modifyIndex !== 'number') {
      throw this.#unknownForm()
    }
    return {
      flags,
      session: typeof session === 'string' && session !== '' ? session : null,
      lockIndex,
      modifyIndex,
    }
  }

  #unknownForm(): CliError {
    return new CliError(
      'CLI_FAILED',
      `the agent at ${this.#api.address} answered something of an unknown form`,
    )
  }
}
