import { randomUUID } from 'node:crypto'
import type { Logger } from 'pino'
import type { Clock } from './clock.ts'
import { supersedes } from './cluster-id.ts'
import { ConsensusError, isConsensusError } from './errors.ts'
import { chooseFounders, mayFound, overlooksBetter, type Seed } from './founders.ts'
import type { LocalCopy } from './local-copy.ts'
import type { Replica } from './replica.ts'
import { callRpc, RpcRefusal, type RpcRequest, type RpcResponses } from './rpc.ts'
import type { Pledge } from './storage/log-store.ts'
import type { Transport } from './transport.ts'

/** What the membership knows of another node that matters for making or finding a cluster. */
export interface PeerInfo {
  readonly id: string
  readonly alive: boolean
  /** Id of the cluster it belongs to; null if it belongs to none yet. */
  readonly clusterId: string | null
  /** With how many others it wants to make the first cluster; 0 = it only joins. */
  readonly bootstrapExpect: number
}

/** Everybody but this node. */
export interface PeerDirectory {
  peers(): readonly PeerInfo[]
  /** In the order of the configuration; without the address of this node itself. */
  seeds(): readonly Seed[]
}

const STEP_MS = 200
/** A member that knows no leader for this many ticks asks whether it still is one. */
const ORPHAN_TICKS = 50
/** A client asks again whether there is a place for it after about this many ticks. */
const CLIENT_TICKS = 100
/** How many others a client asks each time. */
const CLIENT_ASKS_MAX = 3
const CALL_TIMEOUT_MS = 2000
const REPORT_MS = 10_000

/**
 * How a node without a cluster gets one, and one that was removed while it was away comes back: it joins the one its
 * peers have; else, if it may, it founds one together with
 * exactly `bootstrapExpect` − 1 others. Founding is a two-phase commit with the smallest id as proposer: every founder
 * durably pledges itself to one attempt only, so two attempts that share a founder cannot both succeed ({@link mayFound} sees
 * to it that any two do), and whoever
 * crashes in between finds its pledge again. A proposer that was refused gives its attempt up; only it may do so.
 * The proposer decides by making itself durably part of the new cluster, whose id is that of the attempt. From then on
 * every founder that knows of it tells the others when they ask, so a lost message delays a founder and never excludes it.
 */
export class Formation {
  readonly #expect: number
  readonly #orphanMs: number
  readonly #clientMs: number
  readonly #clock: Clock
  readonly #replica: Replica
  readonly #copy: LocalCopy
  readonly #random: () => number
  readonly #transport: Transport
  readonly #directory: PeerDirectory
  readonly #log: Logger
  #timer: NodeJS.Timeout | null = null
  #stepping: Promise<void> | null = null
  readonly #abort = new AbortController()
  readonly #lastReports = { info: Number.NEGATIVE_INFINITY, warn: Number.NEGATIVE_INFINITY }
  /** When a leader was known last, or the others were last asked for one. */
  #lastLeaderAt: number
  /** A client does not ask again before. */
  #askAgainAt = Number.NEGATIVE_INFINITY
  /** The last change of pledge or identity. They are made one after the other, each on what the one before left. */
  #deciding: Promise<unknown> = Promise.resolve()
  /** Set while the answers to this node's own attempt come in: the pledge is then not given up behind its back. */
  #proposing = ''

  constructor(
    options: { readonly bootstrapExpect: number; readonly tickMs: number },
    collaborators: {
      replica: Replica
      copy: LocalCopy
      random: () => number
      transport: Transport
      directory: PeerDirectory
      clock: Clock
      log: Logger
    },
  ) {
    this.#expect = options.bootstrapExpect
    this.#orphanMs = ORPHAN_TICKS * options.tickMs
    this.#clientMs = CLIENT_TICKS * options.tickMs
    this.#clock = collaborators.clock
    this.#lastLeaderAt = this.#clock.now()
    this.#replica = collaborators.replica
    this.#copy = collaborators.copy
    this.#random = collaborators.random
    this.#transport = collaborators.transport
    this.#directory = collaborators.directory
    this.#log = collaborators.log
  }

