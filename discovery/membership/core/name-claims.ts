import type { AliveUpdate, CoreContext, MemberRecord, NodeId, SyncEntry } from './types.ts'

/** A claim to a name that was not repeated for this long is void: the claimant is gone. Above the interval of the exchange. */
const CLAIM_KEPT_MS = 60_000
const CONFLICTS_REMEMBERED_MAX = 256
const WAITING_MAX = 64
const WITNESSES_MAX = 64

type Claimant = Pick<MemberRecord, 'id' | 'address'>

/**
 * Nodes that claim a name somebody else holds. Everywhere the one that was there first keeps it. Two nodes of one name each
 * hold it in their own table, so which of them the cluster knows under it is asked of the others: what they list is their testimony.
 */
export class NameClaims {
  readonly #ctx: CoreContext
  readonly #conflicts = new Set<string>()
  /** Newcomers whose name is held by a member that is not given up yet, by name. */
  readonly #waiting = new Map<string, { readonly update: AliveUpdate; readonly heardAt: number }>()
  /** Whether a peer listed this node under its name, or another. */
  readonly #witnesses = new Map<NodeId, boolean>()

  constructor(ctx: CoreContext) {
    this.#ctx = ctx
  }

  /** A newcomer waits for what becomes of the holder of its name. */
  wait(update: AliveUpdate, now: number): void {
    if (!this.#waiting.has(update.name) && this.#waiting.size >= WAITING_MAX) return
    this.#waiting.set(update.name, { update, heardAt: now })
  }

  /** Who waits for `name`. */
  waiting(name: string): AliveUpdate | undefined {
    return this.#waiting.get(name)?.update
  }

  /** Who waits for `name`, now that it is free. */
  take(name: string, now: number): AliveUpdate | undefined {
    const claim = this.#waiting.get(name)
    this.#waiting.delete(name)
    return claim && now - claim.heardAt < CLAIM_KEPT_MS ? claim.update : undefined
  }

  /** `newcomer` is not admitted; `by` is the peer that says so of this node. Reported once per pair. */
  report(name: string, holder: Claimant, newcomer: Claimant, by: NodeId | null = null): void {
    const pair = JSON.stringify([holder.id, newcomer.id])
    if (this.#conflicts.has(pair)) return
    if (this.#conflicts.size >= CONFLICTS_REMEMBERED_MAX) this.#conflicts.clear()
    this.#conflicts.add(pair)
    this.#ctx.emit({ type: 'conflict', name, holder: sideOf(holder), newcomer: sideOf(newcomer), by })
  }

  /**
   * What `from` lists about the name of this node, which lists `live` members itself. Where witnesses disagree most count; without
   * any, the claimant that knows more members is the older one, and of two alone the smaller id.
   */
  testimony(self: MemberRecord, live: number, from: NodeId, entries: readonly SyncEntry[]): void {
    const listed = entries.filter(({ member }) => member.status === 'alive' || member.status === 'suspect')
    const rival = listed.find(({ member }) => member.name === self.name && member.id !== self.id)?.member
    if (rival?.id !== from && (rival || listed.some(({ member }) => member.id === self.id))) {
      this.#witness(from, rival === undefined)
    }
    if (!rival) return
    const said = [...this.#witnesses.values()]
    const balance = 2 * said.filter((forSelf) => forSelf).length - said.length
    const older = live === listed.length ? self.id < rival.id : live > listed.length
    if (balance > 0 || (balance === 0 && older)) this.report(self.name, self, rival)
    else this.report(self.name, rival, self, from)
  }

  #witness(from: NodeId, forSelf: boolean): void {
    this.#witnesses.delete(from)
    const [oldest] = this.#witnesses.keys()
    if (oldest !== undefined && this.#witnesses.size >= WITNESSES_MAX) this.#witnesses.delete(oldest)
    this.#witnesses.set(from, forSelf)
  }
}

function sideOf({ id, address }: Claimant): Claimant {
  return { id, address }
}
