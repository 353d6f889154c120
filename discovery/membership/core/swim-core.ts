import { Awareness } from './awareness.ts'
import { BroadcastQueue } from './broadcast-queue.ts'
import type { Coordinate } from './coordinate.ts'
import { CoordinateBook } from './coordinate-book.ts'
import { Exchange, type SyncAnswer, type SyncOffer } from './exchange.ts'
import { Gossip } from './gossip.ts'
import { Links } from './links.ts'
import { MemberTable } from './member-table.ts'
import { Prober } from './prober.ts'
import { isLive } from './roster.ts'
import { Tally, type TallyCounts } from './tally.ts'
import type {
  AccusationUpdate,
  CoreContext,
  DialOutcome,
  ForceLeaveRefusal,
  MemberRecord,
  NodeId,
  SwimAction,
  SwimMessage,
  SwimTimings,
  SyncEntry,
  Update,
} from './types.ts'
import { DEFAULT_TIMINGS } from './types.ts'

const REAP_EVERY_MS = 10_000
/** How many members probe a suspect they heard of, on average: enough for the confirmations that shorten a suspicion. */
const CONFIRMERS = 6

/** What a core starts from. `random` answers in [0, 1); `self.incarnation` must be higher than in any earlier run. */
export interface SwimCoreOptions {
  readonly self: Omit<MemberRecord, 'status'>
  readonly random: () => number
  readonly timings?: Partial<SwimTimings>
}

/**
 * SWIM (Das, Gupta, Motivala 2002) with Lifeguard (arXiv 1707.00788), fed with connection evidence. Pure: every call
 * takes the time in ms and answers what the driver has to do; nothing happens between calls. The driver calls `tick`
 * at `deadline`, which may move with every call.
 */
export class SwimCore {
  readonly #timings: SwimTimings
  readonly #random: () => number
  readonly #queue = new BroadcastQueue()
  readonly #awareness = new Awareness()
  readonly #tally = new Tally()
  readonly #table: MemberTable
  readonly #links: Links
  readonly #prober: Prober
  readonly #gossip: Gossip
  readonly #places: CoordinateBook
  readonly #exchange: Exchange
  #actions: SwimAction[] = []
  #now: number
  #nextSyncAt: number
  #nextReapAt: number
  #leaveSeq: number | null = null

