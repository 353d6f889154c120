import type { PeerId } from '../mesh/types.ts'
import type { Coordinate } from './core/coordinate.ts'
import type { Seed } from './seeder.ts'

/** `left` = went on purpose. `suspect` still counts as alive for every view. */
export type MemberStatus = 'alive' | 'suspect' | 'failed' | 'left'

/** Small facts a node tells about itself with its membership: at most 512 bytes as JSON. */
export type MemberMeta = Readonly<Record<string, string>>

/** A node of the cluster as this node sees it. */
export interface Member {
  readonly id: PeerId
  readonly name: string
  /** host:port of its mesh listener. */
  readonly address: string
  readonly status: MemberStatus
  /** Raised only by the member itself: at each start, to refute a suspicion, and when its meta changes (SWIM §4.2). */
  readonly incarnation: number
  readonly meta: MemberMeta
}

/** A member that came or went, as it is told outside: damped, so that one that flaps is told once for many changes. */
export interface MemberEvent {
  readonly type: 'joined' | 'failed' | 'left' | 'back'
  readonly member: Member
  /** Changes since the event before that were not told one by one. */
  readonly coalesced: number
  /** How often it came back within the last minute. */
  readonly flaps: number
}

/** Who is in the cluster and how they do. */
export interface Membership {
  start(): Promise<void>
  /** Ends probing without telling anybody, as a crash would. */
  stop(): Promise<void>
  /** Tells the others that this node leaves on purpose and waits until some of them know. */
  leave(): Promise<void>
  /**
   * Declares a failed member left, for everybody: nobody looks for it any more, and its name is free. With `prune` it is not
   * listed any more either; that can also be done to one that left. It comes back as it would from a failure.
   * @param member its id or name
   * @throws MembershipError `MBR_UNKNOWN_MEMBER`, `MBR_SELF`, `MBR_MEMBER_LIVES` for one that would refute it
   */
  forceLeave(member: string, options?: { readonly prune?: boolean }): void
  /** Everyone known, this node included, sorted by name. */
  members(): readonly Member[]
  get(id: PeerId): Member | undefined
  local(): Member
  /** Who is at the addresses this node was told to find the cluster by, in their order, its own left out; none before the start. */
  seeds(): readonly Seed[]
  /** Replaces this node's meta and tells everyone. */
  setMeta(meta: MemberMeta): void
  /**
   * Estimated round trip between two members in ms, out of their network coordinates: nobody has to have measured it. 0 from a
   * member to itself; null while the place of one of them is unknown.
   */
  rttMs(a: PeerId, b: PeerId): number | null
  /** Where a member is in the network coordinate space; null while that is unknown or it has measured nothing yet. */
  coordinate(id: PeerId): Coordinate | null
  /** Fires after each change of a member's record. `previous` is undefined for a new member. Returns the way to stop. */
  onChange(listener: (member: Member, previous: Member | undefined) => void): () => void
  /**
   * Fires when another member came or went, for people and for what is outside: the first time at once, then not before the member
   * has been quiet for some seconds, and not at all if it ended as it began. Returns the way to stop.
   */
  onEvent(listener: (event: MemberEvent) => void): () => void
}
