import type { Logger } from 'pino'
import type { MemberStatus, Membership } from '../membership/types.ts'
import type { Mesh, PeerId } from '../mesh/types.ts'
import {
  type CatalogMessage,
  decodeGossip,
  decodeMessage,
  deltaBetween,
  ENTRIES_MAX,
  encodeDelta,
  encodeMessage,
  encodeVersion,
  type GossipMessage,
  type OlderLife,
  type RecordMessage,
  recordMessage,
} from './codec.ts'
import { compareVersions } from './delta.ts'
import type { DigestEntry } from './digest.ts'
import { CatalogError } from './errors.ts'
import { RecordIntake } from './intake.ts'
import type { LocalRecord } from './local-record.ts'
import type { CatalogMetrics } from './metrics.ts'
import { Rejections } from './rejections.ts'
import { EntrySeals, type SealedRecord, sealRecord } from './sealed-record.ts'
import { verifyStamp } from './stamp.ts'
import type { CatalogStore } from './store.ts'

/** Settings of {@link CatalogSync}. Durations in milliseconds. */
export interface CatalogSyncOptions {
  /** Between comparisons of digests with a random peer, jittered by a fifth. Default 5,000. */
  readonly intervalMs?: number
  readonly requestTimeoutMs?: number
}

/** What {@link CatalogSync} works with. `now` is a monotonic clock in ms, `random` answers in [0, 1). */
export interface CatalogSyncCollaborators {
  readonly mesh: Mesh
  readonly membership: Pick<Membership, 'get' | 'members' | 'onChange'>
  readonly local: LocalRecord
  readonly store: CatalogStore
  readonly log: Logger
  readonly metrics: CatalogMetrics
  readonly now: () => number
  readonly random: () => number
}

const NAME = 'catalog'
const INTERVAL_MS = 5000
const REQUEST_TIMEOUT_MS = 3000
/** Answers one pull may need: each brings at least one record. */
const ROUNDS_MAX = 64
const FETCHES_MAX = 64
/** Comparisons under way; more connections at once are left to the timer. */
const EXCHANGES_MAX = 8
/** So many looks in a row that find nobody who lives, about a second each, and there is nobody to wait for: hosts that lost power start apart. */
const LONELY_LOOKS = 60
/** From news of a member whose record is not here to the next comparison: others are likely to follow it. */
const NEWCOMER_MS = 100
/** A peer may say that this node was forgotten, and be wrong: that raises the incarnation no more often than this. */
const REBIRTH_MS = 60_000

/**
 * Keeps the records of all nodes in step: changes are gossiped as steps, a gap is closed by fetching the whole record,
 * and digests compared with a random peer find whatever gossip lost. Every record and every step carries the signature of
 * its owner; {@link RecordIntake} takes nothing without.
 */
export class CatalogSync {
  readonly #intervalMs: number
  readonly #requestTimeoutMs: number
  readonly #with: CatalogSyncCollaborators
  readonly #seals = new EntrySeals()
  readonly #rejections: Rejections
  readonly #intake: RecordIntake
  /** Owners whose record is being fetched because of gossip. */
  readonly #fetching = new Set<PeerId>()
  #exchanges = 0
  #running: AbortController | null = null
  #stopListening: (() => void)[] = []
  #timer: NodeJS.Timeout | null = null
  #newcomer: NodeJS.Timeout | null = null
  /** The own record as it was last signed, and as it was last told everybody. */
  #own: SealedRecord | null = null
  #published: SealedRecord | null = null
  #flush: NodeJS.Immediate | null = null
  #rebornAt = Number.NEGATIVE_INFINITY
  #lonelyLooks = 0

