import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Consistency } from '../../consensus/client.ts'
import type { CatalogSelector } from '../../discovery/catalog/types.ts'
import { parseGoDuration } from '../../discovery/health/duration.ts'
import { DEFAULT_WAIT_MS, MAX_WAIT_MS } from './blocking.ts'
import type { CatalogContext } from './collaborators.ts'
import { badRequest, HttpError } from './errors.ts'
import { instancesOf } from './lookups.ts'
import { firstParam, hasParam } from './query.ts'
import { clientSignal, renderJson, sendJsonBytes } from './replies.ts'

/**
 * How long /v1 waits for a leader: shorter than the read timeout of Patroni (3.3 s), so that its clients see the
 * answer, and long enough for an election.
 */
export const LEADER_WAIT_MS = 2_000

/** How a request asks the leader: given up when its client goes away, or when there is none in time. */
export function leaderCall(reply: FastifyReply): {
  readonly signal: AbortSignal
  readonly timeoutMs: number
} {
  return { signal: clientSignal(reply), timeoutMs: LEADER_WAIT_MS }
}

/** Beyond this the header says no more: a client multiplies it into nanoseconds in 64 bits. */
const LAST_CONTACT_MAX_MS = 2 ** 31 - 1

/** The parameters every read from the store takes. */
export interface ReadOptions {
  readonly consistency: Consistency
  /** Longest time since a leader was heard of that a stale read may have; null = any. */
  readonly maxStaleMs: number | null
  /** 0 = do not wait. */
  readonly index: number
  readonly waitMs: number
}

/** What the headers of a store read say. */
export interface ReadState extends ContactState {
  readonly index: number | bigint
  readonly consistency: Consistency
}

/** How much this node knows of the leader. */
export interface ContactState {
  readonly knownLeader: boolean
  readonly lastContactMs: number
}

/** Decodes `index`, `wait`, `stale`, `max_stale`, `cached` and `consistent`. @throws HttpError 400 with Consul's texts. */
export function readOptions(request: FastifyRequest): ReadOptions {
  const { query } = request
  const maxStale = firstParam(query, 'max_stale') ?? ''
  const cached = hasParam(query, 'cached')
  const stale = hasParam(query, 'stale') || maxStale !== ''
  const consistent = hasParam(query, 'consistent')
  if (stale && consistent) {
    throw badRequest('Cannot specify ?stale with ?consistent, conflicting semantics.')
  }
  if (cached && consistent) {
    throw badRequest('Cannot specify ?cached with ?consistent, conflicting semantics.')
  }
  return {
    // There is no cache of answers: the copy of this node is as near.
    consistency: stale || cached ? 'stale' : consistent ? 'consistent' : 'default',
    maxStaleMs: maxStale === '' ? null : parseMaxStale(maxStale),
    index: parseIndex(firstParam(query, 'index') ?? ''),
    waitMs: parseWait(firstParam(query, 'wait') ?? ''),
  }
}

function parseIndex(text: string): number {
  // Spring sends -1 before it knows an index.
  if (text === '' || /^-\d+$/.test(text)) return 0
  if (!/^\d{1,20}$/.test(text)) throw badRequest('Invalid index')
  return Math.min(Number(text), Number.MAX_SAFE_INTEGER)
}

function parseMaxStale(text: string): number {
  try {
    return Math.max(0, parseGoDuration(text))
  } catch {
    throw badRequest('Invalid max_stale value')
  }
}

/** The `wait` of a query in milliseconds. @throws HttpError 400 `Invalid wait time`. */
export function parseWait(text: string): number {
  if (text === '') return DEFAULT_WAIT_MS
  let waitMs: number
  try {
    waitMs = parseGoDuration(text)
  } catch {
    throw badRequest('Invalid wait time')
  }
  return waitMs <= 0 ? DEFAULT_WAIT_MS : Math.min(waitMs, MAX_WAIT_MS)
}

/** Sets Consul's headers. The four always travel together: Go's client stops reading them at the first that is missing. */
export function setReadHeaders(reply: FastifyReply, state: ReadState): void {
  reply.header('x-consul-index', String(state.index < 1 ? 1 : state.index))
  setContactHeaders(reply, state)
  reply.header(
    'x-consul-effective-consistency',
    state.consistency === 'default' ? 'leader' : state.consistency,
  )
}

/** The headers of a read that has no index. */
export function setContactHeaders(reply: FastifyReply, state: ContactState): void {
  reply.header('x-consul-knownleader', String(state.knownLeader))
  reply.header(
    'x-consul-lastcontact',
    String(Math.round(Math.min(Math.max(0, state.lastContactMs), LAST_CONTACT_MAX_MS))),
  )
}

/**
 * Waits a moment for the catalogue of a node that has just started, or is alone since: an empty list of what it does not know would
 * take services from their clients.
 * @throws HttpError 500 if it is not known by then, so that clients ask again
 */
export async function catalogKnown(
  { readiness }: Pick<CatalogContext, 'readiness'>,
  reply: FastifyReply,
): Promise<void> {
  if (readiness.complete || (await readiness.whenComplete(LEADER_WAIT_MS, clientSignal(reply)))) return
  const why = 'this node has just started, and has heard of no other yet what there is'
  throw new HttpError('HTTP_UNAVAILABLE', 500, `No catalogue: ${why}`)
}

/**
 * A blocking read of the catalogue. It is this node's own view and needs no leader, so it answers once it is known, and says
 * `stale` whatever was asked. A change that leaves the body as it was does not wake the client. An index of another agent, or of
 * an earlier run of this one, waits for nothing.
 */
export async function sendCatalogRead(
  context: CatalogContext,
  request: FastifyRequest,
  reply: FastifyReply,
  read: {
    readonly selector: CatalogSelector
    readonly value: () => unknown
  },
): Promise<FastifyReply> {
  const options = readOptions(request)
  const { catalog, consensus } = context
  // Of a service that is known here, some is better than nothing.
  const isKnown = read.selector.kind === 'service' && instancesOf(catalog, read.selector.name).length > 0
  if (!isKnown) await catalogKnown(context, reply)
  const index = catalog.isOwnIndex(options.index) ? options.index : 0
  const render = (): string => renderJson(request, read.value())
  // The order of a list sorted by distance changes while nothing in the catalogue does.
  const isShared = !hasParam(request.query, 'near')
  const answer = await context.parking.answer(
    { index, waitMs: options.waitMs },
    {
      async read() {
        const storeIndex = catalog.index
        const { text, bytes } = isShared
          ? context.renders.get(request.originalUrl, storeIndex, render)
          : { text: render(), bytes: null }
        const index = catalog.indexOf(read.selector)
        const answer = { bytes: bytes ?? Buffer.from(text), index }
        return { index, storeIndex, fingerprint: text, answer }
      },
      watch: (listener) => catalog.onChange(read.selector, listener),
    },
    clientSignal(reply),
  )
  const { leader, lastContactMs } = consensus.status()
  setReadHeaders(reply, {
    index: answer.index,
    knownLeader: leader !== null,
    lastContactMs,
    consistency: 'stale',
  })
  return sendJsonBytes(reply, answer.bytes)
}
