import type { Logger } from 'pino'
import type { Membership } from '../membership/types.ts'
import type { Mesh, PeerId } from '../mesh/types.ts'
import {
  type CatalogMessage,
  decodeGossip,
  decodeMessage,
  ENTRIES_MAX,
  encodeDelta,
  encodeMessage,
  encodeVersion,
  type GossipMessage,
} from './codec.ts'
import { applyDelta, compareVersions, diffRecords, type RecordDelta } from './delta.ts'
import type { DigestEntry } from './digest.ts'
import { CatalogError } from './errors.ts'
import type { LocalRecord } from './local-record.ts'
import type { CatalogMetrics, RejectReason } from './metrics.ts'
import type { CatalogStore } from './store.ts'
import type { NodeRecord } from './types.ts'

/** Settings of {@link CatalogSync}. Durations in milliseconds. */
export interface CatalogSyncOptions {
  /** Between comparisons of digests with a random peer, jittered by a fifth. Default 5,000. */
  readonly intervalMs?: number
  readonly requestTimeoutMs?: number
}

/** What {@link CatalogSync} works with. `now` is a monotonic clock in ms, `random` answers in [0, 1). */
export interface CatalogSyncCollaborators {
  readonly mesh: Mesh
  readonly membership: Pick<Membership, 'get'>
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
const FORGERS_MAX = 64

/**
 * Keeps the records of all nodes in step: changes are gossiped as steps, a gap is closed by fetching the whole record,
 * and digests compared with a random peer find whatever gossip lost.
 */
export class CatalogSync {
  readonly #intervalMs: number
  readonly #requestTimeoutMs: number
  readonly #with: CatalogSyncCollaborators
  /** Owners whose record is being fetched because of gossip. */
  readonly #fetching = new Set<PeerId>()
  /** Peers already complained about. */
  readonly #forgers = new Set<PeerId>()
  #running: AbortController | null = null
  #stopListening: (() => void)[] = []
  #timer: NodeJS.Timeout | null = null
  #published: NodeRecord | null = null
  #flush: NodeJS.Immediate | null = null

