import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { HttpContext } from './collaborators.ts'
import { badRequest, ClientGoneError } from './errors.ts'
import { WakeUp } from './event-stream.ts'
import { firstParam, hasParam } from './query.ts'
import { clientSignal } from './replies.ts'
import type { RouteTable } from './routes.ts'
import { ERRORS, query } from './schemas.ts'

/** Consul's names of the levels, as numbers of pino. */
const LEVELS: Readonly<Record<string, number>> = {
  trace: 10,
  debug: 20,
  info: 30,
  warn: 40,
  error: 50,
  err: 50,
}
/** Lines kept for a client that is slow. What comes while there are as many is dropped, and the number told. */
const LINES_MAX = 512
/** How often a stream without news looks whether it is to end. */
const IDLE_MS = 60_000

/** The log as it is written: /v1/agent/monitor (Consul agent API). */
export function addAgentMonitorRoutes(routes: RouteTable, context: HttpContext): void {
  routes.add({
    method: 'GET',
    url: '/v1/agent/monitor',
    permission: 'agent:read',
    tag: 'agent',
    summary: 'The lines of the log as they are written, until the client goes.',
    query: query({
      loglevel: 'trace, debug, info (default), warn or error; no more than the agent itself logs',
      logjson: 'Lines as JSON',
    }),
    responses: { 200: { description: 'Lines', media: 'text/plain' }, ...ERRORS },
    handler: (request, reply) => monitor(context, request, reply),
  })
}

function monitor(context: HttpContext, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const wanted = (firstParam(request.query, 'loglevel') || 'info').toLowerCase()
  const level = Object.hasOwn(LEVELS, wanted) ? LEVELS[wanted] : undefined
  if (level === undefined) throw badRequest(`Unknown log level: ${wanted}`)
  const client = clientSignal(reply)
  if (client.aborted) throw new ClientGoneError()
  const isJson = hasParam(request.query, 'logjson') && firstParam(request.query, 'logjson') !== 'false'
  // With the connection, not with the generator: one that never began is not told of its end.
  reply.raw.once('close', context.parking.enter())
  const lines = new Monitor(level, isJson ? (line) => line : textLine)
  if (context.logFeed !== undefined) reply.raw.once('close', context.logFeed.follow(lines.take))
  const signal = AbortSignal.any([client, context.parking.closing])
  const first = {
    level: 30,
    time: new Date().toISOString(),
    part: 'monitor',
    msg: `following the log at level ${wanted}`,
  }
  return reply
    .header('content-type', 'text/plain; charset=utf-8')
    .header('cache-control', 'no-store')
    .header('connection', 'close')
    .send(Readable.from(lines.texts(`${JSON.stringify(first)}\n`, signal), { objectMode: false }))
}

/** The lines of one client. */
class Monitor {
  readonly #level: number
  readonly #render: (line: string) => string
  readonly #wakeUp = new WakeUp()
  #waiting: string[] = []
  #dropped = 0

  constructor(level: number, render: (line: string) => string) {
    this.#level = level
    this.#render = render
  }

  readonly take = (line: string, level: number): void => {
    if (level < this.#level) return
    if (this.#waiting.length < LINES_MAX) this.#waiting.push(line)
    else this.#dropped++
    this.#wakeUp.wake()
  }

  async *texts(first: string, signal: AbortSignal): AsyncGenerator<string> {
    yield this.#render(first)
    while (!signal.aborted) {
      const text = this.#next()
      if (text === '') await this.#wakeUp.wait(IDLE_MS, signal)
      else yield text
    }
  }

  #next(): string {
    const [lines, dropped] = [this.#waiting, this.#dropped]
    this.#waiting = []
    this.#dropped = 0
    if (dropped > 0) {
      const msg = `${dropped} lines were dropped: the client is too slow`
      lines.push(`${JSON.stringify({ level: 40, time: new Date().toISOString(), part: 'monitor', msg })}\n`)
    }
    return lines.map(this.#render).join('')
  }
}

/** A line of JSON as text: time, level, part, message, and the rest as `name=value`. */
export function textLine(line: string): string {
  let fields: Record<string, unknown>
  try {
    fields = JSON.parse(line) as Record<string, unknown>
  } catch {
    return line
  }
  const { level, time, part, msg, ...rest } = fields
  const [label = 'info'] = Object.entries(LEVELS).find(([, number]) => number >= Number(level)) ?? ['error']
  const others = Object.entries(rest).map(([key, value]) => ` ${key}=${oneLine(value)}`)
  const from = part === undefined ? '' : `${String(part)}: `
  return `${String(time ?? '')} [${label.toUpperCase()}] ${from}${oneLine(msg ?? '')}${others.join('')}\n`.trimStart()
}

function oneLine(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? '')
  return text.replaceAll('\r', '\\r').replaceAll('\n', '\\n')
}