  constructor(options: SwimCoreOptions, now: number) {
    this.#timings = { ...DEFAULT_TIMINGS, ...options.timings }
    this.#random = options.random
    this.#now = now
    const ctx: CoreContext = {
      timings: this.#timings,
      random: options.random,
      emit: (action) => this.#emit(action),
    }
    this.#table = new MemberTable({ ...options.self, status: 'alive' }, now, ctx, this.#queue)
    this.#links = new Links(ctx, this.#table)
    this.#gossip = new Gossip(now, ctx, { queue: this.#queue, table: this.#table, links: this.#links })
    this.#places = new CoordinateBook(options.self.id, options.random)
    this.#exchange = new Exchange({ table: this.#table, places: this.#places })
    this.#prober = new Prober(now, ctx, {
      table: this.#table,
      links: this.#links,
      awareness: this.#awareness,
      tally: this.#tally,
      send: {
        ping: (to, seq) => this.#send(to, { type: 'ping', seq, updates: this.#news(to) }),
        // Passed on for somebody else: where this node is measures nothing.
        ack: (to, seq) => this.#send(to, { type: 'ack', seq, updates: this.#news(to) }),
        nack: (to, seq) => this.#send(to, { type: 'nack', seq, updates: this.#news(to) }),
        pingReq: (to, seq, target) =>
          // The helper learns of the suspicion first and passes it on to the suspect with its ping (buddy system).
          this.#send(to, { type: 'ping-req', seq, target, updates: this.#news(to, target) }),
      },
      verdicts: {
        onSilent: (id, at) => this.#accuse('suspect', id, at),
        onGone: (id, at) => this.#accuse('failed', id, at),
      },
    })
    this.#nextSyncAt = now + this.#syncDelay()
    this.#nextReapAt = now + REAP_EVERY_MS
  }

  /** Everyone known, this node included, in no order. */
  members(): readonly MemberRecord[] {
    return this.#table.all()
  }

  get(id: NodeId): MemberRecord | undefined {
    return this.#table.get(id)
  }

  self(): MemberRecord {
    return this.#table.self
  }

  /** 0 healthy … 8: how much this node distrusts itself. */
  get healthScore(): number {
    return this.#awareness.score
  }

  /** Where nodes are, and how far from each other. */
  get places(): Pick<CoordinateBook, 'get' | 'rttMs' | 'rejected'> {
    return this.#places
  }

  /** What became of probes and suspicions so far. */
  get counts(): TallyCounts {
    return this.#tally.counts
  }

  /** Updates waiting to be gossiped. */
  get queued(): number {
    return this.#queue.size
  }

  /** When `tick` must be called next. */
  get deadline(): number {
    if (this.#left) return this.#gossip.deadline
    return Math.min(
      this.#gossip.deadline,
      this.#prober.deadline,
      this.#links.deadline,
      this.#table.deadline,
      this.#nextSyncAt,
      this.#nextReapAt,
    )
  }

  /** Time passed. A call much later than `deadline` means that this process stood still, and blames nobody for it. */
  tick(now: number): SwimAction[] {
    this.#arriveAt(now)
    if (!this.#left) {
      this.#prober.tick(now)
      for (const id of this.#table.suspectsToLookAt(now)) this.#prober.probe(id, now)
      this.#table.expireSuspicions(now)
      this.#links.tick(now)
      this.#tickSync(now)
      this.#tickReap(now)
    }
    this.#gossip.tick(now)
    return this.#drain()
  }

  /** A message from a peer. */
  message(from: NodeId, message: SwimMessage, now: number): SwimAction[] {
    this.#arriveAt(now)
    const outdated = this.#applyAll(message.updates, now)
    if (outdated && message.type !== 'ping') {
      this.#send(from, { type: 'gossip', updates: [this.#table.selfUpdate()] })
    }
    if (message.type === 'ping') {
      const own = outdated ? [this.#table.selfUpdate()] : []
      const updates = own.concat(this.#news(from))
      this.#send(from, { type: 'ack', seq: message.seq, updates, coordinate: this.#places.own })
    } else if (message.type === 'ping-req') {
      this.#prober.onPingReq(from, message.seq, message.target, now)
    } else if (message.type === 'ack') {
      if (message.seq === this.#leaveSeq) this.#emit({ type: 'leave-acked', by: from })
      else this.#acked(from, message.seq, message.coordinate, now)
    } else if (message.type === 'nack') {
      this.#prober.onNack(from, message.seq)
    }
    return this.#drain()
  }

  /**
   * A connection to `id` stands. An end that does not hold the other for alive compares everything known with it: it has
   * just come, or one of the two was cut off. Of what goes on between the living, gossip tells and now and then an exchange.
   */
  peerConnected(id: NodeId, now: number): SwimAction[] {
    this.#arriveAt(now)
    this.#links.connected(id)
    if (this.#left) return this.#drain()
    this.#prober.cancelJudgement(id)
    const member = this.#table.get(id)
    if (member?.status !== 'alive') this.#emit({ type: 'sync', peer: id })
    if (member && member.status !== 'alive') this.#prober.probe(id, now)
    return this.#drain()
  }

  /**
   * The last connection to `id` closed: it is dialled and asked for through others. That alone accuses nobody: who was cut off or
   * given up loses all its connections at once, and would have everybody refute.
   */
  peerDisconnected(id: NodeId, now: number): SwimAction[] {
    this.#arriveAt(now)
    const member = this.#table.get(id)
    const judged = member !== undefined && isLive(member) && !this.#left
    this.#links.disconnected(id, judged, now)
    if (judged) {
      this.#prober.judge(id, now)
      this.#links.tick(now)
    }
    return this.#drain()
  }

  /** The connection to `id` was closed because neither side needed it, as both had agreed: it says nothing about it. */
  peerParted(id: NodeId, now: number): SwimAction[] {
    this.#arriveAt(now)
    this.#links.disconnected(id, false, now)
    return this.#drain()
  }

  /** An attempt asked for with a `dial` action ended. */
  dialed(id: NodeId, outcome: DialOutcome, now: number): SwimAction[] {
    this.#arriveAt(now)
    this.#links.dialed(id, outcome, now)
    if (outcome !== 'connected' && this.#links.hasEvidence(id)) this.#accuse('suspect', id, now)
    return this.#drain()
  }

  /** Learns of a member from outside the protocol, as if it had been gossiped. */
  join(member: Omit<MemberRecord, 'status'>, now: number): SwimAction[] {
    this.#arriveAt(now)
    const { id, incarnation, name, address, meta } = member
    this.#applyAll([{ status: 'alive', id, incarnation, name, address, meta }], now)
    return this.#drain()
  }

  /** Begins an exchange of everything known with a peer: what to send it. */
  offer(now: number): SyncOffer {
    return this.#exchange.offer(now)
  }

  /** A peer offers to compare: what to answer, from before its news is taken in. */
  answerOffer(offer: SyncOffer, now: number): SyncAnswer {
    const answer = this.#exchange.answer(offer, now)
    this.#exchange.hear(offer.places, now)
    return answer
  }

  /** The answer to an offer. `rest` is what the peer does not know yet; empty if there is nothing to tell. */
  takeAnswer(
    from: NodeId,
    offer: SyncOffer,
    answer: SyncAnswer,
    now: number,
  ): { rest: readonly SyncEntry[]; actions: SwimAction[] } {
    const actions = this.merge(from, answer.entries, now)
    this.#exchange.hear(answer.places, now)
    return { rest: this.#exchange.rest(answer, offer.digest.length, now), actions }
  }

  /** What a peer knows. */
  merge(from: NodeId, entries: readonly SyncEntry[], now: number): SwimAction[] {
    this.#arriveAt(now)
    if (this.#table.merge(from, entries, now)) this.#refuted()
    for (const { member, place } of entries) {
      if (place) this.#exchange.hear([{ id: member.id, ...place }], now)
    }
    return this.#drain()
  }

  /** The full state of this node. */
  snapshot(now: number): SyncEntry[] {
    return this.#table.snapshot(now).map((entry) => this.#exchange.withPlace(entry, now))
  }

  /** Leaves on purpose: tells every living member directly; each answers with an ack (`leave-acked`). Probing ends. */
  leave(now: number): SwimAction[] {
    this.#arriveAt(now)
    if (this.#left) return this.#drain()
    const seq = this.#prober.nextSeq()
    this.#leaveSeq = seq
    const update = this.#table.leave(now)
    this.#links.stop()
    const told = this.#table.others(
      (m) => isLive(m) && (this.#links.keeps(m.id) || this.#links.isConnected(m.id)),
    )
    for (const member of told) {
      this.#send(member.id, { type: 'ping', seq, updates: [update] })
    }
    return this.#drain()
  }

  /** Declares a failed member left for everybody; `prune` forgets it entirely. `refused` says why not, or is null. */
  forceLeave(
    id: NodeId,
    prune: boolean,
    now: number,
  ): { refused: ForceLeaveRefusal | null; actions: SwimAction[] } {
    this.#arriveAt(now)
    const refused = this.#table.forceLeave(id, prune, now)
    return { refused, actions: this.#drain() }
  }

  setMeta(meta: Readonly<Record<string, string>>, now: number): SwimAction[] {
    this.#arriveAt(now)
    if (!this.#left) this.#table.setMeta(meta, now)
    return this.#drain()
  }

  /** The event loop was held up for `delayMs`: a slow node trusts itself less. */
  localHealth(delayMs: number, now: number): SwimAction[] {
    this.#arriveAt(now)
    if (delayMs >= this.#timings.probeTimeoutMs) this.#awareness.apply(2)
    else if (delayMs >= this.#timings.probeTimeoutMs / 4) this.#awareness.apply(1)
    return this.#drain()
  }

  get #left(): boolean {
    return this.#leaveSeq !== null
  }

  #emit(action: SwimAction): void {
    this.#actions.push(action)
    if (action.type === 'remove') this.#places.forget(action.member.id)
    if (action.type === 'keep') this.#prober.keptChanged(action.ids)
    if (action.type !== 'change') return
    // The table emits nothing while it is being constructed, so the parts below exist.
    this.#links.memberChanged(action.member, action.previous, this.#now)
    this.#prober.memberChanged(action.member)
    this.#tally.memberChanged(action.member, action.previous)
  }

  /** Who has to say that it lives was slow to answer, or was cut off. */
  #refuted(): void {
    this.#awareness.apply(1)
    this.#tally.refutes()
  }

  #drain(): SwimAction[] {
    const actions = this.#actions
    this.#actions = []
    return actions
  }

  #acked(from: NodeId, seq: number, coordinate: Coordinate | undefined, now: number): void {
    const rttMs = this.#prober.onAck(from, seq, now)
    if (rttMs !== null) this.#emit({ type: 'rtt', id: from, rttMs })
    if (coordinate && this.#table.get(from)) this.#places.answered(from, coordinate, rttMs, now)
  }

  #send(to: NodeId, message: SwimMessage): void {
    this.#emit({ type: 'send', to, message })
  }

  #news(to: NodeId, about?: NodeId): Update[] {
    return this.#gossip.news(to, this.#now, about)
  }

  /** True if the sender missed that this node refuted: gossip alone would leave it with its accusation now and then. */
  #applyAll(updates: readonly Update[], now: number): boolean {
    let outdated = false
    const self = this.#table.self
    for (const update of updates) {
      if (update.id === self.id && update.status !== 'alive' && update.incarnation < self.incarnation) {
        outdated = !this.#left
      }
      const before = this.#table.get(update.id)?.status
      if (update.status === 'failed' && this.#isDoubtful(update, now)) this.#table.doubt(update, now)
      else if (this.#table.apply(update, now)) this.#refuted()
      // A suspicion heard from somebody else: some look for themselves, so that it is confirmed or refuted soon.
      const heard = before === 'alive' && this.#table.get(update.id)?.status === 'suspect'
      if (heard && this.#random() < CONFIRMERS / this.#table.liveCount) this.#prober.probe(update.id, now)
    }
    return outdated
  }

  /** The verdict of others on a member that this node is connected to, or of one that was cut off from here until lately. */
  #isDoubtful({ id, from }: AccusationUpdate, now: number): boolean {
    if (id === this.#table.self.id) return false
    return this.#links.isConnected(id) || this.#table.isJustBack(from, now)
  }

  /** Every input begins here: whichever comes first after a stall has to forgive it, or the next tick would not notice. */
  #arriveAt(now: number): void {
    this.#forgiveStall(now)
    this.#now = now
  }

  /**
   * An input that comes late means that this process stood still (a long collection, SIGSTOP): the answers it waits for
   * are probably in its own socket buffers. All deadlines move, and a little further, so that they are read first.
   */
  #forgiveStall(now: number): void {
    const { stallMs } = this.#timings
    // Nothing changes between two calls: the driver was to call when this was due, or at once if it was due already.
    const lateMs = now - Math.max(this.#now, this.deadline)
    if (lateMs <= stallMs) return
    this.#prober.shift(lateMs + stallMs)
    this.#table.shift(lateMs + stallMs)
    this.#awareness.apply(1)
  }

  #accuse(status: 'suspect' | 'failed', id: NodeId, now: number): void {
    const member = this.#table.get(id)
    if (!member) return
    if (status === 'suspect' && member.status === 'alive') this.#tally.accuses(id)
    this.#table.apply({ status, id, incarnation: member.incarnation, from: this.#table.self.id }, now)
  }

  #tickSync(now: number): void {
    if (now < this.#nextSyncAt) return
    this.#nextSyncAt = now + this.#syncDelay()
    const peer = this.#links.randomPeer()
    if (peer !== undefined) this.#emit({ type: 'sync', peer })
  }

  /** Grows with log2 n above 32 members, so that the load of full exchanges stays bounded; jittered by half. */
  #syncDelay(): number {
    const scale = 1 + Math.max(0, Math.ceil(Math.log2(this.#table.liveCount / 32)))
    return this.#timings.syncIntervalMs * scale * (0.5 + this.#random())
  }

  #tickReap(now: number): void {
    if (now < this.#nextReapAt) return
    this.#nextReapAt = now + REAP_EVERY_MS
    this.#table.reap(now)
  }
}
