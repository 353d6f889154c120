import { type RequestOptions, request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { formatHostPort, parseHostPort } from '../config/host-port.ts'
import { CliError } from './errors.ts'

const BODY_BYTES_MAX = 64 * 1024 * 1024

/** An answer of the agent. */
export interface ApiResponse {
  readonly status: number
  readonly body: Buffer
}

/** How a request differs from a plain GET. */
export interface ApiRequest {
  readonly method?: 'GET' | 'PUT' | 'DELETE'
  readonly body?: Uint8Array
  readonly timeoutMs?: number
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
   * @throws CliError `CLI_FAILED` when no answer came.
   */
  send(path: string, options: ApiRequest = {}): Promise<ApiResponse> {
    const { method = 'GET', body, timeoutMs = 15_000, bodyBytesMax = BODY_BYTES_MAX } = options
    const base = this.#base
    const requestOptions: RequestOptions = {
      method,
      host: base.hostname.replace(/^\[|\]$/g, ''),
      port: base.port === '' ? (base.protocol === 'https:' ? 443 : 80) : base.port,
      // Not through URL, which would take a key such as "a/../b" for a path to be shortened.
      path: `${base.pathname.replace(/\/$/, '')}${path}`,
      headers: { host: base.host, ...(body === undefined ? {} : { 'content-length': body.length }) },
      agent: false,
      signal: AbortSignal.timeout(timeoutMs),
    }
    return new Promise((resolve, reject) => {
      const fail = (error: Error): void => reject(this.#explain(error, timeoutMs))
      const outgoing = (base.protocol === 'https:' ? requestHttps : requestHttp)(
        requestOptions,
        (incoming) => {
          const chunks: Buffer[] = []
          let bytes = 0
          incoming.on('data', (chunk: Buffer) => {
            bytes += chunk.length
            if (bytes > bodyBytesMax) incoming.destroy(new Error(`its answer exceeds ${bodyBytesMax} bytes`))
            else chunks.push(chunk)
          })
          incoming.on('end', () => resolve({ status: incoming.statusCode ?? 0, body: Buffer.concat(chunks) }))
          incoming.on('error', fail)
        },
      )
      outgoing.on('error', fail)
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
  refusal(response: ApiResponse): CliError {
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

  #explain(error: Error, timeoutMs: number): CliError {
    const { code, name, message } = error as NodeJS.ErrnoException
    const options = { cause: error }
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
