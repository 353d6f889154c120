import type { Mesh, PeerId } from '../mesh/types.ts'
import {
  type GossipMessage,
  type OlderLife,
  openRecord,
  type RecordMessage,
  type SignedDelta,
  tooLarge,
} from './codec.ts'
import { applyStep, compareVersions } from './delta.ts'
import { CatalogError } from './errors.ts'
import { Graves } from './graves.ts'
import { LIMITS } from './limits.ts'
import type { CatalogMetrics, RejectReason } from './metrics.ts'
import { Refused } from './refused.ts'
import type { Rejections } from './rejections.ts'
import {
  contentOf,
  digestOfContent,
  digestOfTexts,
  type EntrySeals,
  nextContent,
  type SealedContent,
  type SealedRecord,
} from './sealed-record.ts'
import { verifyStamp } from './stamp.ts'
import type { CatalogStore } from './store.ts'
import type { NodeRecord, RecordVersion } from './types.ts'

/** What {@link RecordIntake} works with. `now` is a monotonic clock in ms. */
export interface RecordIntakeCollaborators {
  readonly mesh: Pick<Mesh, 'id' | 'verify'>
  readonly store: CatalogStore
  readonly seals: EntrySeals
  readonly metrics: CatalogMetrics
  readonly rejections: Rejections
  readonly now: () => number
}

/**
 * Judges what comes about the records of other nodes. Nothing gets from here into the store that its owner has not signed, is
 * older than what is held, or is of a node that left.
 */
export class RecordIntake {
  readonly #with: RecordIntakeCollaborators
  /** The records of other nodes as their owners signed them, for those who ask. */
  readonly #sealed = new Map<PeerId, SealedRecord>()
  readonly #graves = new Graves()
  readonly #refused = new Refused()

  constructor(collaborators: RecordIntakeCollaborators) {
    this.#with = collaborators
  }

  /** The record held of another node, to hand on. */
  sealed(id: PeerId): SealedRecord | undefined {
    const sealed = this.#sealed.get(id)
    // Only what the store shows: it may have dropped the record in the meantime.
    return sealed?.record === this.#with.store.held(id) ? sealed : undefined
  }

