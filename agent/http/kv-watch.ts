import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ByteKey, ChangePosition, KvChange, StateView } from '../../consensus/client.ts'
import { FAILURES } from './api-failures.ts'
import type { HttpContext } from './collaborators.ts'
import { ClientGoneError } from './errors.ts'
import { eventText, KEEP_ALIVE_MS, KEEP_ALIVE_TEXT, sendEventStream, WakeUp } from './event-stream.ts'
import { kvJson } from './kv-reads.ts'
import { firstParam, hasParam } from './query.ts'
import { keyText, textKey } from './raw-path.ts'
import { clientSignal } from './replies.ts'
import type { RouteTable } from './routes.ts'
import { query } from './schemas.ts'
import { LEADER_WAIT_MS } from './store-reads.ts'

/** Changes taken from the store at once. */
const BATCH = 256
/** Texts are joined up to about this length: a client that is slow keeps no more than one and an event in memory. */
const TEXT_CHARS = 64 * 1024
/** A stream that nothing concerns moves on this often, lest the store forget the changes it stands at. */
const ADVANCE_MS = 1_000
const UNKNOWN_POSITION = 'the changes since Last-Event-ID are not known any more'
const FORGOTTEN = 'this node took over a newer state and does not know all changes since the last event'

/** Every change of the keys below a prefix as it happens: /api/v1/kv/watch (server-sent events). */
export function addKvWatchRoutes(routes: RouteTable, context: HttpContext): void {
  routes.add({
    method: 'GET',
    url: '/api/v1/kv/watch',
    permission: 'key:read',
    tag: 'api',
    summary: 'Changes of the keys below a prefix as server-sent events; goes on behind Last-Event-ID.',
    query: query({ prefix: 'Beginning of the keys', stale: 'Begin with what this node has' }),
    responses: { 200: { description: 'Events', media: 'text/event-stream' }, ...FAILURES },
    handler: (request, reply) => watchKeys(context, request, reply),
  })
}

async function watchKeys(
  context: HttpContext,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const { consensus, parking } = context
  const client = clientSignal(reply)
  const signal = AbortSignal.any([client, parking.closing])
  const consistency = hasParam(request.query, 'stale') ? 'stale' : 'default'
  // What the client has seen must be here before it is told what came behind.
  await consensus.read(consistency, { signal, timeoutMs: LEADER_WAIT_MS })
  if (request.method === 'HEAD') return reply.header('content-type', 'text/event-stream').send()
  // Its close, which gives the place back, would not come again.
  if (client.aborted) throw new ClientGoneError()
  // With the connection, not with the generator: one that never began is not told of its end.
  reply.raw.once('close', parking.enter())
  const header = request.headers['last-event-id']
  const stream = new KeyStream(context, textKey(firstParam(request.query, 'prefix') ?? ''), signal)
  return sendEventStream(reply, stream.texts(Array.isArray(header) ? header[0] : header))
}

/** The events of one client. */
class KeyStream {
  readonly #context: HttpContext
  readonly #prefix: ByteKey
  readonly #signal: AbortSignal
  #position: ChangePosition = { index: 0, ordinal: null }

  constructor(context: HttpContext, prefix: ByteKey, signal: AbortSignal) {
    this.#context = context
    this.#prefix = prefix
    this.#signal = signal
  }

  async *texts(lastEventId: string | undefined): AsyncGenerator<string> {
    const wakeUp = new WakeUp()
    const unwatch = this.#context.consensus.watch({ kind: 'prefix', prefix: this.#prefix }, wakeUp.wake)
    try {
      // The headers go with the first text, and a client waits for them to know that it is connected.
      yield KEEP_ALIVE_TEXT
      if (lastEventId === undefined || lastEventId === '') yield* this.#everything(await this.#view())
      else yield* this.#resume(lastEventId)
      yield* this.#follow(wakeUp)
    } finally {
      unwatch()
    }
  }

  async *#resume(lastEventId: string): AsyncGenerator<string> {
    const view = await this.#view()
    const position = parseEventId(lastEventId, this.#clusterId)
    if (position === null || view.kvChanges(position, this.#prefix, 0) === null) {
      yield* this.#everything(view, UNKNOWN_POSITION)
      return
    }
    this.#position = position
  }

  async *#follow(wakeUp: WakeUp): AsyncGenerator<string> {
    let silentMs = 0
    while (!this.#signal.aborted) {
      const view = await this.#view()
      const step = view.kvChanges(this.#position, this.#prefix, BATCH)
      if (step === null) {
        yield* this.#everything(view, FORGOTTEN)
        continue
      }
      this.#position = step.position
      if (step.changes.length > 0) {
        silentMs = 0
        yield* this.#texts(step.changes)
        continue
      }
      if (silentMs >= KEEP_ALIVE_MS) {
        silentMs = 0
        yield KEEP_ALIVE_TEXT
      }
      await wakeUp.wait(ADVANCE_MS, this.#signal)
      silentMs += ADVANCE_MS
    }
  }

  /**
   * All keys of one moment; `reset`: why they are sent anew. The view is not used after the first text: it is valid for as long
   * as nobody waits.
   */
  *#everything(view: StateView, reset?: string): Generator<string> {
    const entries = view.kvList(this.#prefix)
    this.#position = { index: view.appliedIndex, ordinal: null }
    const ready = { event: 'ready', id: this.#eventId(this.#position), data: { Index: view.appliedIndex } }
    if (reset !== undefined) yield eventText({ event: 'reset', data: { Reason: reset } })
    for (const entry of entries) yield eventText({ event: 'put', data: kvJson(entry) })
    yield eventText(ready)
  }

  *#texts(changes: readonly KvChange[]): Generator<string> {
    let text = ''
    for (const change of changes) {
      text += this.#changeText(change)
      if (text.length < TEXT_CHARS) continue
      yield text
      text = ''
    }
    if (text !== '') yield text
  }

  #changeText(change: KvChange): string {
    const id = this.#eventId(change)
    if (change.entry !== null) return eventText({ event: 'put', id, data: kvJson(change.entry) })
    return eventText({ event: 'delete', id, data: { Key: keyText(change.key), Index: change.index } })
  }

  async #view(): Promise<StateView> {
    return (await this.#context.consensus.read('stale')).view
  }

  get #clusterId(): string {
    return this.#context.consensus.status().clusterId ?? ''
  }

  /** Names the cluster too: the same number in another log is another change. */
  #eventId({ index, ordinal }: ChangePosition): string {
    return `${this.#clusterId}/${index}${ordinal === null ? '' : `.${ordinal}`}`
  }
}

/** The position of an event; null if it is of another cluster or no id of ours. */
function parseEventId(id: string, clusterId: string): ChangePosition | null {
  const [, cluster, index, ordinal] = /^(.*)\/(\d{1,15})(?:\.(\d{1,15}))?$/.exec(id) ?? []
  if (cluster === undefined || cluster !== clusterId) return null
  return { index: Number(index), ordinal: ordinal === undefined ? null : Number(ordinal) }
}
