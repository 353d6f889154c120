import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** The dialects the server can speak, with the rules each one enforces. */
export const DIALECTS = {
  'docker 29': { product: 'Engine', version: '29.0.1', api: '1.52', min: '1.44' },
  'docker 20.10': { product: 'Engine', version: '20.10.24', api: '1.41', min: '1.12' },
  'podman 4.3': { product: 'Podman Engine', version: '4.3.1', api: '1.41', min: '1.24' },
} as const

type Answer = readonly [status: number, body: unknown]

/** Name of a dialect. */
export type Dialect = keyof typeof DIALECTS

/** An engine behind a unix socket: reads, events and restarts, as strict about versions as the real one. */
export class EngineServer {
  readonly requests: string[] = []
  readonly containers = new Map<string, Record<string, unknown>>()
  readonly #dialect: Dialect
  readonly #server = createServer((request, response) => this.#answer(request, response))
  readonly #sockets = new Set<Socket>()
  readonly #streams = new Set<ServerResponse>()
  /** Paths that get this status instead of an answer. */
  readonly refused = new Map<string, number>()
  /** Paths that get no answer. */
  readonly silent = new Set<string>()

  constructor(dialect: Dialect) {
    this.#dialect = dialect
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
    })
  }

  listen(path: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(path, resolve)
    })
  }

  close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    return new Promise((resolve) => this.#server.close(() => resolve()))
  }

  /** Sends these bytes to everybody who listens to events. */
  send(bytes: string | Uint8Array): void {
    for (const stream of this.#streams) stream.write(bytes)
  }

  /** Ends the streams of events as a Podman service does that ends: cleanly. */
  endStreams(): void {
    for (const stream of this.#streams) stream.end()
  }

  get listeners(): number {
    return this.#streams.size
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    this.requests.push(`${request.method} ${request.url}`)
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://engine')
    const [, prefix, rest = pathname] = /^\/v([0-9]+\.[0-9]+)(\/.*)$/.exec(pathname) ?? []
    if (this.silent.has(rest)) return
    const refusal = this.#refusal(prefix, rest)
    const [status, body] = refusal ?? this.#read(request, rest, searchParams)
    response.writeHead(status, { 'content-type': 'application/json' })
    if (rest !== '/events' || status !== 200) {
      response.end(status === 204 ? undefined : JSON.stringify(body))
      return
    }
    response.flushHeaders()
    this.#streams.add(response)
    response.once('close', () => this.#streams.delete(response))
  }

  #refusal(prefix: string | undefined, path: string): Answer | null {
    const { product, api, min } = DIALECTS[this.#dialect]
    const minor = (text: string) => Number(text.split('.')[1])
    // Podman takes any version.
    if (prefix !== undefined && product === 'Engine') {
      const client = `client version ${prefix} is too`
      if (minor(prefix) < minor(min)) {
        return failure(400, `${client} old. Minimum supported API version is ${min}`)
      }
      if (minor(prefix) > minor(api)) {
        return failure(400, `${client} new. Maximum supported API version is ${api}`)
      }
    }
    const refused = this.refused.get(path)
    return refused === undefined ? null : failure(refused, 'not for you')
  }

  #read(request: IncomingMessage, path: string, query: URLSearchParams): Answer {
    const { product, version, api, min } = DIALECTS[this.#dialect]
    if (path === '/version') {
      const Components = [{ Name: product, Version: version }]
      return [200, { Version: version, ApiVersion: api, MinAPIVersion: min, Components }]
    }
    if (path === '/events') {
      const filters = JSON.parse(query.get('filters') ?? '{}') as Record<string, unknown>
      const bad = Object.keys(filters).find((key) => !['type', 'event', 'label', 'container'].includes(key))
      return bad === undefined ? [200, null] : failure(400, `invalid filter '${bad}'`)
    }
    if (path === '/containers/json') {
      // Without `all` the real one leaves out what does not run.
      const ids = query.get('all') === 'true' ? [...this.containers.keys()] : []
      return [200, ids.map((Id) => ({ Id }))]
    }
    const [, id = '', what] = /^\/containers\/([^/]+)\/(json|restart|start|stop|exec)$/.exec(path) ?? []
    const container = this.containers.get(id)
    if (container === undefined) return failure(404, `No such container: ${id}`)
    if (what === 'json') return [200, container]
    return request.method === 'POST' ? [204, null] : failure(405, 'method not allowed')
  }
}

function failure(status: number, message: string): Answer {
  return [status, { message }]
}
