import type { Awareness } from './awareness.ts'
import type { Links } from './links.ts'
import type { MemberTable } from './member-table.ts'
import { ProbeList } from './probe-list.ts'
import { sample } from './random.ts'
import { isLive } from './roster.ts'
import { STALLS_FORGIVEN_MAX } from './suspicion.ts'
import type { Tally } from './tally.ts'
import type { CoreContext, MemberRecord, NodeId } from './types.ts'

/** A nack is sent before the asker's own deadline (Lifeguard: 80 % of the timeout). */
const NACK_FRACTION = 0.8
const RELAYS_MAX = 1024

interface Probe {
  readonly seq: number
  readonly target: NodeId
  /** The life of the target that is probed: silence says nothing about a later one. */
  readonly incarnation: number
  /** Judges a lost connection: asks the others at once, and its failure is a verdict. */
  readonly evidence: boolean
  readonly helpers: Set<NodeId>
  readonly nacks: Set<NodeId>
  /** When the ping left; null once this process stood still meanwhile, so that the answer measures nothing. */
  sentAt: number | null
  asked: boolean
  askAt: number
  deadline: number
  /** How often this process stood still meanwhile. */
  stalls: number
}

interface Relay {
  readonly target: NodeId
  readonly asker: NodeId
  readonly askerSeq: number
  nackAt: number
  expiresAt: number
  nacked: boolean
}

/** How a probe calls back. */
export interface ProbeVerdicts {
  /** No ack in time: suspect it. */
  onSilent(id: NodeId, now: number): void
  /** The connection is lost, nobody listens there, and nobody else reaches it. */
  onGone(id: NodeId, now: number): void
}

/** What the prober sends; the facade adds the piggybacked news. */
export interface ProbeSender {
  ping(to: NodeId, seq: number): void
  pingReq(to: NodeId, seq: number, target: NodeId): void
  ack(to: NodeId, seq: number): void
  nack(to: NodeId, seq: number): void
}

/**
 * Failure detection: pings in shuffled rounds, asks others when the answer is late, and helps others the same way (SWIM §4.1).
 * The rounds go over the members a connection is kept to, which in a large cluster are some: everybody is among those of as
 * many others, so it is pinged as often, and no connection is made for it.
 */
export class Prober {
  readonly #ctx: CoreContext
  readonly #table: MemberTable
  readonly #links: Links
  readonly #awareness: Awareness
  readonly #tally: Tally
  readonly #send: ProbeSender
  readonly #verdicts: ProbeVerdicts
  readonly #list: ProbeList
  readonly #probes = new Map<number, Probe>()
  /** Pings sent for somebody else, by our own sequence number. */
  readonly #relays = new Map<number, Relay>()
  #seq = 0
  #nextAt: number

  constructor(
    now: number,
    ctx: CoreContext,
    parts: {
      table: MemberTable
      links: Links
      awareness: Awareness
      tally: Tally
      send: ProbeSender
      verdicts: ProbeVerdicts
    },
  ) {
    this.#ctx = ctx
    this.#table = parts.table
    this.#links = parts.links
    this.#awareness = parts.awareness
    this.#tally = parts.tally
    this.#send = parts.send
    this.#verdicts = parts.verdicts
    this.#list = new ProbeList(ctx.random)
    this.#nextAt = now + ctx.random() * ctx.timings.probeIntervalMs
  }

  /** A sequence number nobody waits for yet. */
  nextSeq(): number {
    this.#seq++
    return this.#seq
  }

  memberChanged(member: MemberRecord): void {
    if (member.id !== this.#table.self.id && isLive(member) && this.#links.keeps(member.id)) {
      this.#list.add(member.id)
    }
  }

  /** Connections are kept to these members; null: to everybody. */
  keptChanged(kept: readonly NodeId[] | null): void {
    this.#list.retain((id) => this.#links.keeps(id))
    for (const { id } of kept ? this.#table.among(kept, isLive) : this.#table.others(isLive))
      this.#list.add(id)
  }

  /** Probes one member now, outside its turn. */
  probe(target: NodeId, now: number): void {
    if (this.#probeOf(target)) return
    const { probeTimeoutMs, probeIntervalMs } = this.#ctx.timings
    const patience = this.#links.patience(target)
    const askAt = now + this.#awareness.scale(probeTimeoutMs) * patience
    const deadline = now + this.#awareness.scale(probeIntervalMs) * patience
    this.#start(target, false, { now, askAt, deadline })
  }

  /** Judges a member whose last connection closed: everything at once, and a verdict at the deadline. */
  judge(target: NodeId, now: number): void {
    const running = this.#probeOf(target)
    if (running) this.#probes.delete(running.seq)
    const deadline = now + this.#ctx.timings.evidenceTimeoutMs
    const probe = this.#start(target, true, { now, askAt: now, deadline })
    this.#ask(probe)
  }

  /** The member is connected again: nothing is to be judged. */
  cancelJudgement(target: NodeId): void {
    const running = this.#probeOf(target)
    if (running?.evidence) this.#probes.delete(running.seq)
  }

  /** Answers the round trip in ms if the target itself answered in time; null otherwise. */
  onAck(from: NodeId, seq: number, now: number): number | null {
    const relay = this.#relays.get(seq)
    if (relay) {
      if (from !== relay.target) return null
      this.#relays.delete(seq)
      this.#send.ack(relay.asker, relay.askerSeq)
      return null
    }
    const probe = this.#probes.get(seq)
    if (!probe || (from !== probe.target && !probe.helpers.has(from))) return null
    this.#probes.delete(seq)
    this.#links.endEvidence(probe.target)
    this.#awareness.apply(-1)
    this.#tally.probed(from === probe.target ? 'answered' : 'relayed')
    return from === probe.target && probe.sentAt !== null ? now - probe.sentAt : null
  }

  onNack(from: NodeId, seq: number): void {
    const probe = this.#probes.get(seq)
    if (probe?.helpers.has(from)) probe.nacks.add(from)
  }

  /** Pings `target` for `asker`, who does not reach it. */
  onPingReq(asker: NodeId, askerSeq: number, target: NodeId, now: number): void {
    const known = this.#table.get(target)
    if (!known || !this.#links.reaches(target) || this.#relays.size >= RELAYS_MAX) {
      this.#send.nack(asker, askerSeq)
      return
    }
    const { probeTimeoutMs, probeIntervalMs } = this.#ctx.timings
    const seq = this.nextSeq()
    this.#relays.set(seq, {
      target,
      asker,
      askerSeq,
      nackAt: now + probeTimeoutMs * NACK_FRACTION,
      expiresAt: now + probeIntervalMs * this.#links.patience(target),
      nacked: false,
    })
    this.#send.ping(target, seq)
  }