  async start(): Promise<void> {
    // An attempt of this node's own that a crash cut off was never completed: nobody was told to found.
    await this.#exclusive(async () => {
      const { identity, pledge } = this.#replica
      if (identity === null && pledge?.proposer === this.#replica.id) await this.#replica.setPledge(null)
    })
    const first = this.#step()
    this.#stepping = first.catch(() => {})
    await first
    this.#schedule()
  }

  async stop(): Promise<void> {
    this.#abort.abort()
    if (this.#timer !== null) clearTimeout(this.#timer)
    await this.#stepping
    await this.#deciding
  }

  #exclusive<T>(decide: () => Promise<T>): Promise<T> {
    const decision = this.#deciding.then(decide)
    this.#deciding = decision.catch(() => {})
    return decision
  }

  #schedule(): void {
    if (this.#abort.signal.aborted) return
    this.#timer = setTimeout(() => {
      this.#stepping = this.#step()
        .catch((error: Error) => this.#log.warn({ err: error }, 'forming a cluster failed; trying again'))
        .finally(() => this.#schedule())
    }, STEP_MS)
  }

  #isDone(): boolean {
    return this.#replica.identity !== null && this.#replica.isMember && !this.#isOrphan()
  }

  /**
   * True if this member has known no leader for long. It may have been removed while it was away: what it has stored does
   * not say so, and nobody sends it anything any more. Asking to join does no harm if it still is a member.
   */
  #isOrphan(): boolean {
    return this.#clock.now() - this.#lastLeaderAt > this.#orphanMs
  }

  async #step(): Promise<void> {
    this.#copy.settle()
    for (const { alive, clusterId } of this.#directory.peers()) {
      if (alive && clusterId !== null) this.#replica.retire(clusterId)
    }
    if (this.#replica.leader !== '') this.#lastLeaderAt = this.#clock.now()
    if (this.#isDone() || this.#replica.ended !== null) return
    if (this.#replica.isMember) this.#lastLeaderAt = this.#clock.now()
    if (this.#copy.isClient && this.#clock.now() < this.#askAgainAt) return
    const peers = this.#directory.peers().filter((peer) => peer.alive)
    const settled = peers.filter(({ clusterId }) => clusterId !== null && !isOver(clusterId, peers))
    // First: the cluster this node has agreed to found cannot admit it, and may have no leader without it.
    if (this.#replica.identity === null && this.#replica.pledge !== null) {
      await this.#askFounders(this.#replica.pledge)
      if (this.#isDone()) return
    }
    if (settled.length > 0) await this.#join(settled)
    else if (this.#replica.identity === null) await this.#found(peers)
    else this.#report('waiting for a member of our cluster to answer')
  }

  #report(sentence: string, level: 'info' | 'warn' = 'info'): void {
    // A warning is not held back by the news before it.
    const now = this.#clock.now()
    if (now - this.#lastReports[level] < REPORT_MS) return
    this.#lastReports[level] = now
    this.#log[level](sentence)
  }

  #call<R extends RpcRequest>(to: string, request: R): Promise<RpcResponses[R['op']]> {
    return callRpc(this.#transport, to, request, { timeoutMs: CALL_TIMEOUT_MS, signal: this.#abort.signal })
  }

  async #join(settled: readonly PeerInfo[]): Promise<void> {
    const ours = this.#replica.identity?.clusterId
    const targets = settled
      .filter((peer) => ours === undefined || peer.clusterId === ours)
      .map((peer) => peer.id)
      // Most of the others may be clients, which can only say who leads.
      .sort((a, b) => Number(b === this.#copy.leader) - Number(a === this.#copy.leader))
      .slice(0, this.#copy.isClient ? CLIENT_ASKS_MAX : undefined)
    this.#askAgainAt = this.#clock.now() + this.#clientMs * (0.75 + 0.5 * this.#random())
    if (targets.length === 0) {
      this.#report(
        `the peers belong to another cluster than this node's data (${ours}); it waits for its own`,
      )
      return
    }
    const tried = new Set<string>()
    for (let target = targets[0]; target !== undefined; ) {
      tried.add(target)
      let leader = ''
      try {
        const { clusterId, client } = await this.#call(target, { op: 'join', empty: ours === undefined })
        await this.#exclusive(() => this.#replica.initialise(clusterId, null))
        if (client !== null) this.#copy.follow(client, target)
        return
      } catch (error) {
        if (error instanceof RpcRefusal) leader = error.leader
        if (isConsensusError(error, 'CST_LOG_DAMAGED')) this.#report(error.message, 'warn')
        this.#log.debug({ target, err: error }, 'could not join through this node')
      }
      target = leader !== '' && !tried.has(leader) ? leader : targets.find((id) => !tried.has(id))
    }
    this.#report(
      this.#replica.isMember
        ? 'no leader is known; asking the others whether this node is still a member'
        : 'waiting to be admitted to the cluster',
    )
  }

  async #found(peers: readonly PeerInfo[]): Promise<void> {
    if (this.#replica.pledge !== null) return
    if (this.#expect === 0) {
      this.#report('waiting for a cluster to join')
      return
    }
    const choice = chooseFounders(
      this.#replica.id,
      this.#candidates(peers),
      this.#expect,
      this.#directory.seeds(),
    )
    if ('waitingFor' in choice) this.#report(`waiting for ${choice.waitingFor}`)
    else if (choice.founders[0] === this.#replica.id) await this.#propose(choice.founders)
  }

  async #propose(founders: readonly string[]): Promise<void> {
    const pledge: Pledge = { attempt: randomUUID(), proposer: this.#replica.id, founders }
    this.#proposing = pledge.attempt
    try {
      const free = await this.#exclusive(async () => {
        if (this.#replica.identity !== null || this.#replica.pledge !== null) return false
        await this.#replica.setPledge(pledge)
        return true
      })
      if (!free) return
      const others = founders.filter((id) => id !== this.#replica.id)
      const answers = await Promise.allSettled(others.map((id) => this.#call(id, { op: 'pledge', pledge })))
      if (answers.every((answer) => answer.status === 'fulfilled' && answer.value.accepted)) {
        const clusterId = pledge.attempt
        await this.#exclusive(() => this.#replica.initialise(clusterId, founders))
        await Promise.allSettled(others.map((id) => this.#call(id, { op: 'found', clusterId })))
        return
      }
      await this.#exclusive(() => this.#replica.setPledge(null))
      await Promise.allSettled(others.map((id) => this.#call(id, { op: 'release', attempt: pledge.attempt })))
    } finally {
      this.#proposing = ''
    }
  }

  /**
   * A pledge binds until its proposer says that the attempt is over. That it succeeded, any founder may say. Example: the
   * proposer founded, told one of two others and died; the one left out learns it from the other.
   */
  async #askFounders(pledge: Pledge): Promise<void> {
    const { attempt, proposer } = pledge
    const others = pledge.founders.filter((id) => id !== this.#replica.id)
    const ask = async (founder: string) => {
      const answer = await this.#call(founder, { op: 'attempt', attempt })
      await this.#exclusive(async () => {
        if (this.#replica.pledge?.attempt !== attempt || this.#replica.identity !== null) return
        if (answer.clusterId === attempt) await this.#replica.initialise(attempt, pledge.founders)
        else if (answer.state === 'given-up' && founder === proposer) await this.#replica.setPledge(null)
      })
    }
    const answers = await Promise.allSettled(others.map(ask))
    if (answers.every(({ status }) => status === 'fulfilled')) return
    this.#log.debug({ answers }, 'not every founder of the cluster answers')
    if (this.#replica.identity === null && this.#replica.pledge?.attempt === attempt)
      this.#report(`waiting for node ${proposer}, with which this node has agreed to form a cluster`)
  }

  /** True if this node knows what the proposer cannot have known, which tries again until all founders know of nothing better. */
  #isOverlooked({ founders }: Pledge): boolean {
    const peers = this.#directory.peers().filter((peer) => peer.alive)
    if (peers.some(({ clusterId }) => clusterId !== null && !isOver(clusterId, peers))) return true
    return overlooksBetter(founders, this.#replica.id, this.#candidates(peers), this.#directory.seeds())
  }

  #candidates(peers: readonly PeerInfo[]): readonly string[] {
    return peers
      .filter((peer) => peer.clusterId === null && peer.bootstrapExpect === this.#expect)
      .map(({ id }) => id)
  }

  /** A peer asks this node to found a cluster with it. */
  handlePledge(from: string, pledge: Pledge): Promise<RpcResponses['pledge']> {
    return this.#exclusive(async () => {
      const clusterId = this.#replica.identity?.clusterId ?? null
      const valid =
        pledge.proposer === from &&
        pledge.founders.length === this.#expect &&
        pledge.founders.includes(this.#replica.id) &&
        pledge.founders.includes(from) &&
        mayFound(pledge.founders, this.#replica.id, this.#expect, this.#directory.seeds())
      const taken = this.#replica.pledge
      const bound = taken !== null && taken.attempt !== pledge.attempt
      if (!valid || clusterId !== null || bound || this.#isOverlooked(pledge))
        return { accepted: false, clusterId }
      await this.#replica.setPledge(pledge)
      return { accepted: true, clusterId: null }
    })
  }

  handleRelease(from: string, attempt: string): Promise<RpcResponses['release']> {
    return this.#exclusive(async () => {
      const { pledge, identity } = this.#replica
      if (identity === null && pledge?.attempt === attempt && pledge.proposer === from)
        await this.#replica.setPledge(null)
      return {}
    })
  }

  handleFound(from: string, clusterId: string): Promise<RpcResponses['found']> {
    return this.#exclusive(async () => {
      const { pledge: own, identity } = this.#replica
      if (identity?.clusterId === clusterId) return {}
      if (identity !== null || own?.attempt !== clusterId || own.proposer !== from) {
        throw new ConsensusError('CST_NOT_INITIALISED', 'this node has not agreed to that attempt')
      }
      await this.#replica.initialise(clusterId, own.founders)
      return {}
    })
  }

  /** What became of an attempt this node proposed or pledged itself to. */
  async handleAttempt(from: string, attempt: string): Promise<RpcResponses['attempt']> {
    const { pledge, identity } = this.#replica
    if (pledge?.attempt === attempt && pledge.founders.includes(from)) {
      // A node that went to another cluster meanwhile has nothing to say of this one.
      return { state: 'open', clusterId: identity?.clusterId === attempt ? attempt : null }
    }
    return { state: this.#proposing === attempt ? 'open' : 'given-up', clusterId: null }
  }
}

/** True if one of `peers` belongs to a cluster that was recovered from this one: nobody joins the older any more. */
function isOver(clusterId: string, peers: readonly PeerInfo[]): boolean {
  return peers.some((peer) => peer.clusterId !== null && supersedes(peer.clusterId, clusterId))
}
