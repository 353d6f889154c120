import type { CoordinateBook } from './coordinate-book.ts'
import type { MemberTable } from './member-table.ts'
import { bucketCount, bucketOf, digestOf, type StateDigest } from './state-digest.ts'
import type { NodeId, SyncEntry } from './types.ts'

/** Places of members that travel with an exchange, chosen at random: who differs in nothing else still moves. */
const PLACES_MAX = 32

/** Where a member was, `ageMs` before. */
export interface PlaceNews extends NonNullable<SyncEntry['place']> {
  readonly id: NodeId
}

/** Begins an exchange: what the sender knows, as a digest. */
export interface SyncOffer {
  readonly digest: StateDigest
  readonly places: readonly PlaceNews[]
}

/** Answers an offer: in which buckets the two differ, and everything known in those. */
export interface SyncAnswer {
  readonly buckets: readonly number[]
  readonly entries: readonly SyncEntry[]
  readonly places: readonly PlaceNews[]
}

/**
 * Everything known, compared with a peer for the price of a digest when nothing differs: an offer, the answer with what
 * differs, and at last what the one that asked knows better.
 */
export class Exchange {
  readonly #table: MemberTable
  readonly #places: CoordinateBook

  constructor(parts: { table: MemberTable; places: CoordinateBook }) {
    this.#table = parts.table
    this.#places = parts.places
  }

  offer(now: number): SyncOffer {
    const members = this.#table.all()
    return {
      digest: digestOf(members, bucketCount(members.length)),
      places: this.#somePlaces(now),
    }
  }

  answer({ digest }: SyncOffer, now: number): SyncAnswer {
    const own = digestOf(this.#table.all(), digest.length)
    const buckets = digest.flatMap((sum, at) => (sum === own[at] ? [] : [at]))
    return { buckets, entries: this.#entriesIn(buckets, digest.length, now), places: this.#somePlaces(now) }
  }

  /** What this node knows and the peer, who gave this answer to an offer with so many buckets, does not know so. */
  rest(answer: SyncAnswer, offered: number, now: number): SyncEntry[] {
    const theirs = new Map(answer.entries.map(({ member }) => [member.id, member]))
    return this.#entriesIn(answer.buckets, offered, now).filter(({ member }) => {
      const known = theirs.get(member.id)
      return known?.incarnation !== member.incarnation || known.status !== member.status
    })
  }

  /** With the places of the members in it. */
  withPlace(entry: SyncEntry, now: number): SyncEntry {
    const place = this.#places.entry(entry.member.id, now)
    return place ? { ...entry, place } : entry
  }

  /** The newest word about each place counts. */
  hear(places: readonly PlaceNews[], now: number): void {
    for (const { id, coordinate, ageMs } of places)
      if (this.#table.get(id)) this.#places.heard(id, coordinate, ageMs, now)
  }

  #entriesIn(buckets: readonly number[], of: number, now: number): SyncEntry[] {
    if (buckets.length === 0) return []
    const wanted = new Set(buckets)
    return this.#table
      .snapshot(now)
      .filter(({ member }) => wanted.has(bucketOf(member.id, of)))
      .map((entry) => this.withPlace(entry, now))
  }

  #somePlaces(now: number): PlaceNews[] {
    const ids = this.#table.pick(PLACES_MAX, () => true).map(({ id }) => id)
    return [this.#table.self.id, ...ids].flatMap((id) => {
      const place = this.#places.entry(id, now)
      return place ? [{ id, ...place }] : []
    })
  }
}
