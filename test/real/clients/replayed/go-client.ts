import { Agent, request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import { gunzipSync } from 'node:zlib'
import { type Decoded, decodeGo, type GoType } from './go-types.ts'

/** Parameters of a request; a list repeats its parameter, undefined leaves it out. */
export type Params = Readonly<Record<string, string | readonly string[] | undefined>>

/** What Consul's Go client gives: the value, and what its headers said. */
export interface GoAnswer<T> {
  readonly value: T
  readonly index: number
  readonly lastContactMs: number
  readonly knownLeader: boolean
}

/** What a client asked, as `GET /v1/…`. */
export interface Asked {
  readonly method: string
  readonly target: string
}

/** Consul's Go client: pooled connections, gzip, parameters in order of their names, headers that must parse, status 200. */
export class GoClient {
  readonly #port: number
  readonly #headers: Readonly<Record<string, string>>
  readonly #agent = new Agent({ keepAlive: true })
  readonly #gone = new AbortController()
  /** Everything that was asked, in order. */
  readonly asked: Asked[] = []

  constructor(port: number, headers: Readonly<Record<string, string>> = {}) {
    this.#port = port
    this.#headers = { 'User-Agent': 'Go-http-client/1.1', 'Accept-Encoding': 'gzip', ...headers }
  }

  /** Aborts with `close`. */
  get signal(): AbortSignal {
    return this.#gone.signal
  }

  /** Gives up every request. */
  close(): void {
    this.#gone.abort()
    this.#agent.destroy()
  }

  /** A read of the store. @throws Error when status, headers or body are not what the client takes. */
  read<const T extends GoType>(path: string, params: Params, type: T): Promise<GoAnswer<Decoded<T>>> {
    return this.#read(path, params, type) as Promise<never>
  }

  async #read(path: string, params: Params, type: GoType): Promise<GoAnswer<unknown>> {
    const { headers, text } = await this.#exchange('GET', path, params)
    const number = (name: string): number => {
      const value = headers[name]
      if (typeof value !== 'string' || !/^\d+$/.test(value))
        throw new Error(`failed to parse ${name}: ${value}`)
      return Number(value)
    }
    return {
      value: decodeGo(JSON.parse(text), type),
      index: number('x-consul-index'),
      lastContactMs: number('x-consul-lastcontact'),
      knownLeader: headers['x-consul-knownleader'] === 'true',
    }
  }

  /** A read of the agent, which has no index. */
  get<const T extends GoType>(path: string, type: T): Promise<Decoded<T>> {
    const read = async (): Promise<unknown> =>
      decodeGo(JSON.parse((await this.#exchange('GET', path, {})).text), type)
    return read() as Promise<never>
  }

  /** A change of the agent. */
  async put(path: string, body: unknown = null, params: Params = {}): Promise<void> {
    await this.#exchange('PUT', path, params, body)
  }

  async #exchange(
    method: string,
    path: string,
    params: Params,
    body: unknown = null,
  ): Promise<{ readonly headers: IncomingHttpHeaders; readonly text: string }> {
    const target = `${path}${encoded(params)}`
    this.asked.push({ method, target })
    const { promise, resolve, reject } = Promise.withResolvers<{
      headers: IncomingHttpHeaders
      text: string
    }>()
    const outgoing = httpRequest(
      {
        ...{ host: '127.0.0.1', port: this.#port, path: target, method },
        ...{ agent: this.#agent, signal: this.#gone.signal },
        headers: { ...this.#headers, ...(body === null ? {} : { 'Content-Type': 'application/json' }) },
      },
      (incoming) => {
        const chunks: Buffer[] = []
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
        incoming.on('error', reject)
        incoming.on('end', () => {
          const bytes = Buffer.concat(chunks)
          const text = String(incoming.headers['content-encoding'] === 'gzip' ? gunzipSync(bytes) : bytes)
          if (incoming.statusCode === 200) resolve({ headers: incoming.headers, text })
          else reject(new Error(`${target}: Unexpected response code: ${incoming.statusCode} (${text})`))
        })
      },
    )
    outgoing.on('error', reject)
    outgoing.end(body === null ? undefined : JSON.stringify(body))
    return promise
  }
}

/** As Go's url.Values: sorted by name, `name=` for an empty value. */
function encoded(params: Params): string {
  const pairs = Object.entries(params)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([name, value]) =>
      value === undefined ? [] : [value].flat().map((each) => [name, each] as [string, string]),
    )
  return pairs.length === 0 ? '' : `?${new URLSearchParams(pairs)}`
}

/** The parameter of an index; none before the first answer. */
export function indexParam(index: number): string | undefined {
  return index === 0 ? undefined : String(index)
}
