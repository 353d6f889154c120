import type { NodeId } from './raft/types.ts'

/** When a peer counts as silent, and how long one that came back must stay before it is trusted. Milliseconds. */
export interface ReachabilityOptions {
  /** Whoever was not heard of for this long is silent. */
  readonly silentMs: number
  /** How long a node that was never lost must have answered without a break. */
  readonly settleMs: number
  /** The most that is asked of a node that was lost again and again. Default 5 minutes. */
  readonly settleMsMax?: number
  /** How long a return is remembered. Default 10 minutes. */
  readonly windowMs?: number
}

/** Each return multiplies the time to settle by this. */
const SETTLE_GROWTH = 4
/** Returns remembered of one node; more of them change nothing, the time to settle has reached its bound. */
const RETURNS_MAX = 8
/** Nodes remembered that belong to the cluster no more: a node that leaves and joins again may flap as well. */
const FORMER_MAX = 64

interface History {
  /** When it was heard last; null since `restart`. */
  lastHeard: number | null
  /** Since when it answers without a break; null before it was heard. */
  since: number | null
  /** It was lost and has not been heard since. */
  isLost: boolean
  /** When it came back after having been lost, oldest first. */
  returns: number[]
}

/**
 * What a leader remembers of how well it hears the others: for how long each has been silent, and how often each was
 * lost and came back within a sliding window. Pure: every call is told the time of the leader's monotonic clock.
 */
export class Reachability {
  readonly #silentMs: number
  readonly #settleMs: number
  readonly #settleMsMax: number
  readonly #windowMs: number
  readonly #histories = new Map<NodeId, History>()

  constructor(options: ReachabilityOptions) {
    this.#silentMs = options.silentMs
    this.#settleMs = options.settleMs
    this.#settleMsMax = options.settleMsMax ?? 5 * 60_000
    this.#windowMs = options.windowMs ?? 10 * 60_000
  }

  #of(id: NodeId): History {
    const known = this.#histories.get(id)
    if (known !== undefined) return known
    const history: History = { lastHeard: null, since: null, isLost: false, returns: [] }
    this.#histories.set(id, history)
    return history
  }

  /** A message came from the node. */
  heard(id: NodeId, now: number): void {
    const history = this.#of(id)
    const { lastHeard } = history
    if (history.isLost || (lastHeard !== null && now - lastHeard > this.#silentMs)) {
      history.returns = [...history.returns, now].slice(-RETURNS_MAX)
      history.since = now
    } else {
      history.since ??= now
    }
    history.isLost = false
    history.lastHeard = now
  }

  /** The connection to the node broke, or somebody else saw it fail. */
  lost(id: NodeId): void {
    const history = this.#histories.get(id)
    if (history !== undefined && history.since !== null) history.isLost = true
  }

  /**
   * Nobody is judged by what was heard before: this node has just begun to lead, or was paused and could hear nobody. How
   * often nodes came back stays remembered.
   */
  restart(): void {
    for (const history of this.#histories.values()) {
      history.lastHeard = null
      history.since = null
      history.isLost = false
    }
  }

  /** For how long the node has said nothing, counted from the first question if it was never heard. */
  silentMs(id: NodeId, now: number): number {
    const history = this.#of(id)
    history.lastHeard ??= now
    return now - history.lastHeard
  }

  /** How often the node was lost and came back within the window. */
  flaps(id: NodeId, now: number): number {
    const { returns = [] } = this.#histories.get(id) ?? {}
    return returns.filter((at) => now - at < this.#windowMs).length
  }

  /**
   * True once the node has answered without a break for as long as is asked of it: `settleMs`, and longer the more often it
   * was lost.
   */
  isSettled(id: NodeId, now: number, settleMs = this.#settleMs): boolean {
    const history = this.#histories.get(id)
    if (history === undefined || history.since === null || history.isLost) return false
    if (now - (history.lastHeard ?? now) > this.#silentMs) return false
    const neededMs = settleMs * SETTLE_GROWTH ** this.flaps(id, now)
    return now - history.since >= Math.min(neededMs, Math.max(settleMs, this.#settleMsMax))
  }

  /** True for a node that was lost lately and has not stayed long enough since. */
  isFlapping(id: NodeId, now: number, settleMs = this.#settleMs): boolean {
    return this.flaps(id, now) > 0 && !this.isSettled(id, now, settleMs)
  }

  /** Forgets who neither is in `members` nor came back within the window, and the oldest beyond the bound. */
  retain(members: { has(id: NodeId): boolean }, now: number): void {
    const former: NodeId[] = []
    for (const [id, history] of this.#histories) {
      if (members.has(id)) continue
      history.lastHeard = null
      history.since = null
      if (this.flaps(id, now) === 0) this.#histories.delete(id)
      else former.push(id)
    }
    for (const id of former.slice(0, -FORMER_MAX)) this.#histories.delete(id)
  }

  /** Nodes something is remembered of. */
  get size(): number {
    return this.#histories.size
  }
}
