import { type IncomingMessage, type RequestOptions, request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { formatHostPort, parseHostPort } from '../config/host-port.ts'
import { CliError } from './errors.ts'

const BODY_BYTES_MAX = 64 * 1024 * 1024

/** An answer of the agent. */
export interface ApiResponse {
  readonly status: number
  readonly body: Buffer
  /** X-Consul-Index, which a blocking query sends back; 0 if there was none. */
  readonly index: number
  /** The same in its full 64 bits, as the index of a list of events needs them; '' if there was none. */
  readonly indexText: string
}

/** An answer that has only begun: its body is still to be read. */
export interface ApiStream {
  readonly status: number
  readonly body: IncomingMessage
}

/** How a request differs from a plain GET. */
export interface ApiRequest {
  readonly method?: 'GET' | 'PUT' | 'DELETE'
  readonly body?: Uint8Array
  readonly headers?: Readonly<Record<string, string>>
  readonly timeoutMs?: number
  /** Aborted when the answer is no longer wanted. */
  readonly signal?: AbortSignal
  /** Largest answer that is taken. Default 64 MiB. */
  readonly bodyBytesMax?: number
}

/** Speaks HTTP with one running agent. */
export class ApiClient {
  readonly #base: URL
  /** The agent as the operator named it. */
  readonly address: string

  /** @throws CliError `CLI_USAGE` unless `address` is `HOST:PORT` or an http or https URL. `source` names where it came from. */
  constructor(address: string, source: string) {
    this.address = address
    this.#base = parseAddress(address, source)
  }

  /**
   * Sends one request to `path` (with its query, already encoded) and answers whatever came back.
   * @throws CliError `CLI_FAILED` when no answer came, `CLI_ABORTED` when `signal` was aborted first.
   */
  async send(path: string, options: ApiRequest = {}): Promise<ApiResponse> {
    const { timeoutMs = 15_000, bodyBytesMax = BODY_BYTES_MAX, signal } = options
    const timeout = AbortSignal.timeout(timeoutMs)
    const ended = signal === undefined ? timeout : AbortSignal.any([timeout, signal])
    try {
      const incoming = await this.#open(path, options, ended)
      const body = await readAll(incoming, bodyBytesMax)
      const header = incoming.headers['x-consul-index']
      const indexText = typeof header === 'string' ? header : ''
      const index = Number(indexText)
      const status = incoming.statusCode ?? 0
      return { status, body, index: Number.isSafeInteger(index) ? index : 0, indexText }
    } catch (error) {
      throw this.#explain(error as Error, timeoutMs, signal)
    }
  }

  /**
   * As `send`, but answers as soon as the headers came. The body ends with an error when `signal` is aborted.
   * @throws CliError `CLI_FAILED` when no answer begins within `timeoutMs`, `CLI_ABORTED` when `signal` was aborted first.
   */
  async stream(path: string, options: ApiRequest & { readonly signal: AbortSignal }): Promise<ApiStream> {
    const { timeoutMs = 15_000, signal } = options
    const ended = new AbortController()
    const timer = setTimeout(() => ended.abort(new DOMException('', 'TimeoutError')), timeoutMs)
    try {
      const incoming = await this.#open(path, options, AbortSignal.any([ended.signal, signal]))
      return { status: incoming.statusCode ?? 0, body: incoming }
    } catch (error) {
      throw this.#explain(error as Error, timeoutMs, signal)
    } finally {
      clearTimeout(timer)
    }
  }

  #open(path: string, options: ApiRequest, signal: AbortSignal): Promise<IncomingMessage> {
    const { method = 'GET', body, headers } = options
    const base = this.#base
    const requestOptions: RequestOptions = {
      method,
      host: base.hostname.replace(/^\[|\]$/g, ''),
      port: base.port === '' ? (base.protocol === 'https:' ? 443 : 80) : base.port,
      // Not through URL, which would take a key such as "a/../b" for a path to be shortened.
      path: `${base.pathname.replace(/\/$/, '')}${path}`,
      headers: {
        host: base.host,
        ...(body === undefined ? {} : { 'content-length': body.length }),
        ...headers,
      },
      agent: false,
      signal,
    }
    return new Promise((resolve, reject) => {
      const outgoing = (base.protocol === 'https:' ? requestHttps : requestHttp)(requestOptions, resolve)
      outgoing.on('error', reject)
      outgoing.end(body)
    })
  }

  /** As `send`, for what has to succeed. @throws CliError `CLI_FAILED` with the agent's own words unless the status is 2xx. */
  async expect(path: string, options: ApiRequest = {}): Promise<Buffer> {
    const response = await this.send(path, options)
    if (response.status < 200 || response.status > 299) throw this.refusal(response)
    return response.body
  }

  /** The error for an answer that says no. */
  refusal(response: Pick<ApiResponse, 'status' | 'body'>): CliError {
    const words = errorText(response.body)
    return new CliError(
      'CLI_FAILED',
      `the agent at ${this.address} answered ${response.status}${words === '' ? '' : `: ${words}`}`,
    )
  }

  /** Reads an answer as JSON. @throws CliError `CLI_FAILED` when it is none. */
  parse(body: Buffer): unknown {
    try {
      return JSON.parse(body.toString('utf8'))
    } catch {
      throw new CliError('CLI_FAILED', `what answers at ${this.address} is no Constellation agent: not JSON`)
    }
  }

  #explain(error: Error, timeoutMs: number, signal: AbortSignal | undefined): CliError {
    const { code, name, message } = error as NodeJS.ErrnoException
    const options = { cause: error }
    if (signal?.aborted === true) return new CliError('CLI_ABORTED', 'stopped', options)
    if (code === 'ECONNREFUSED') {
      return new CliError(
        'CLI_FAILED',
        `no agent answers at ${this.address}; start one with \`constellation agent\` or name it with --http-addr`,
        options,
      )
    }
    if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') {
      return new CliError('CLI_FAILED', `the host of ${this.address} is not known`, options)
    }
    if (name === 'TimeoutError' || code === 'ABORT_ERR') {
      return new CliError(
        'CLI_FAILED',
        `the agent at ${this.address} did not answer within ${timeoutMs / 1000} s; a write may still have been done`,
        options,
      )
    }
    return new CliError('CLI_FAILED', `talking to the agent at ${this.address} failed: ${message}`, options)
  }
}

