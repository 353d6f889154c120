import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ByteKey, KvEntry, ReadResult } from '../../consensus/client.ts'
import type { Pass } from './blocking.ts'
import type { HttpContext } from './collaborators.ts'
import { badRequest } from './errors.ts'
import { firstParam, hasParam } from './query.ts'
import { keyText, pathTail, textKey } from './raw-path.ts'
import { clientSignal, renderJson } from './replies.ts'
import { LEADER_WAIT_MS, readOptions, setReadHeaders } from './store-reads.ts'

declare global {
  interface JSON {
    /** A value that JSON.stringify writes as this text (ECMAScript proposal "JSON.parse source text access"). */
    rawJSON(text: string): unknown
  }
}

/** What is answered: a body, or null for 404. */
interface Answer {
  readonly body: Buffer | null
  readonly index: number
  readonly knownLeader: boolean
  readonly lastContactMs: number
}

/** Renders one kind of read from a view; null when there is nothing. Must not await. */
interface KvQuery {
  readonly kind: 'key' | 'prefix'
  readonly raw: boolean
  index(result: ReadResult): number
  missing(result: ReadResult): boolean
  body(result: ReadResult): Buffer | null
}

/** Consul's JSON of an entry: flags as digits (they reach 2^64−1), an empty value as null, no session field without a lock. */
export function kvJson(entry: KvEntry): Record<string, unknown> {
  const bytes = entry.value
  return {
    LockIndex: entry.lockIndex,
    Key: keyText(entry.key),
    Flags: JSON.rawJSON(entry.flags.toString()),
    Value:
      bytes.length === 0
        ? null
        : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64'),
    ...(entry.session === null ? {} : { Session: entry.session }),
    CreateIndex: entry.createIndex,
    ModifyIndex: entry.modifyIndex,
  }
}

/** GET /v1/kv/*: one key, `?raw`, `?recurse` or `?keys`. */
export async function readKv(
  context: HttpContext,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const key = pathTail(request)
  const options = readOptions(request)
  const query = queryOf(request, key)
  const signal = clientSignal(reply)
  const { consensus } = context
  const answer = await context.parking.answer<Answer>(
    options,
    {
      async read(after, final): Promise<Pass<Answer>> {
        // The last look needs no confirmation: the leader was known all along, or the loss of it had woken the query.
        const consistency = final ? 'stale' : options.consistency
        const result = await consensus.read(consistency, { signal, timeoutMs: LEADER_WAIT_MS })
        const index = query.index(result)
        return {
          index,
          storeIndex: result.view.appliedIndex,
          ...(query.missing(result) ? { fingerprint: 'missing' } : {}),
          answer:
            after !== null && index <= after
              ? undefined
              : {
                  body: query.body(result),
                  index,
                  knownLeader: result.knownLeader,
                  lastContactMs: result.lastContactMs,
                },
        }
      },
      watch(listener) {
        const selector =
          query.kind === 'key' ? { kind: 'key' as const, key } : { kind: 'prefix' as const, prefix: key }
        const unwatch = consensus.watch(selector, listener)
        if (options.consistency === 'stale') return unwatch
        // Without a leader the answer may be out of date: look again, and fail if none is elected in time.
        const unsubscribe = consensus.onStatus(({ leader }) => {
          if (leader === null) listener()
        })
        return () => {
          unwatch()
          unsubscribe()
        }
      },
    },
    signal,
  )
  setReadHeaders(reply, { ...answer, consistency: options.consistency })
  return sendAnswer(reply, answer.body, query.raw)
}

function sendAnswer(reply: FastifyReply, body: Buffer | null, raw: boolean): FastifyReply {
  if (body === null) return reply.code(404).send()
  if (!raw) return reply.header('content-type', 'application/json').send(body)
  // A value is whatever somebody stored: no browser may take it for a page.
  return reply
    .header('content-type', 'text/plain')
    .header('x-content-type-options', 'nosniff')
    .header('content-security-policy', 'sandbox')
    .send(body)
}

function queryOf(request: FastifyRequest, key: ByteKey): KvQuery {
  if (hasParam(request.query, 'keys')) return keysQuery(request, key)
  if (hasParam(request.query, 'recurse')) return recurseQuery(request, key)
  if (key === '') throw badRequest('Missing key name')
  return singleQuery(request, key, hasParam(request.query, 'raw'))
}

function singleQuery(request: FastifyRequest, key: ByteKey, raw: boolean): KvQuery {
  return {
    kind: 'key',
    raw,
    index: ({ view }) => view.kvGet(key)?.modifyIndex ?? view.kvPrefixIndex(key),
    missing: ({ view }) => view.kvGet(key) === undefined,
    body({ view }) {
      const entry = view.kvGet(key)
      if (entry === undefined) return null
      return raw ? Buffer.from(entry.value) : Buffer.from(renderJson(request, [kvJson(entry)]))
    },
  }
}

function recurseQuery(request: FastifyRequest, prefix: ByteKey): KvQuery {
  return {
    kind: 'prefix',
    raw: false,
    index: ({ view }) => view.kvPrefixIndex(prefix),
    missing: () => false,
    body({ view }) {
      const entries = view.kvList(prefix)
      return entries.length === 0 ? null : Buffer.from(renderJson(request, entries.map(kvJson)))
    },
  }
}

function keysQuery(request: FastifyRequest, prefix: ByteKey): KvQuery {
  // The second spelling is Consul's own old one.
  const separator = firstParam(request.query, 'separator') ?? firstParam(request.query, 'seperator') ?? ''
  return {
    kind: 'prefix',
    raw: false,
    index: ({ view }) => view.kvPrefixIndex(prefix),
    missing: () => false,
    body({ view }) {
      const keys = foldKeys(view.kvList(prefix), prefix, textKey(separator))
      if (keys.length === 0 && prefix !== '') return null
      return Buffer.from(renderJson(request, keys.map(keyText)))
    },
  }
}

/** Keys cut after the first separator beyond the prefix, each once. Entries come sorted, so equal cuts are neighbours. */
function foldKeys(entries: readonly KvEntry[], prefix: ByteKey, separator: ByteKey): ByteKey[] {
  const keys: ByteKey[] = []
  for (const { key } of entries) {
    const at = separator === '' ? -1 : key.indexOf(separator, prefix.length)
    const folded = at < 0 ? key : key.slice(0, at + separator.length)
    if (keys.at(-1) !== folded) keys.push(folded)
  }
  return keys
}
