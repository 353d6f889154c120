import type { Logger } from 'pino'
import type { Expiry } from './expiry.ts'
import type { LogWriter } from './log-writer.ts'
import type { Members } from './members.ts'
import { allNodes } from './raft/configuration.ts'
import type { Raft } from './raft/raft.ts'
import type { Transport } from './transport.ts'

/** Ticks without a connection to a quorum after which a leader gives up. */
const UNREACHABLE_TICKS = 3
/** Ticks between two looks at who should vote. */
const VOTER_CHECK_TICKS = 5

/** What a leader looks after. */
export interface LeaderDutiesCollaborators {
  readonly isLeader: () => boolean
  readonly expiry: Omit<Expiry, 'applied'>
  readonly members: Pick<Members, 'restart' | 'forgetWish' | 'manage'>
  readonly transport: Pick<Transport, 'isConnected'>
  readonly writer: Pick<LogWriter, 'isStalled'>
  readonly log: Logger
}

/**
 * What a leader does beside replicating: it gives up when it reaches no quorum or its disk hangs, ends the sessions and
 * keys nobody renews, and sees to it that enough members vote. Times are milliseconds of the monotonic clock.
 */
export class LeaderDuties {
  readonly #pauseMs: number
  readonly #with: LeaderDutiesCollaborators
  #lastTick = 0
  #ticks = 0
  #unreachableTicks = 0

  /** `pauseMs`: between two ticks; a longer time means that this process was paused. */
  constructor(pauseMs: number, collaborators: LeaderDutiesCollaborators) {
    this.#pauseMs = pauseMs
    this.#with = collaborators
  }

  /** Ticks begin. */
  start(now: number): void {
    this.#lastTick = now
  }

  /** This node leads from now on, or no longer. */
  leadershipChanged(): void {
    if (this.#with.isLeader()) {
      this.#restart()
      return
    }
    this.#with.expiry.clear()
    this.#with.members.forgetWish()
  }

  /** After a pause of this process nobody could renew anything: every session gets its time again, every member too. */
  noticePause(now: number): void {
    if (now - this.#lastTick > this.#pauseMs && this.#with.isLeader()) this.#restart()
  }

  #restart(): void {
    this.#with.expiry.restart()
    this.#with.members.restart()
  }

  /** A tick begins, whether this node leads or not. */
  ticked(now: number): void {
    this.noticePause(now)
    this.#lastTick = now
    this.#ticks++
  }

  /** Does what is due in this tick. Call on the leader only. */
  perform(raft: Raft, now: number): void {
    const { transport, writer, expiry, members, log } = this.#with
    const others = allNodes(raft.configuration).filter((id) => id !== raft.id)
    const unreachable = new Set(others.filter((id) => !transport.isConnected(id)))
    this.#unreachableTicks = unreachable.size > 0 ? this.#unreachableTicks + 1 : 0
    if (this.#unreachableTicks >= UNREACHABLE_TICKS) raft.quorumUnreachable(unreachable)
    // The others replicate, but nothing is applied here.
    if (writer.isStalled && raft.stepDown())
      log.error('the disk does not answer; this node gives up leadership')
    expiry.endExpired(now)
    if (this.#ticks % VOTER_CHECK_TICKS === 0) members.manage(raft)
  }
}