/** The bytes of a body. @throws Error if there are more than `bytesMax`, or the connection breaks. */
export function readAll(incoming: IncomingMessage, bytesMax: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let bytes = 0
    incoming.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes > bytesMax) incoming.destroy(new Error(`its answer exceeds ${bytesMax} bytes`))
      else chunks.push(chunk)
    })
    incoming.on('end', () => resolve(Buffer.concat(chunks)))
    incoming.on('error', reject)
  })
}

/** Encodes a key for a path segment by segment, so that its slashes stay. */
export function encodeKey(key: string): string {
  return key.split('/').map(encodeURIComponent).join('/')
}

function parseAddress(address: string, source: string): URL {
  const refuse = (why: string): CliError =>
    new CliError(
      'CLI_USAGE',
      `${source}: ${JSON.stringify(address)} ${why}; allowed: HOST:PORT or http(s)://HOST:PORT`,
    )
  if (/^https?:\/\//.test(address)) {
    if (!URL.canParse(address)) throw refuse('is not a URL')
    return new URL(address)
  }
  try {
    const hostPort = parseHostPort(address)
    if (hostPort.port === 0) throw new Error('has port 0')
    return new URL(`http://${formatHostPort(hostPort)}`)
  } catch (error) {
    throw refuse((error as Error).message)
  }
}

/** Our own API says `{error:{code,message}}`, Consul's plain text. */
function errorText(body: Buffer): string {
  const text = body.subarray(0, 2000).toString('utf8').trim()
  try {
    const { error } = JSON.parse(text) as { error?: { message?: unknown } }
    if (typeof error?.message === 'string') return error.message
  } catch {
    // Not JSON: the text speaks for itself.
  }
  return text.split('\n')[0] ?? ''
}
