import type { MemberRecord, MemberState, NodeId } from './types.ts'

/** A member whose coming or going is to be told outside. */
export interface MemberEvent {
  readonly type: 'joined' | 'failed' | 'left' | 'back'
  readonly member: MemberRecord
  /** Changes since the event before that were not told one by one. */
  readonly coalesced: number
  /** How often it came back within the last minute. */
  readonly flaps: number
}

/** A member that comes back within this time has flapped; so long it counts. */
const FLAP_MS = 60_000
/** After an event the next one of the member waits until nothing changed for this long. Doubles with each flap. */
const QUIET_MIN_MS = 2000
const QUIET_MAX_MS = 30_000
/** But no longer than this in all. */
const HELD_MAX_MS = 60_000

type Outside = Exclude<MemberState, 'suspect'>

interface Track {
  member: MemberRecord
  /** What was told last; null if the member was not known then. */
  told: Outside | null
  /** A change before this is held back. */
  quietUntil: number
  /** When to look at it next. */
  dueAt: number
  heldSince: number | null
  held: number
  goneAt: number | null
  flaps: number[]
}

/**
 * Coming and going as it is told outside (the log, streams of events; not what the agent itself acts on, which must not wait). The
 * first change of a member is told at once. What follows is held back until the member is quiet and then told as one event, or not at
 * all if it ended as it began; who flaps has to be quiet longer (serf's coalescing, and the penalty of route flap damping).
 * Pure; holds the members that changed lately.
 */
export class FlapDamper {
  readonly #tracks = new Map<NodeId, Track>()
  #flaps = 0
  #coalesced = 0

  /** Times members came back within a minute, so far. */
  get flaps(): number {
    return this.#flaps
  }

  /** Changes that were not told one by one, so far. */
  get coalesced(): number {
    return this.#coalesced
  }

  /** Members that flapped within the last minute. */
  flapping(now: number): NodeId[] {
    return [...this.#tracks].filter(([, track]) => recent(track, now).length > 0).map(([id]) => id)
  }

  /** A member changed. Answers the event if it is to be told now. */
  changed(member: MemberRecord, previous: MemberRecord | undefined, now: number): MemberEvent | null {
    const status = outside(member.status)
    const before = previous === undefined ? null : outside(previous.status)
    const known = this.#tracks.get(member.id)
    if (known) known.member = member
    if (status === before) return null
    const track = known ?? newTrack(member, before)
    this.#tracks.set(member.id, track)
    this.#count(track, status, now)
    if (known && now < track.quietUntil) {
      this.#coalesced++
      track.held++
      track.heldSince ??= now
      track.quietUntil = Math.min(now + quietMs(track, now), track.heldSince + HELD_MAX_MS)
      track.dueAt = track.quietUntil
      return null
    }
    return tell(track, now)
  }

  /** Events that were held back and are due. */
  due(now: number): MemberEvent[] {
    const events: MemberEvent[] = []
    for (const [id, track] of this.#tracks) {
      if (now < track.dueAt) continue
      if (track.heldSince !== null && outside(track.member.status) !== track.told)
        events.push(tell(track, now))
      else if (recent(track, now).length === 0 && !(track.goneAt !== null && now - track.goneAt < FLAP_MS)) {
        this.#tracks.delete(id)
      } else {
        track.heldSince = null
        track.held = 0
        track.dueAt = now + FLAP_MS
      }
    }
    return events
  }

  /** When `due` is to be called next. */
  get deadline(): number {
    let next = Number.POSITIVE_INFINITY
    for (const { dueAt } of this.#tracks.values()) next = Math.min(next, dueAt)
    return next
  }

  #count(track: Track, status: Outside, now: number): void {
    if (status !== 'alive') {
      track.goneAt = now
      return
    }
    if (track.goneAt === null || now - track.goneAt >= FLAP_MS) return
    this.#flaps++
    track.flaps = [...recent(track, now), now]
    track.goneAt = null
  }
}

function newTrack(member: MemberRecord, told: Outside | null): Track {
  const never = Number.NEGATIVE_INFINITY
  return { member, told, quietUntil: never, dueAt: never, heldSince: null, held: 0, goneAt: null, flaps: [] }
}

function tell(track: Track, now: number): MemberEvent {
  const status = outside(track.member.status)
  const type = status !== 'alive' ? status : track.told === null ? 'joined' : 'back'
  const event = {
    type,
    member: track.member,
    coalesced: track.held,
    flaps: recent(track, now).length,
  } as const
  track.told = status
  track.held = 0
  track.heldSince = null
  track.quietUntil = now + quietMs(track, now)
  track.dueAt = track.quietUntil
  return event
}

function quietMs(track: Track, now: number): number {
  return Math.min(QUIET_MAX_MS, QUIET_MIN_MS * 2 ** Math.min(10, recent(track, now).length))
}

function recent({ flaps }: Track, now: number): number[] {
  return flaps.filter((at) => now - at < FLAP_MS)
}

function outside(status: MemberState): Outside {
  return status === 'suspect' ? 'alive' : status
}
