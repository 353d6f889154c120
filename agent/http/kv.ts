import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import type { Command } from '../../consensus/client.ts'
import { parseGoDuration } from '../../discovery/health/duration.ts'
import { bodyBytes } from './body.ts'
import type { HttpContext } from './collaborators.ts'
import { badRequest, refused } from './errors.ts'
import { readKv } from './kv-reads.ts'
import { firstParam, hasParam, sortedQuery } from './query.ts'
import { pathTail } from './raw-path.ts'
import { sendJson } from './replies.ts'
import type { RouteTable } from './routes.ts'
import { DONE, ERRORS, KvEntrySchema, KvKeysSchema, query, READ_QUERY } from './schemas.ts'
import { leaderCall } from './store-reads.ts'

const TTL_MIN_MS = 1_000
const TTL_MAX_MS = 365 * 24 * 60 * 60_000
const UINT64_MAX = 2n ** 64n - 1n

/** The key-value store: /v1/kv/* (Consul KV API). */
export function addKvRoutes(routes: RouteTable, context: HttpContext): void {
  routes.add({
    method: 'GET',
    url: '/v1/kv/*',
    wildcard: 'key',
    permission: 'key:read',
    tag: 'kv',
    summary: 'Read a key, or everything below a prefix. Blocks with ?index.',
    query: query({
      ...READ_QUERY,
      raw: 'Answer the bytes of the value',
      recurse: 'Answer every entry whose key starts with the given one',
      keys: 'Answer the keys only',
      separator: 'With keys: cut each key after the first separator beyond the prefix',
    }),
    responses: {
      200: {
        description: 'Entries, keys, or with ?raw the value',
        json: Type.Union([KvEntrySchema, KvKeysSchema]),
      },
      404: { description: 'No such key' },
      ...ERRORS,
    },
    handler: (request, reply) => readKv(context, request, reply),
  })
  routes.add({
    method: 'PUT',
    url: '/v1/kv/*',
    wildcard: 'key',
    permission: 'key:write',
    tag: 'kv',
    summary: 'Write a key. The body is the value, at most kv.value_bytes_max (512 KiB).',
    query: query({
      ttl: 'How long the key lives unless it is written again with a ttl, e.g. 30s; an extension',
      flags: 'Number of up to 64 bits, kept with the value',
      cas: 'Write only if ModifyIndex is this; 0 = only if the key is absent',
      acquire: 'Session that locks the key',
      release: 'Session that unlocks the key',
    }),
    responses: { 200: DONE, 413: { description: 'Value too large', media: 'text/plain' }, ...ERRORS },
    bodyLimit: context.config.kv.valueBytesMax,
    handler: (request, reply) => write(context, request, reply, putCommand(request)),
  })
  routes.add({
    method: 'DELETE',
    url: '/v1/kv/*',
    wildcard: 'key',
    permission: 'key:write',
    tag: 'kv',
    summary: 'Delete a key, or everything below a prefix.',
    query: query({
      recurse: 'Delete every key that starts with the given one',
      cas: 'Delete only if ModifyIndex is this',
    }),
    responses: { 200: DONE, ...ERRORS },
    handler: (request, reply) => write(context, request, reply, deleteCommand(request)),
  })
}

async function write(
  context: HttpContext,
  request: FastifyRequest,
  reply: FastifyReply,
  command: Command,
): Promise<FastifyReply> {
  const result = await context.consensus.propose(command, leaderCall(reply))
  if (result.error !== undefined) throw refused(result.error)
  return sendJson(request, reply, result.ok)
}

function putCommand(request: FastifyRequest): Command {
  const key = pathTail(request)
  if (key === '') throw badRequest('Missing key name')
  refuseConflict(request, ['cas', 'acquire', 'release'])
  refuseConflict(request, ['ttl', 'acquire', 'release'])
  const flags = parseFlags(firstParam(request.query, 'flags') ?? '')
  const value = bodyBytes(request)
  for (const type of ['acquire', 'release'] as const) {
    if (!hasParam(request.query, type)) continue
    const session = firstParam(request.query, type) ?? ''
    if (session === '') throw refused('missing session')
    return { type: `kv.${type}`, key, value, flags, session }
  }
  const cas = parseCas(request)
  const ttlMs = parseTtl(request)
  return {
    type: 'kv.set',
    key,
    value,
    flags,
    ...(cas === undefined ? {} : { cas }),
    ...(ttlMs === undefined ? {} : { ttlMs }),
  }
}

function deleteCommand(request: FastifyRequest): Command {
  const key = pathTail(request)
  refuseConflict(request, ['recurse', 'cas'])
  if (hasParam(request.query, 'recurse')) return { type: 'kv.deleteTree', prefix: key }
  if (key === '') throw badRequest('Missing key name')
  const cas = parseCas(request)
  return { type: 'kv.delete', key, ...(cas === undefined ? {} : { cas }) }
}

function refuseConflict(request: FastifyRequest, names: readonly string[]): void {
  if (names.filter((name) => hasParam(request.query, name)).length > 1) {
    throw badRequest(`Conflicting flags: ${sortedQuery(request.originalUrl)}\n`)
  }
}

/** The ModifyIndex that `?cas` asks for; undefined without it. @throws HttpError 400 */
export function parseCas(request: FastifyRequest): number | undefined {
  if (!hasParam(request.query, 'cas')) return undefined
  const value = parseUint64('cas', firstParam(request.query, 'cas') ?? '')
  // Beyond it no index is exact, and none exists: the comparison fails either way.
  return Number(value > BigInt(Number.MAX_SAFE_INTEGER) ? BigInt(Number.MAX_SAFE_INTEGER) : value)
}

function parseTtl(request: FastifyRequest): number | undefined {
  if (!hasParam(request.query, 'ttl')) return undefined
  const text = firstParam(request.query, 'ttl') ?? ''
  let ms = Number.NaN
  try {
    ms = parseGoDuration(text)
  } catch {
    // Refused below, with what is allowed.
  }
  if (ms >= TTL_MIN_MS && ms <= TTL_MAX_MS) return ms
  throw badRequest(`Invalid ttl: ${JSON.stringify(text)} is not a duration from 1s to 8760h`)
}

function parseFlags(text: string): bigint {
  return text === '' ? 0n : parseUint64('flags', text)
}

function parseUint64(name: string, text: string): bigint {
  const value = /^\d{1,20}$/.test(text) ? BigInt(text) : -1n
  if (value < 0n || value > UINT64_MAX) {
    throw badRequest(`Invalid ${name}: ${JSON.stringify(text)} is not a number of 64 bits`)
  }
  return value
}