  constructor(options: CatalogSyncOptions, collaborators: CatalogSyncCollaborators) {
    this.#intervalMs = options.intervalMs ?? INTERVAL_MS
    this.#requestTimeoutMs = options.requestTimeoutMs ?? REQUEST_TIMEOUT_MS
    this.#with = collaborators
    const { mesh } = collaborators
    this.#rejections = new Rejections(collaborators)
    this.#intake = new RecordIntake({ ...collaborators, seals: this.#seals, rejections: this.#rejections })
    mesh.subscribe(NAME, (from, payload) => this.#onGossip(from, payload))
    mesh.onRequest(NAME, async (from, payload) => this.#answer(from, payload))
  }

  /** Begins to exchange. The local record is open and the membership runs. */
  start(): void {
    if (this.#running) return
    this.#running = new AbortController()
    const { mesh, local, membership, store } = this.#with
    this.#published = this.#sealed()
    this.#stopListening = [
      local.onChange(() => this.#publishSoon()),
      mesh.onPeer((event) => {
        // A connection that was made for a message is no occasion: it would be in use for longer.
        if (event.type === 'connected' && mesh.neighbours().includes(event.peer))
          this.#background(this.#exchange(event.peer))
      }),
      membership.onChange((member, previous) => {
        if (member.status === 'left') this.#intake.bury(member.id)
        else if (!previous && !store.held(member.id)) this.#exchangeSoon()
      }),
    ]
    for (const peer of mesh.connected()) this.#background(this.#exchange(peer))
    this.#schedule()
  }

  stop(): void {
    this.#running?.abort()
    this.#running = null
    for (const stop of this.#stopListening) stop()
    this.#stopListening = []
    if (this.#timer) clearTimeout(this.#timer)
    if (this.#newcomer) clearTimeout(this.#newcomer)
    if (this.#flush) clearImmediate(this.#flush)
    this.#timer = null
    this.#newcomer = null
    this.#flush = null
  }

  /** Everything that changes in one turn of the event loop travels as one step. */
  #publishSoon(): void {
    this.#flush ??= setImmediate(() => {
      this.#flush = null
      this.#publish()
    })
  }

  #publish(): void {
    const before = this.#published
    const after = this.#sealed()
    this.#published = after
    if (!before || compareVersions(before.stamp, after.stamp) === 0) return
    // No step leads to a new incarnation: it is announced, and fetched as a whole.
    const bytes =
      before.stamp.incarnation === after.stamp.incarnation
        ? encodeDelta(deltaBetween(before, after, this.#seals))
        : encodeVersion(after.stamp)
    this.#background(this.#with.mesh.publish(NAME, bytes))
  }

  /** The own record, signed. Each version is signed once. */
  #sealed(): SealedRecord {
    const { mesh, local } = this.#with
    const record = local.published()
    if (this.#own?.record !== record) {
      this.#own = sealRecord(mesh, record, this.#seals, this.#own ?? undefined)
    }
    return this.#own
  }

  #onGossip(from: PeerId, payload: Uint8Array): void {
    const signal = this.#running?.signal
    if (!signal) return
    const message = this.#read(from, (): GossipMessage => decodeGossip(payload))
    if (message && this.#intake.gossip(message, from) === 'fetch') this.#background(this.#fetch(from, signal))
  }

  /** The record of one owner, from itself. */
  async #fetch(owner: PeerId, signal: AbortSignal): Promise<void> {
    if (this.#fetching.has(owner) || this.#fetching.size >= FETCHES_MAX) return
    this.#fetching.add(owner)
    try {
      await this.#pull(owner, [owner], signal)
    } finally {
      this.#fetching.delete(owner)
    }
  }

  /** Fetches records from a peer until all have come or it has no more. False if it did not answer properly. */
  async #pull(peer: PeerId, ids: readonly PeerId[], signal: AbortSignal): Promise<boolean> {
    let missing = ids
    for (let round = 0; round < ROUNDS_MAX && missing.length > 0; round++) {
      const answer = await this.#ask(peer, { type: 'fetch', ids: missing }, signal)
      this.#with.metrics.fetches.inc({ result: answer?.type === 'records' ? 'ok' : 'failed' })
      if (answer?.type !== 'records') return false
      const got = new Set(answer.records.map(({ stamp }) => stamp.id))
      for (const record of answer.records) this.#intake.record(record, peer)
      const next = missing.filter((id) => !got.has(id))
      if (next.length === missing.length) return true
      missing = next
    }
    return true
  }

  /**
   * Compares with a peer: one digest of everything first, and only if that differs what each has; then each fetches what is
   * newer at the other.
   */
  async #exchange(peer: PeerId): Promise<void> {
    const signal = this.#running?.signal
    if (!signal || signal.aborted || this.#exchanges >= EXCHANGES_MAX) return
    this.#exchanges++
    try {
      const ok = await this.#compare(peer, signal)
      this.#with.metrics.exchanges.inc({ result: ok ? 'ok' : 'failed' })
      if (ok && !signal.aborted) this.#with.store.markSynced()
    } finally {
      this.#exchanges--
    }
  }

  async #compare(peer: PeerId, signal: AbortSignal): Promise<boolean> {
    const { store, local } = this.#with
    const { digest } = store.digest()
    const answer = await this.#ask(peer, { type: 'compare', digest, own: local.published().version }, signal)
    if (answer?.type !== 'same' && answer?.type !== 'digest') return false
    if (answer.yours) this.#goBeyond(answer.yours, peer)
    if (answer.type === 'same') return true
    const theirs = new Map(answer.entries.map((entry) => [entry.id, entry]))
    const offered = this.#entries().filter((entry) => {
      const there = theirs.get(entry.id)
      return !there || compareVersions(entry, there) > 0
    })
    if (offered.length > 0) {
      const taken = await this.#ask(peer, { type: 'offer', entries: offered }, signal)
      if (taken?.type !== 'same') return false
    }
    return await this.#pull(peer, this.#wanted(answer.entries), signal)
  }

