import type { Logger } from 'pino'
import { LineLimiter } from '../mesh/line-limiter.ts'
import type { PeerId } from '../mesh/types.ts'
import type { SwimCore } from './core/swim-core.ts'
import type { SyncEntry, Update } from './core/types.ts'
import type { MembershipMetrics } from './metrics.ts'
import { COUNT_MAX } from './wire.ts'

/**
 * So much higher than what is known of a member is believed at once: more than it can have raised it by while it was out of sight,
 * at several times a second for weeks. It is also the highest incarnation a node goes on from after a restart.
 */
export const INCARNATION_STEP_MAX = 2 ** 24

/** Of a node nothing is known of, half is believed, so that there is room to refute. */
const FIRST_MAX = COUNT_MAX / 2
/** A node that does not remember its own incarnation takes the word of the others so long after its start. */
const LEARNING_MS = 60_000
const LINE_EVERY_MS = 60_000
const LINES_KEPT_MAX = 64

/** What {@link Plausibility} works with. `now` is a monotonic clock in ms. */
export interface PlausibilityCollaborators {
  readonly core: Pick<SwimCore, 'get' | 'self'>
  readonly log: Logger
  readonly metrics: Pick<MembershipMetrics, 'implausible'>
  readonly now: () => number
}

/**
 * Leaves out news with an incarnation its member cannot have. An accusation with the highest there is could not be refuted by a
 * higher one, so whoever made it up would push the member out for good.
 */
export class Plausibility {
  readonly #with: PlausibilityCollaborators
  readonly #learnsUntil: number
  readonly #lines: LineLimiter

  /** @param options.remembers whether this node knows its incarnation from an earlier run. */
  constructor(options: { readonly remembers: boolean }, collaborators: PlausibilityCollaborators) {
    this.#with = collaborators
    this.#learnsUntil = options.remembers ? Number.NEGATIVE_INFINITY : collaborators.now() + LEARNING_MS
    this.#lines = new LineLimiter({ intervalMs: LINE_EVERY_MS, keysMax: LINES_KEPT_MAX }, collaborators)
  }

  /** Those of the updates `from` has sent that can be true. */
  updates(from: PeerId, updates: readonly Update[]): readonly Update[] {
    return updates.every((update) => this.#canBe(update))
      ? updates
      : updates.filter((update) => this.#canBe(update) || this.#refused(from, update))
  }

  /** Those of the entries `from` has sent that can be true. */
  entries(from: PeerId, entries: readonly SyncEntry[]): readonly SyncEntry[] {
    return entries.filter(({ member }) => this.#canBe(member) || this.#refused(from, member))
  }

  #canBe({ id, incarnation }: Pick<Update, 'id' | 'incarnation'>): boolean {
    const { core, now } = this.#with
    const known = core.get(id)?.incarnation
    const learns = id === core.self().id && now() < this.#learnsUntil
    if (known === undefined || learns) return incarnation <= FIRST_MAX
    return incarnation <= known + INCARNATION_STEP_MAX && incarnation < COUNT_MAX
  }

  #refused(from: PeerId, { id, incarnation }: Pick<Update, 'id' | 'incarnation'>): false {
    const { core, log, metrics } = this.#with
    metrics.implausible.inc()
    if (!this.#lines.allow(id)) return false
    const known = core.get(id)
    log.warn(
      { peer: from, member: known?.name ?? id, incarnation, known: known?.incarnation },
      `${core.get(from)?.name ?? from} tells of ${known?.name ?? id} with incarnation ${incarnation}, which cannot be: that is not believed. ` +
        'The state of one of the two is damaged, or somebody who has the cluster key tampers with it',
    )
    return false
  }
}