  tick(now: number): void {
    this.#tickRelays(now)
    for (const probe of [...this.#probes.values()]) {
      if (!probe.asked && probe.askAt <= now) this.#ask(probe)
      if (probe.deadline <= now) this.#finish(probe, now)
    }
    if (this.#nextAt > now) return
    this.#nextAt = now + this.#awareness.scale(this.#ctx.timings.probeIntervalMs)
    const target = this.#list.next((id) => {
      const member = this.#table.get(id)
      return member !== undefined && isLive(member) && this.#links.keeps(id)
    })
    if (target !== undefined) this.probe(target, now)
  }

  get deadline(): number {
    let next = this.#nextAt
    for (const probe of this.#probes.values()) {
      next = Math.min(next, probe.asked ? probe.deadline : Math.min(probe.askAt, probe.deadline))
    }
    for (const relay of this.#relays.values())
      next = Math.min(next, relay.nacked ? relay.expiresAt : relay.nackAt)
    return next
  }

  /** This process stood still for `ms`: answers that wait unread are not late. */
  shift(ms: number): void {
    for (const probe of this.#probes.values()) {
      probe.sentAt = null
      if (probe.stalls++ >= STALLS_FORGIVEN_MAX) continue
      probe.askAt += ms
      probe.deadline += ms
    }
    for (const relay of this.#relays.values()) {
      relay.nackAt += ms
      relay.expiresAt += ms
    }
  }

  #probeOf(target: NodeId): Probe | undefined {
    for (const probe of this.#probes.values()) if (probe.target === target) return probe
    return undefined
  }

  #start(target: NodeId, evidence: boolean, times: { now: number; askAt: number; deadline: number }): Probe {
    const seq = this.nextSeq()
    const probe: Probe = {
      seq,
      target,
      incarnation: this.#table.get(target)?.incarnation ?? 0,
      evidence,
      helpers: new Set(),
      nacks: new Set(),
      sentAt: times.now,
      asked: false,
      askAt: times.askAt,
      deadline: times.deadline,
      stalls: 0,
    }
    this.#probes.set(seq, probe)
    this.#send.ping(target, seq)
    return probe
  }

  #ask(probe: Probe): void {
    probe.asked = true
    const able = (m: MemberRecord) => m.status === 'alive' && m.id !== probe.target
    const wanted = this.#ctx.timings.indirectChecks
    // Whoever would have to connect first answers too late, the more so where packets are lost.
    const near = this.#table.among(this.#links.between(probe.target), able)
    const first = sample(near, wanted, this.#ctx.random)
    const others = this.#links.pick(wanted - first.length, (m) => able(m) && !first.includes(m))
    for (const helper of [...first, ...others]) {
      probe.helpers.add(helper.id)
      this.#send.pingReq(helper.id, probe.seq, probe.target)
    }
  }

  #finish(probe: Probe, now: number): void {
    this.#probes.delete(probe.seq)
    this.#tally.probed('silent')
    const target = this.#table.get(probe.target)
    if (!target || !isLive(target)) return
    if (!probe.evidence) {
      // Helpers that did not even nack say more about this node than about the target.
      const missing = probe.helpers.size - probe.nacks.size
      this.#awareness.apply(probe.helpers.size > 0 ? missing : 1)
      if (target.incarnation === probe.incarnation) this.#verdicts.onSilent(probe.target, now)
      return
    }
    const refused = this.#links.outcome(probe.target) === 'refused'
    const tried = this.#links.isTried(probe.target)
    this.#links.endEvidence(probe.target)
    if (target.incarnation !== probe.incarnation) return
    // Without a nack from somebody who lives, the fault may be here: that is for an ordinary suspicion. And who has so many to dial
    // that this one's turn has not come was cut off itself, and knows nothing of the others.
    const helpersLive = [...probe.helpers].some((id) => this.#table.get(id)?.status === 'alive')
    if (refused && (probe.nacks.size > 0 || !helpersLive)) this.#verdicts.onGone(probe.target, now)
    else if (tried) this.#verdicts.onSilent(probe.target, now)
  }

  #tickRelays(now: number): void {
    for (const [seq, relay] of [...this.#relays]) {
      if (!relay.nacked && relay.nackAt <= now) {
        relay.nacked = true
        this.#send.nack(relay.asker, relay.askerSeq)
      }
      if (relay.expiresAt <= now) this.#relays.delete(seq)
    }
  }
}
