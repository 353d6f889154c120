import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import { join } from 'node:path'
import type { RealEngine } from './engine.ts'

/**
 * The part of an engine that one of several hosts has: the containers whose names begin with the name of the host. So agents that
 * share an engine see containers of their own.
 */
export class HostProxy {
  readonly socket: string
  readonly #engine: RealEngine
  readonly #prefix: string
  readonly #server = createServer((incoming, outgoing) => void this.#serve(incoming, outgoing))

  constructor(engine: RealEngine, host: string) {
    this.#engine = engine
    this.#prefix = `/${host}-`
    this.socket = join(engine.folder, `${host}.sock`)
  }

  listen(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(this.socket, resolve)
    })
  }

  close(): void {
    this.#server.close()
    this.#server.closeAllConnections()
  }

  async #serve(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const path = (incoming.url ?? '').replace(/^\/v[0-9.]+/, '').replace(/\?.*$/, '')
    try {
      if (path === '/containers/json') {
        const [status, body] = await this.#fetch(incoming)
        const all = JSON.parse(body) as { Names: string[] }[]
        const own = all.filter(({ Names }) => Names.some((name) => name.startsWith(this.#prefix)))
        return void outgoing.writeHead(status).end(JSON.stringify(own))
      }
      if (/^\/containers\/[^/]+\/json$/.test(path)) {
        const [status, body] = await this.#fetch(incoming)
        const { Name = '' } = JSON.parse(body) as { Name?: string }
        if (status === 200 && !Name.startsWith(this.#prefix)) {
          return void outgoing.writeHead(404).end('{"message":"on another host"}')
        }
        return void outgoing.writeHead(status).end(body)
      }
      this.#pass(incoming, outgoing)
    } catch {
      outgoing.destroy()
    }
  }

  #pass(incoming: IncomingMessage, outgoing: ServerResponse): void {
    const { method, url, headers } = incoming
    const upstream = request({ socketPath: this.#engine.socket, method, path: url, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 500, answer.headers)
      outgoing.flushHeaders()
      answer.pipe(outgoing)
      answer.on('error', () => outgoing.destroy())
    })
    upstream.on('error', () => outgoing.destroy())
    outgoing.on('close', () => upstream.destroy())
    incoming.pipe(upstream)
  }

  #fetch({ method, url }: IncomingMessage): Promise<readonly [number, string]> {
    return new Promise((resolve, reject) => {
      const upstream = request({ socketPath: this.#engine.socket, method, path: url }, async (answer) => {
        let body = ''
        answer.setEncoding('utf8')
        for await (const chunk of answer) body += chunk
        resolve([answer.statusCode ?? 500, body])
      })
      upstream.on('error', reject)
      upstream.end()
    })
  }
}
