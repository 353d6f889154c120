import { allVoters } from './raft/configuration.ts'
import type { Configuration, Entry } from './raft/types.ts'
import { CodecError } from './state/codec.ts'
import { decodeEntry } from './storage/entry-codec.ts'

/** Who belongs to the cluster as far as a client needs to know. */
export interface FeedMembers {
  readonly voters: readonly string[]
  readonly learners: readonly string[]
}

/** A client asks a member for what was committed after (`index`, `term`); index 0: it has nothing. */
export interface FollowRequest {
  readonly op: 'follow'
  readonly clusterId: string
  readonly index: number
  readonly term: number
  /** The client has no answer of this member yet, or lost the last one: it needs to be told who the members are. */
  readonly fresh: boolean
  /** The part of a snapshot it wants next; null when it wants entries. */
  readonly transfer: { readonly id: string; readonly part: number } | null
}

/** One part of a state, in the records of `StateMachine.snapshot`, as of (`index`, `term`). */
export interface FollowSnapshot {
  readonly kind: 'snapshot'
  readonly transfer: string
  readonly index: number
  readonly term: number
  readonly part: number
  readonly records: readonly Uint8Array[]
  readonly last: boolean
}

/** What a member answers. `leader`: '' if it knows none. `members`: null if they are those it told last. */
export interface FollowAnswer {
  readonly leader: string
  readonly term: number
  /** What the member knows to be committed. */
  readonly commitIndex: number
  /** Milliseconds since the member heard the leader; null if it never did. */
  readonly lastContactMs: number | null
  readonly members: FeedMembers | null
  readonly body:
    | { readonly kind: 'entries'; readonly entries: readonly Uint8Array[] }
    /** The member has not got as far as the client, or cannot get any further. */
    | { readonly kind: 'behind' }
    | FollowSnapshot
}

/** An answer that was checked, with its entries decoded. */
export type CheckedAnswer = Omit<FollowAnswer, 'body'> & {
  readonly body:
    | { readonly kind: 'entries'; readonly entries: readonly Entry[] }
    | { readonly kind: 'behind' }
    | FollowSnapshot
}

/** The most records and entries one answer may hold; a member stops at far fewer bytes. */
const ITEMS_MAX = 1 << 20
const IDS_MAX = 4096

function isIndex(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function isIds(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.length <= IDS_MAX && value.every((id) => typeof id === 'string')
}

function isByteList(value: unknown): value is readonly Uint8Array[] {
  return Array.isArray(value) && value.length <= ITEMS_MAX && value.every((b) => b instanceof Uint8Array)
}

/** The members of a configuration; whoever votes in either half of a joint one is a voter. */
export function feedMembers(configuration: Configuration): FeedMembers {
  const voters = allVoters(configuration)
  const others = [...configuration.learners, ...configuration.learnersNext]
  return { voters, learners: others.filter((id) => !voters.includes(id)) }
}

/** True if `value` is a request a member can answer. */
export function isFollowRequest(value: FollowRequest): boolean {
  const { clusterId, index, term, fresh, transfer } = value
  const plain = typeof clusterId === 'string' && typeof fresh === 'boolean' && isIndex(index) && isIndex(term)
  if (!plain || transfer === null) return plain
  return typeof transfer === 'object' && typeof transfer.id === 'string' && isIndex(transfer.part)
}

/**
 * Checks an answer to a client that is at (`index`, `term`): its form, its checksums, and that its entries follow that
 * position without a gap. @throws CodecError, DamagedEntryError
 */
export function checkAnswer(answer: FollowAnswer, position: { index: number; term: number }): CheckedAnswer {
  const { leader, term, commitIndex, lastContactMs, members, body } = answer ?? {}
  const isContact = lastContactMs === null || (typeof lastContactMs === 'number' && lastContactMs >= 0)
  if (typeof leader !== 'string' || !isIndex(term) || !isIndex(commitIndex) || !isContact)
    throw new CodecError('the answer of the feed is malformed')
  if (members !== null && !(isIds(members?.voters) && isIds(members.learners)))
    throw new CodecError('the members in the answer of the feed are malformed')
  const head = { leader, term, commitIndex, lastContactMs, members }
  switch (body?.kind) {
    case 'behind':
      return { ...head, body: { kind: 'behind' } }
    case 'entries':
      return { ...head, body: { kind: 'entries', entries: checkEntries(body.entries, position) } }
    case 'snapshot':
      return { ...head, body: checkSnapshot(body) }
    default:
      throw new CodecError('the answer of the feed is of an unknown kind')
  }
}

function checkEntries(encoded: unknown, position: { index: number; term: number }): readonly Entry[] {
  if (!isByteList(encoded)) throw new CodecError('the entries of the feed are malformed')
  let { index, term } = position
  const entries: Entry[] = []
  for (const bytes of encoded) {
    const entry = decodeEntry(bytes)
    if (entry.index !== index + 1)
      throw new CodecError(`the feed has a gap: entry ${entry.index} after ${index}`)
    if (entry.term < term) throw new CodecError(`the feed goes back from term ${term} to ${entry.term}`)
    entries.push(entry)
    index = entry.index
    term = entry.term
  }
  return entries
}

function checkSnapshot(body: FollowSnapshot): FollowSnapshot {
  const { transfer, index, term, part, records, last } = body
  const isWhole = isIndex(index) && index > 0 && isIndex(term) && isIndex(part)
  if (typeof transfer !== 'string' || typeof last !== 'boolean' || !isWhole || !isByteList(records))
    throw new CodecError('the snapshot of the feed is malformed')
  return { kind: 'snapshot', transfer, index, term, part, records, last }
}
