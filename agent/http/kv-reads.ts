import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ByteKey, KvEntry } from '../../consensus/client.ts'
import { formatGoDuration } from '../../discovery/health/duration.ts'
import type { HttpContext } from './collaborators.ts'
import { type DecisionQuery, readDecisions } from './decision-reads.ts'
import { badRequest } from './errors.ts'
import { firstParam, hasParam } from './query.ts'
import { keyText, pathTail, textKey } from './raw-path.ts'
import { renderJson } from './replies.ts'

declare global {
  interface JSON {
    /** A value that JSON.stringify writes as this text (ECMAScript proposal "JSON.parse source text access"). */
    rawJSON(text: string): unknown
  }
}

/** Fingerprint of a key that does not exist. */
const MISSING = 'missing'

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
    ...(entry.ttl === undefined ? {} : { TTL: formatGoDuration(entry.ttl.ms) }),
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
  const isRaw =
    ['keys', 'recurse'].every((name) => !hasParam(request.query, name)) && hasParam(request.query, 'raw')
  const body = await readDecisions(context, request, reply, queryOf(request, key, isRaw))
  if (body === null) return reply.code(404).send()
  if (!isRaw) return reply.header('content-type', 'application/json').send(body)
  // A value is whatever somebody stored: no browser may take it for a page.
  return reply
    .header('content-type', 'text/plain')
    .header('x-content-type-options', 'nosniff')
    .header('content-security-policy', 'sandbox')
    .send(body)
}

function queryOf(request: FastifyRequest, key: ByteKey, isRaw: boolean): DecisionQuery {
  if (hasParam(request.query, 'keys')) return keysQuery(request, key)
  if (hasParam(request.query, 'recurse')) return recurseQuery(request, key)
  if (key === '') throw badRequest('Missing key name')
  return singleQuery(request, key, isRaw)
}

function singleQuery(request: FastifyRequest, key: ByteKey, raw: boolean): DecisionQuery {
  return {
    selector: { kind: 'key', key },
    index: (view) => view.kvGet(key)?.modifyIndex ?? view.kvPrefixIndex(key),
    fingerprint: (view) => (view.kvGet(key) === undefined ? MISSING : undefined),
    body(view) {
      const entry = view.kvGet(key)
      if (entry === undefined) return null
      return raw ? Buffer.from(entry.value) : Buffer.from(renderJson(request, [kvJson(entry)]))
    },
  }
}

function recurseQuery(request: FastifyRequest, prefix: ByteKey): DecisionQuery {
  return {
    selector: { kind: 'prefix', prefix },
    index: (view) => view.kvPrefixIndex(prefix),
    body(view) {
      const entries = view.kvList(prefix)
      return entries.length === 0 ? null : Buffer.from(renderJson(request, entries.map(kvJson)))
    },
  }
}

function keysQuery(request: FastifyRequest, prefix: ByteKey): DecisionQuery {
  // The second spelling is Consul's own old one.
  const separator = firstParam(request.query, 'separator') ?? firstParam(request.query, 'seperator') ?? ''
  return {
    selector: { kind: 'prefix', prefix },
    index: (view) => view.kvPrefixIndex(prefix),
    body(view) {
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