  async #answer(from: PeerId, payload: Uint8Array): Promise<Uint8Array> {
    const signal = this.#running?.signal
    if (!signal) return encodeMessage({ type: 'error', message: 'the catalogue has not started' })
    const message = this.#read(from, (): CatalogMessage => decodeMessage(payload))
    switch (message?.type) {
      case 'compare': {
        const older = this.#intake.olderLife(from, message.own)
        const yours = older ? { yours: older } : {}
        if (message.digest === this.#with.store.digest().digest)
          return encodeMessage({ type: 'same', ...yours })
        return encodeMessage({ type: 'digest', entries: this.#entries(), ...yours })
      }
      case 'offer': {
        const wanted = this.#wanted(message.entries)
        if (wanted.length > 0) this.#background(this.#pull(from, wanted, signal))
        return encodeMessage({ type: 'same' })
      }
      case 'fetch':
        return encodeMessage({ type: 'records', records: this.#select(message.ids) })
      default:
        return encodeMessage({ type: 'error', message: 'the request could not be read' })
    }
  }

  #select(ids: readonly PeerId[]): RecordMessage[] {
    const out: RecordMessage[] = []
    for (const id of new Set(ids)) {
      const sealed = id === this.#with.mesh.id ? this.#sealed() : this.#intake.sealed(id)
      if (sealed) out.push(recordMessage(sealed, this.#seals))
    }
    return out
  }

  #entries(): DigestEntry[] {
    return this.#with.store
      .known()
      .slice(0, ENTRIES_MAX)
      .map(({ id, version }) => ({ id, ...version }))
  }

  #wanted(entries: readonly DigestEntry[]): PeerId[] {
    return entries.filter((entry) => this.#intake.wants(entry.id, entry)).map(({ id }) => id)
  }

  /** Others remember a life of this node that its own memory does not go beyond: a signature of its own proves it. */
  #goBeyond({ stamp, buried }: OlderLife, from: PeerId): void {
    const { mesh, local, now } = this.#with
    if (stamp.id !== mesh.id || !verifyStamp(mesh, stamp)) {
      this.#rejections.reject('forged', stamp.id, from)
      return
    }
    const isNewer = compareVersions(stamp, local.published().version) > 0
    const isReborn = buried && now() - this.#rebornAt >= REBIRTH_MS
    if (!isNewer && !isReborn) return
    if (!isNewer) this.#rebornAt = now()
    local.raise(stamp.incarnation)
  }

  async #ask(
    peer: PeerId,
    message: CatalogMessage,
    signal: AbortSignal,
  ): Promise<CatalogMessage | undefined> {
    try {
      const bytes = await this.#with.mesh.request(peer, NAME, encodeMessage(message), {
        timeoutMs: this.#requestTimeoutMs,
        signal,
      })
      if (signal.aborted) return undefined
      return this.#read(peer, () => decodeMessage(bytes))
    } catch (error) {
      if (!signal.aborted) this.#with.log.debug({ peer, err: error }, 'a catalogue request failed')
      return undefined
    }
  }

  #schedule(): void {
    const { store, random } = this.#with
    // Until the first exchange has succeeded this node knows too little to answer: try more often.
    const delayMs = (store.synced ? this.#intervalMs : this.#intervalMs / 5) * (0.8 + 0.4 * random())
    this.#timer = setTimeout(() => {
      this.#intake.prune()
      this.#exchangeWithAnyone()
      if (!store.synced) this.#lookForOthers()
      this.#schedule()
    }, delayMs)
  }

  /**
   * The last one alive knows what there is to know, or it could never say that something does not exist. Looks are counted instead of
   * time, so that a process that stood still has not looked.
   */
  #lookForOthers(): void {
    const { membership, mesh, store, log } = this.#with
    const isLonely = membership.members().every(({ id, status }) => id === mesh.id || !isLive(status))
    this.#lonelyLooks = isLonely ? this.#lonelyLooks + 1 : 0
    if (this.#lonelyLooks < LONELY_LOOKS) return
    log.info('no other member was found: what this node knows is taken for all there is')
    store.markSynced()
  }

  /** A joiner is connected before it has heard who is there, and everybody hears of a joiner: its record is not far. */
  #exchangeSoon(): void {
    this.#newcomer ??= setTimeout(() => {
      this.#newcomer = null
      this.#exchangeWithAnyone()
    }, NEWCOMER_MS)
  }

  #exchangeWithAnyone(): void {
    const { mesh, membership, random } = this.#with
    const peers = mesh.neighbours().filter((id) => {
      const status = membership.get(id)?.status
      return status !== undefined && isLive(status)
    })
    const peer = peers[Math.floor(random() * peers.length)]
    if (peer !== undefined) this.#background(this.#exchange(peer))
  }

  #read<T>(from: PeerId, read: () => T): T | undefined {
    try {
      return read()
    } catch (error) {
      if (!(error instanceof CatalogError)) throw error
      this.#rejections.reject('garbage', null, from, error)
      return undefined
    }
  }

  #background(work: Promise<unknown>): void {
    work.catch((error: unknown) => this.#with.log.warn({ err: error }, 'exchanging the catalogue failed'))
  }
}

function isLive(status: MemberStatus): boolean {
  return status === 'alive' || status === 'suspect'
}
