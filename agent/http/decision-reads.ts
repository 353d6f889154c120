import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Consistency, ReadResult, StateView, WatchSelector } from '../../consensus/client.ts'
import type { Pass } from './blocking.ts'
import type { HttpContext } from './collaborators.ts'
import { clientSignal } from './replies.ts'
import {
  LEADER_WAIT_MS,
  type ReadOptions,
  type ReadState,
  readOptions,
  setReadHeaders,
} from './store-reads.ts'

/** One kind of read of the replicated state. None of its functions may await. */
export interface DecisionQuery {
  /** What wakes it. */
  readonly selector: WatchSelector
  /** The index of its result: `?index=` blocks until it is greater. */
  index(view: StateView): number
  /**
   * When given, and the same as at the look before, the query goes on waiting although its index rose. Constant for what
   * is missing: it wakes a client when it appears or disappears and not in between.
   */
  fingerprint?(view: StateView): string | undefined
  /** The body of the answer; null for 404. */
  body(view: StateView): Buffer | null
}

interface Answer extends ReadState {
  readonly body: Buffer | null
}

/**
 * Reads the replicated state as the parameters of the request ask (`index`, `wait`, `stale`, `max_stale`, `consistent`), waits if they
 * say so, and sets the headers of the answer. Answers its body.
 * @throws HttpError, ConsensusError, ClientGoneError
 */
export async function readDecisions(
  context: HttpContext,
  request: FastifyRequest,
  reply: FastifyReply,
  query: DecisionQuery,
): Promise<Buffer | null> {
  const options = readOptions(request)
  const signal = clientSignal(reply)
  const answer = await context.parking.answer<Answer>(
    options,
    {
      async read(after, final): Promise<Pass<Answer>> {
        // The last look needs no confirmation: the leader was known all along, or the loss of it had woken the query.
        const { view, ...state } = await freshEnough(
          context,
          options,
          final ? 'stale' : options.consistency,
          signal,
        )
        const index = query.index(view)
        const fingerprint = query.fingerprint?.(view)
        return {
          index,
          storeIndex: view.appliedIndex,
          ...(fingerprint === undefined ? {} : { fingerprint }),
          answer:
            after !== null && index <= after
              ? undefined
              : { ...state, body: query.body(view), index, consistency: options.consistency },
        }
      },
      watch: (listener) => watch(context, query.selector, options.consistency, listener),
    },
    signal,
  )
  setReadHeaders(reply, answer)
  return answer.body
}

/** A stale read that is staler than `max_stale` allows is repeated through the leader. */
async function freshEnough(
  { consensus }: HttpContext,
  options: ReadOptions,
  consistency: Consistency,
  signal: AbortSignal,
): Promise<ReadResult> {
  const call = { signal, timeoutMs: LEADER_WAIT_MS }
  const result = await consensus.read(consistency, call)
  if (options.maxStaleMs === null || result.lastContactMs <= options.maxStaleMs) return result
  return consensus.read('default', call)
}

function watch(
  { consensus }: HttpContext,
  selector: WatchSelector,
  consistency: Consistency,
  listener: () => void,
): () => void {
  const unwatch = consensus.watch(selector, listener)
  if (consistency === 'stale') return unwatch
  // Without a leader the answer may be out of date: look again, and fail if none is elected in time.
  const unsubscribe = consensus.onStatus(({ leader }) => {
    if (leader === null) listener()
  })
  return () => {
    unwatch()
    unsubscribe()
  }
}
