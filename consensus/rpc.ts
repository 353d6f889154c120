import { ConsensusError, type ConsensusErrorCode, isConsensusError } from './errors.ts'
import type { FeedMembers, FollowAnswer, FollowRequest } from './feed-messages.ts'
import type { SnapshotMeta } from './raft/types.ts'
import type { LeaderReport } from './server-health.ts'
import { CodecError, decodeRecord, encodeRecord, type LogRecord } from './state/codec.ts'
import type { CommandResult, Session } from './state/types.ts'
import type { Pledge } from './storage/log-store.ts'
import { type Transport, TransportError } from './transport.ts'

/** Requests between the replicas of a cluster, and of nodes on their way into one. */
export type RpcRequest =
  | { readonly op: 'propose'; readonly record: Omit<LogRecord, 'at'> }
  | { readonly op: 'readIndex'; readonly mayUseLease: boolean }
  | { readonly op: 'renew'; readonly session: string }
  /** Asks the leader how the servers are. */
  | { readonly op: 'report' }
  /** `to`: who is to lead; null = whoever is furthest. */
  | { readonly op: 'transfer'; readonly to: string | null }
  | { readonly op: 'remove'; readonly node: string }
  /** Make `node` a voter. */
  | { readonly op: 'add'; readonly node: string }
  /** Asks for nothing but an answer. */
  | { readonly op: 'ping' }
  /** The cluster of the receiver was recovered without it and is now `clusterId`. */
  | { readonly op: 'superseded'; readonly clusterId: string }
  /** `empty`: the node has no log; true unless it restarted as a member or a client. */
  | { readonly op: 'join'; readonly empty: boolean }
  | FollowRequest
  | { readonly op: 'pledge'; readonly pledge: Pledge }
  | { readonly op: 'release'; readonly attempt: string }
  | { readonly op: 'attempt'; readonly attempt: string }
  | { readonly op: 'found'; readonly clusterId: string }
  /** Asks how much of this snapshot the receiver has. */
  | {
      readonly op: 'snapshotProgress'
      readonly clusterId: string
      readonly term: number
      readonly meta: SnapshotMeta
    }
  | {
      readonly op: 'snapshot'
      readonly clusterId: string
      readonly term: number
      readonly meta: SnapshotMeta
      /** Counts from 0; part 0 begins anew. */
      readonly part: number
      readonly records: readonly Uint8Array[]
      /** CRC-32 of the records of this part. */
      readonly crc: number
      /** CRC-32 of the records of all parts up to and including this one. */
      readonly wholeCrc: number
      readonly last: boolean
    }

/** How far a snapshot has arrived. */
export interface SnapshotProgress {
  /** Parts the receiver has. */
  readonly parts: number
  /** CRC-32 of their records. */
  readonly crc: number
  /** It needs no more: its state is at least as new. */
  readonly done: boolean
}

/** Answer of each request. */
export interface RpcResponses {
  propose: CommandResult
  readIndex: { readonly index: number }
  renew: { readonly session: Session | null; readonly index: number }
  report: { readonly report: LeaderReport }
  transfer: { readonly to: string }
  remove: Record<string, never>
  /** `client`: there is no place in the configuration; any of these members feeds the node. Null: it is a member. */
  join: { readonly clusterId: string; readonly client: FeedMembers | null }
  follow: FollowAnswer
  add: { readonly role: 'voter' | 'learner' }
  ping: Record<string, never>
  superseded: Record<string, never>
  pledge: { readonly accepted: boolean; readonly clusterId: string | null }
  release: Record<string, never>
  attempt: { readonly state: 'open' | 'given-up'; readonly clusterId: string | null }
  found: Record<string, never>
  snapshotProgress: SnapshotProgress
  snapshot: Record<string, never>
}

/** A refusal by the other side. `leader` is who it believes leads. */
export class RpcRefusal extends ConsensusError {
  readonly leader: string

  constructor(code: ConsensusErrorCode, message: string, leader: string) {
    super(code, message, { retryable: true })
    this.name = 'RpcRefusal'
    this.leader = leader
  }
}

type Envelope<T> =
  | { readonly ok: true; readonly value: T }
  | {
      readonly ok: false
      readonly code: ConsensusErrorCode
      readonly message: string
      readonly leader: string
    }

/** Sends a request. @throws TransportError, RpcRefusal, CodecError */
export async function callRpc<R extends RpcRequest>(
  transport: Transport,
  to: string,
  request: R,
  options: { timeoutMs: number; signal?: AbortSignal },
): Promise<RpcResponses[R['op']]> {
  const answer = decodeRecord(await transport.request(to, encodeRecord(request), options)) as Envelope<
    RpcResponses[R['op']]
  >
  if (answer.ok) return answer.value
  throw new RpcRefusal(answer.code, answer.message, answer.leader)
}

/** Answers one request: runs `handle` and encodes its result or its ConsensusError. */
export async function answerRpc(
  payload: Uint8Array,
  leader: () => string,
  handle: (request: RpcRequest) => Promise<RpcResponses[RpcRequest['op']]>,
): Promise<Uint8Array> {
  let envelope: Envelope<unknown>
  try {
    const request = decodeRecord(payload) as RpcRequest
    if (typeof request?.op !== 'string') throw new CodecError('request names no operation')
    envelope = { ok: true, value: await handle(request) }
  } catch (error) {
    if (!isConsensusError(error)) throw error
    envelope = { ok: false, code: error.code, message: error.message, leader: leader() }
  }
  return encodeRecord(envelope)
}

/** True if a failed call may have been carried out all the same: everything but a refusal and a call that never left. */
export function mayHaveHappened(error: unknown): boolean {
  if (error instanceof TransportError) return error.failure !== 'not-sent'
  return !isConsensusError(error) || error.code === 'CST_OUTCOME_UNKNOWN'
}