  constructor(options: CatalogSyncOptions, collaborators: CatalogSyncCollaborators) {
    this.#intervalMs = options.intervalMs ?? INTERVAL_MS
    this.#requestTimeoutMs = options.requestTimeoutMs ?? REQUEST_TIMEOUT_MS
    this.#with = collaborators
    const { mesh } = collaborators
    mesh.subscribe(NAME, (from, payload) => this.#onGossip(from, payload))
    mesh.onRequest(NAME, async (from, payload) => this.#answer(from, payload))
  }

  /** Begins to exchange. The local record is open and the membership runs. */
  start(): void {
    if (this.#running) return
    this.#running = new AbortController()
    const { mesh, local } = this.#with
    this.#published = local.record()
    this.#stopListening = [
      local.onChange(() => this.#publishSoon()),
      mesh.onPeer((event) => {
        if (event.type === 'connected') this.#background(this.#exchange(event.peer))
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
    if (this.#flush) clearImmediate(this.#flush)
    this.#timer = null
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
    const { local, mesh } = this.#with
    const before = this.#published
    const after = local.record()
    this.#published = after
    if (!before || compareVersions(before.version, after.version) === 0) return
    // No step leads to a new incarnation: it is announced, and fetched as a whole.
    const bytes =
      before.version.incarnation === after.version.incarnation
        ? encodeDelta(diffRecords(before, after))
        : encodeVersion({ id: after.id, ...after.version })
    this.#background(mesh.publish(NAME, bytes))
  }

  #onGossip(from: PeerId, payload: Uint8Array): void {
    const signal = this.#running?.signal
    if (!signal) return
    const message = this.#read(from, () => decodeGossip(payload))
    if (!message) return
    const version = versionOf(message)
    if (version.id !== from || version.id === this.#with.mesh.id) {
      this.#reject('forged', from)
      return
    }
    const held = this.#with.store.held(version.id)
    if (held && compareVersions(version, held.version) <= 0) {
      this.#reject('stale', from)
      return
    }
    if (message.type === 'delta' && held && follows(message.delta, held)) {
      this.#apply(held, message.delta, from)
    } else this.#background(this.#fetch(version.id, from, signal))
  }

  #apply(held: NodeRecord, delta: RecordDelta, from: PeerId): void {
    const { store, metrics, now } = this.#with
    const next = this.#read(from, () => applyDelta(held, delta), 'inconsistent')
    if (!next) return
    if (store.put(next, now())) metrics.deltas.inc()
  }

  /** The record of one owner: from itself, or from whoever spoke of it. */
  async #fetch(owner: PeerId, sender: PeerId, signal: AbortSignal): Promise<void> {
    if (this.#fetching.has(owner) || this.#fetching.size >= FETCHES_MAX) return
    this.#fetching.add(owner)
    try {
      for (const peer of new Set([owner, sender])) {
        if (await this.#pull(peer, [owner], signal)) return
      }
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
      const got = new Set(answer.records.map((record) => record.id))
      for (const record of answer.records) this.#take(record, peer)
      const next = missing.filter((id) => !got.has(id))
      if (next.length === missing.length) return true
      missing = next
    }
    return true
  }

  #take(record: NodeRecord, from: PeerId): void {
    const { store, mesh, now } = this.#with
    if (record.id === mesh.id) return
    // Not newer: it came by another way in the meantime.
    if (!store.put(record, now()) && !store.held(record.id)) this.#reject('no-room', from)
  }

  /** Compares digests with a peer and fetches what is newer there. */
  async #exchange(peer: PeerId): Promise<void> {
    const signal = this.#running?.signal
    if (!signal || signal.aborted) return
    const { store, metrics } = this.#with
    const answer = await this.#ask(peer, { type: 'digest', entries: this.#digest() }, signal)
    const ok = answer?.type === 'digest' && (await this.#pull(peer, this.#newer(answer.entries), signal))
    metrics.exchanges.inc({ result: ok ? 'ok' : 'failed' })
    if (ok && !signal.aborted) store.markSynced()
  }

  async #answer(from: PeerId, payload: Uint8Array): Promise<Uint8Array> {
    const signal = this.#running?.signal
    if (!signal) return encodeMessage({ type: 'error', message: 'the catalogue has not started' })
    const message = this.#read(from, () => decodeMessage(payload))
    if (message?.type === 'digest') {
      const newer = this.#newer(message.entries)
      if (newer.length > 0) this.#background(this.#pull(from, newer, signal))
      return encodeMessage({ type: 'digest', entries: this.#digest() })
    }
    if (message?.type === 'fetch')
      return encodeMessage({ type: 'records', records: this.#select(message.ids) })
    return encodeMessage({ type: 'error', message: 'the request could not be read' })
  }

  #select(ids: readonly PeerId[]): NodeRecord[] {
    const out: NodeRecord[] = []
    for (const id of new Set(ids)) {
      const record = id === this.#with.mesh.id ? this.#with.local.record() : this.#with.store.held(id)
      if (record) out.push(record)
    }
    return out
  }

  #digest(): DigestEntry[] {
    const { store, local } = this.#with
    const own = local.record()
    const others = store.known().filter((record) => record.id !== own.id)
    return [own, ...others].slice(0, ENTRIES_MAX).map(({ id, version }) => ({ id, ...version }))
  }

  /** Whose records are newer there than here. */
  #newer(entries: readonly DigestEntry[]): PeerId[] {
    const { store, mesh, membership, local } = this.#with
    return entries
      .filter((entry) => {
        if (entry.id === mesh.id) {
          // Nobody else writes this record: a newer one is from a life this node has forgotten.
          if (compareVersions(entry, local.record().version) > 0) local.raise(entry.incarnation)
          return false
        }
        const held = store.held(entry.id)
        return (
          membership.get(entry.id)?.status !== 'left' && (!held || compareVersions(entry, held.version) > 0)
        )
      })
      .map((entry) => entry.id)
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
      this.#with.store.prune(this.#with.now())
      const peer = this.#randomPeer()
      if (peer !== undefined) this.#background(this.#exchange(peer))
      this.#schedule()
    }, delayMs)
  }

  #randomPeer(): PeerId | undefined {
    const { mesh, membership, random } = this.#with
    const peers = mesh.connected().filter((id) => {
      const status = membership.get(id)?.status
      return status === 'alive' || status === 'suspect'
    })
    return peers[Math.floor(random() * peers.length)]
  }

  #read<T>(from: PeerId, read: () => T, reason: RejectReason = 'garbage'): T | undefined {
    try {
      return read()
    } catch (error) {
      if (!(error instanceof CatalogError)) throw error
      this.#reject(reason, from)
      this.#with.log.debug({ peer: from, err: error }, 'a catalogue message was rejected')
      return undefined
    }
  }

  #reject(reason: RejectReason, from: PeerId): void {
    this.#with.metrics.rejected.inc({ reason })
    if (reason !== 'forged' || this.#forgers.has(from) || this.#forgers.size >= FORGERS_MAX) return
    this.#forgers.add(from)
    this.#with.log.warn({ peer: from }, `${from} speaks for another node, what it says is ignored`)
  }

  #background(work: Promise<unknown>): void {
    work.catch((error: unknown) => this.#with.log.warn({ err: error }, 'exchanging the catalogue failed'))
  }
}

function versionOf(message: GossipMessage): DigestEntry {
  if (message.type === 'version') return message.version
  const { owner, incarnation, to } = message.delta
  return { id: owner, incarnation, sequence: to }
}

function follows(delta: RecordDelta, held: NodeRecord): boolean {
  return held.version.incarnation === delta.incarnation && held.version.sequence === delta.from
}
