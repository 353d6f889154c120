import { createServer, type Server } from 'node:http'
import type { Test } from 'tap'
import type { AgentProcess } from './agent-process.ts'

/** A service with a health check, as a test runs one. */
export interface CheckedServer {
  readonly port: number
  readonly url: string
  /** Requests answered so far. */
  readonly hits: () => number
  start(): Promise<void>
  /** Stops listening and cuts every connection. */
  stop(): Promise<void>
}

/** An HTTP server on 127.0.0.1 that answers 200; not started yet. Stops with the test. */
export function checkedServer(t: Test, port: number): CheckedServer {
  let server: Server | null = null
  let hits = 0
  const stop = (): Promise<void> =>
    new Promise((resolve) => {
      if (server === null) return resolve()
      server.close(() => resolve())
      server.closeAllConnections()
      server = null
    })
  t.teardown(stop)
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    hits: () => hits,
    start: () =>
      new Promise((resolve, reject) => {
        server = createServer((_, response) => {
          hits++
          response.end('ok')
        })
        server.once('error', reject)
        server.listen(port, '127.0.0.1', () => resolve())
      }),
    stop,
  }
}

/** Registers `web` at this port with labels for Traefik and, if asked, an HTTP check every second. */
export async function registerWeb(
  agent: AgentProcess,
  port: number,
  options: { readonly check: boolean },
): Promise<void> {
  const answer = await agent.ask('/v1/agent/service/register', {
    method: 'PUT',
    body: JSON.stringify({
      ID: `web-${agent.name}`,
      Name: 'web',
      Address: '127.0.0.1',
      Port: port,
      Tags: ['traefik.enable=true', 'traefik.http.routers.web.rule=Host(`web.example`)'],
      ...(options.check
        ? { Check: { HTTP: `http://127.0.0.1:${port}/health`, Interval: '1s', Timeout: '5s' } }
        : {}),
    }),
  })
  if (answer.status !== 200) throw new Error(`the registration was answered ${answer.status}: ${answer.text}`)
}

/** What one node says about `web`. */
export interface WebViews {
  readonly catalog: readonly number[]
  readonly passing: readonly number[]
  readonly document: string
}

/** The views of `web` on one node: ports in the catalogue, ports that pass, and Traefik's document. */
export async function webViews(agent: AgentProcess): Promise<WebViews> {
  const [catalog, passing, document] = await Promise.all([
    agent.json<readonly { ServicePort: number }[]>('/v1/catalog/service/web'),
    agent.json<readonly { Service: { Port: number } }[]>('/v1/health/service/web?passing'),
    agent.ask('/api/v1/traefik'),
  ])
  if (document.status !== 200)
    throw new Error(`/api/v1/traefik answered ${document.status}: ${document.text}`)
  return {
    catalog: catalog.map(({ ServicePort }) => ServicePort),
    passing: passing.map(({ Service }) => Service.Port),
    document: document.text,
  }
}

/** True if every view that sends traffic names this port. */
export function sendsTo(views: WebViews, port: number): boolean {
  return views.passing.includes(port) && views.document.includes(`http://127.0.0.1:${port}"`)
}

/** True if no view that sends traffic names this port. */
export function avoids(views: WebViews, port: number): boolean {
  return !views.passing.includes(port) && !views.document.includes(`:${port}`)
}