  /** Whether a record of this version, if its owner has signed it, would be taken. */
  wants(id: PeerId, version: RecordVersion): boolean {
    if (id === this.#with.mesh.id || this.#graves.over(id, version)) return false
    return this.#isNewer(id, version) && this.#refused.wants({ ...version, id })
  }

  /** What is known here of a peer's own record and is in the way of the version it has now. */
  olderLife(peer: PeerId, own: RecordVersion): OlderLife | undefined {
    const grave = this.#graves.over(peer, own)
    if (grave) return { stamp: grave, buried: true }
    const stamp = this.sealed(peer)?.stamp
    return stamp && compareVersions(stamp, own) > 0 ? { stamp, buried: false } : undefined
  }

  /** Takes a gossiped step. `fetch`: the owner has something newer that has to be asked for as a whole. */
  gossip(message: GossipMessage, from: PeerId): 'done' | 'fetch' {
    const { rejections } = this.#with
    const stamp = message.type === 'delta' ? message.delta.stamp : message.stamp
    const reject = (reason: RejectReason, error?: unknown): 'done' => {
      rejections.reject(reason, stamp.id, from, error)
      return 'done'
    }
    if (stamp.id !== from || stamp.id === this.#with.mesh.id) return reject('forged')
    if (!this.#isNewer(stamp.id, stamp)) return reject('stale')
    if (!verifyStamp(this.#with.mesh, stamp)) return reject('forged')
    if (this.#graves.over(stamp.id, stamp)) return reject('buried')
    if (!this.#refused.wants(stamp)) return 'done'
    const before = this.sealed(stamp.id)
    if (message.type !== 'delta' || !before || !follows(message.delta, before)) return 'fetch'
    const content = this.#step(before, message.delta)
    // The signature is over the whole record: which side differs shows when all of it is here.
    if (content === null || digestOfContent(content) !== stamp.digest) {
      reject('diverged')
      return 'fetch'
    }
    if (content.bytes > LIMITS.recordBytes) {
      this.#refused.add(stamp)
      return reject('too-large', tooLarge(content.bytes))
    }
    if (!this.#put({ ...content, stamp })) return reject('no-room')
    this.#with.metrics.deltas.inc()
    return 'done'
  }

  /** Takes a whole record, from its owner or from anybody who has it. */
  record(message: RecordMessage, from: PeerId): void {
    const { stamp } = message
    // Not newer: it came by another way in the meantime.
    if (stamp.id === this.#with.mesh.id || !this.#isNewer(stamp.id, stamp)) return
    try {
      const reason = this.#judge(message)
      if (reason !== null) this.#with.rejections.reject(reason, stamp.id, from)
    } catch (error) {
      this.#with.rejections.reject(reasonOf(error), stamp.id, from, error)
      this.#refused.add(stamp)
    }
  }

  /** Why a record is not taken; null if it is. @throws CatalogError when its owner has signed what cannot be taken */
  #judge(message: RecordMessage): RejectReason | null {
    const { mesh, seals } = this.#with
    const { stamp } = message
    if (!verifyStamp(mesh, stamp)) return 'forged'
    if (this.#graves.over(stamp.id, stamp)) return 'buried'
    // First whether these are the words of the owner, so that a mistake in them is its own and not of who relayed them.
    if (digestOfTexts(message.head, message.services, message.checks) !== stamp.digest) return 'forged'
    const { record, services, checks } = openRecord(message)
    seals.keep(services, checks)
    return this.#put({ ...contentOf(record, message.head, seals), stamp }) ? null : 'no-room'
  }

  /** A member left, or was forgotten: nothing of this life of it, or one before, is taken any more. */
  bury(id: PeerId): void {
    const sealed = this.#sealed.get(id)
    if (sealed) this.#graves.bury(sealed.stamp, this.#with.now())
  }

  /** Forgets what is too old, and the seals of records the store has dropped. */
  prune(): void {
    const now = this.#with.now()
    this.#with.store.prune(now)
    this.#graves.prune(now)
    for (const id of [...this.#sealed.keys()]) if (!this.sealed(id)) this.#sealed.delete(id)
  }

  /** Null: the step leads to nothing that holds together. */
  #step(before: SealedRecord, delta: SignedDelta): SealedContent | null {
    const { seals } = this.#with
    seals.keep(delta.services, delta.checks)
    const step = {
      services: delta.services.map(({ entry }) => entry),
      checks: delta.checks.map(({ entry }) => entry),
      removedServices: delta.removedServices,
      removedChecks: delta.removedChecks,
    }
    try {
      return nextContent(before, applyStep(before.record, step, delta.stamp), seals)
    } catch (error) {
      if (error instanceof CatalogError) return null
      throw error
    }
  }

  #isNewer(id: PeerId, version: RecordVersion): boolean {
    const held = this.#with.store.held(id)
    return !held || compareVersions(version, held.version) > 0
  }

  #put(sealed: SealedRecord): boolean {
    const { store, now } = this.#with
    const { id } = sealed.record
    // Before the store, whose listeners may ask for it.
    const before = this.#sealed.get(id)
    this.#sealed.set(id, sealed)
    if (store.put(sealed.record, now())) {
      this.#graves.open(id)
      return true
    }
    if (before) this.#sealed.set(id, before)
    else this.#sealed.delete(id)
    return false
  }
}

function reasonOf(error: unknown): 'too-large' | 'inconsistent' {
  if (!(error instanceof CatalogError)) throw error
  return error.code === 'CAT_TOO_LARGE' ? 'too-large' : 'inconsistent'
}

function follows(delta: SignedDelta, { record }: { readonly record: NodeRecord }): boolean {
  const { incarnation, sequence } = record.version
  return incarnation === delta.stamp.incarnation && sequence === delta.from
}
