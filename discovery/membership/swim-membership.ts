import type { Logger } from 'pino'
import type { Registry } from 'prom-client'
import type { Mesh, PeerId } from '../mesh/types.ts'
import type { Coordinate } from './core/coordinate.ts'
import { isLive } from './core/roster.ts'
import { DEFAULT_TIMINGS, type ForceLeaveRefusal, type SwimTimings } from './core/types.ts'
import { MembershipError } from './errors.ts'
import { MembershipFile } from './membership-file.ts'
import { MembershipMetrics } from './metrics.ts'
import type { Seed } from './seeder.ts'
import { SYNC_CHANNEL } from './state-exchange.ts'
import { CHANNEL, SwimRun } from './swim-run.ts'
import type { Member, MemberEvent, MemberMeta, Membership } from './types.ts'
import { checkMeta, NAME_CHARS_MAX } from './wire.ts'

/** Settings of {@link SwimMembership}. */
export interface SwimMembershipOptions {
  /** Unique in the cluster. */
  readonly name: string
  /** host:port other nodes are told to dial. Default: what the mesh advertises when this starts. */
  readonly address?: string
  /** At most 512 bytes as JSON. */
  readonly meta: MemberMeta
  /** `membership.json` is kept here. */
  readonly dataDir: string
  /** host:port to find the cluster by. */
  readonly join: readonly string[]
  readonly timings?: Partial<SwimTimings>
}

/** What {@link SwimMembership} works with. `now` is a monotonic clock in ms, `random` answers in [0, 1). */
export interface SwimMembershipCollaborators {
  readonly mesh: Mesh
  readonly log: Logger
  readonly metrics?: Registry
  readonly now?: () => number
  readonly random?: () => number
}

type ChangeListener = (member: Member, previous: Member | undefined) => void

const LEAVE_TIMEOUT_MS = 1000

/** The membership over the mesh: who is in the cluster, and taking part in it from `start` to `stop`. */
export class SwimMembership implements Membership {
  readonly #options: SwimMembershipOptions
  readonly #timings: SwimTimings
  readonly #mesh: Mesh
  readonly #log: Logger
  readonly #now: () => number
  readonly #random: () => number
  readonly #metrics: MembershipMetrics
  readonly #file: MembershipFile
  readonly #listeners = new Set<ChangeListener>()
  readonly #eventListeners = new Set<(event: MemberEvent) => void>()
  #running: SwimRun | null = null
  #transition: Promise<void> = Promise.resolve()
  #sorted: readonly Member[] | null = null
  #remembered: readonly string[] = []
  #meta: MemberMeta
  #onLeaveAck: (() => void) | null = null

  /** @throws MembershipError `MBR_META_TOO_LARGE` or `MBR_BAD_NAME` */
  constructor(options: SwimMembershipOptions, collaborators: SwimMembershipCollaborators) {
    if (options.name.length === 0 || options.name.length > NAME_CHARS_MAX) {
      throw new MembershipError('MBR_BAD_NAME', `a node name has 1 to ${NAME_CHARS_MAX} characters`)
    }
    checkMeta(options.meta)
    this.#options = options
    this.#meta = options.meta
    this.#timings = { ...DEFAULT_TIMINGS, ...options.timings }
    this.#mesh = collaborators.mesh
    this.#log = collaborators.log
    this.#now = collaborators.now ?? (() => performance.now())
    this.#random = collaborators.random ?? Math.random
    this.#file = new MembershipFile({ dataDir: options.dataDir }, { log: this.#log })
    this.#metrics = new MembershipMetrics(collaborators.metrics, {
      members: () => this.members(),
      healthScore: () => this.healthScore,
      queued: () => this.#running?.core.queued ?? 0,
      counts: () => this.#running?.core.counts,
      rejectedCoordinates: () => this.#running?.core.places.rejected ?? 0,
      flaps: () => this.#running?.flaps,
      now: this.#now,
    })
    this.#mesh.onMessage(CHANNEL, (from, payload) => this.#running?.message(from, payload))
    this.#mesh.onRequest(SYNC_CHANNEL, async (from, payload) => this.#current().exchange(from, payload))
  }

  /** Takes part in the cluster. The mesh runs already. @throws MembershipError `MBR_FILE_FAILED` */
  start(): Promise<void> {
    return this.#next(async () => {
      if (this.#running) return
      const { incarnation, peers } = await this.#file.load()
      // On disk before anybody hears of it: after a crash the next incarnation must be higher than this one.
      this.#file.save(() => ({ incarnation: incarnation + 1, peers }))
      await this.#file.flush()
      this.#run(incarnation, peers)
    })
  }

  /** Ends probing without telling anybody, as a crash would. */
  stop(): Promise<void> {
    return this.#next(async () => {
      const running = this.#running
      if (!running) return
      this.#running = null
      await running.stop()
      await this.#file.flush()
    })
  }

  /** Tells everybody directly; waits until one other member has confirmed, at most a second. */
  async leave(): Promise<void> {
    const running = this.#running
    if (!running) return
    const others = this.members().some((m) => m.id !== this.#mesh.id && isLive(m))
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#onLeaveAck = resolve
    const timer = setTimeout(resolve, others ? LEAVE_TIMEOUT_MS : 0)
    running.perform(running.core.leave(this.#now()))
    this.#log.info('leaving the cluster')
    await promise
    clearTimeout(timer)
    this.#onLeaveAck = null
  }

  /** @throws MembershipError `MBR_UNKNOWN_MEMBER`, `MBR_SELF` or `MBR_MEMBER_LIVES` */
  forceLeave(member: string, options: { readonly prune?: boolean } = {}): void {
    const running = this.#current()
    const found = this.get(member) ?? this.members().find(({ name }) => name === member)
    if (!found) throw unknownMember(member)
    const prune = options.prune === true
    const { refused, actions } = running.core.forceLeave(found.id, prune, this.#now())
    if (refused) throw refusal(refused, found)
    this.#log.warn(
      { member: found.name, peer: found.id, address: found.address },
      `${found.name} is ${prune ? 'forgotten' : 'declared left'} by an operator`,
    )
    running.perform(actions)
  }

  members(): readonly Member[] {
    if (!this.#running) return []
    this.#sorted ??= [...this.#running.core.members()].sort(byName)
    return this.#sorted
  }

  get(id: PeerId): Member | undefined {
    return this.#running?.core.get(id)
  }

  /** @throws MembershipError `MBR_NOT_STARTED` */
  seeds(): readonly Seed[] {
    return this.#running?.seeds() ?? []
  }

  local(): Member {
    return this.#current().core.self()
  }

  #current(): SwimRun {
    if (!this.#running) throw new MembershipError('MBR_NOT_STARTED', 'the membership has not started')
    return this.#running
  }

  /** @throws MembershipError `MBR_META_TOO_LARGE` */
  setMeta(meta: MemberMeta): void {
    checkMeta(meta)
    this.#meta = meta
    const running = this.#running
    if (running) running.perform(running.core.setMeta(meta, this.#now()))
  }

  rttMs(a: PeerId, b: PeerId): number | null {
    return this.#running?.core.places.rttMs(a, b) ?? null
  }

  coordinate(id: PeerId): Coordinate | null {
    return this.#running?.core.places.get(id) ?? null
  }

  onChange(listener: ChangeListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  onEvent(listener: (event: MemberEvent) => void): () => void {
    this.#eventListeners.add(listener)
    return () => this.#eventListeners.delete(listener)
  }

  /** Whether there are addresses to find others by: configured ones, or those of an earlier run. Known once started. */
  get hasSeeds(): boolean {
    return this.#options.join.length > 0 || this.#remembered.length > 0
  }

  /** Why another member did not admit this node, as a sentence for the operator; null if none refused it since the start. */
  get refusal(): string | null {
    return this.#running?.refusal ?? null
  }

  /** 0 healthy … 8: how much this node distrusts itself (Lifeguard). */
  get healthScore(): number {
    return this.#running?.core.healthScore ?? 0
  }

  #run(lastIncarnation: number, peers: readonly string[]): void {
    const { name, address = this.#mesh.advertise } = this.#options
    const join = this.#options.join.filter((a) => a !== address)
    const remembered = peers.filter((a) => a !== address)
    this.#remembered = remembered
    this.#sorted = null
    const running = new SwimRun(
      {
        name,
        address,
        incarnation: lastIncarnation + 1,
        remembers: lastIncarnation > 0,
        meta: this.#meta,
        timings: this.#timings,
        join,
        remembered,
      },
      {
        mesh: this.#mesh,
        log: this.#log,
        metrics: this.#metrics,
        now: this.#now,
        random: this.#random,
        changed: (member, previous) => this.#changed(member, previous),
        removed: () => {
          this.#sorted = null
          this.#remember()
        },
        event: (event) => this.#notify(this.#eventListeners, (listen) => listen(event)),
        leaveAcknowledged: () => this.#onLeaveAck?.(),
      },
    )
    this.#running = running
    running.start()
  }

  #changed(member: Member, previous: Member | undefined): void {
    this.#sorted = null
    this.#remember()
    this.#notify(this.#listeners, (listener) => listener(member, previous))
  }

  #notify<T>(listeners: ReadonlySet<T>, call: (listener: T) => void): void {
    for (const listener of [...listeners]) {
      try {
        call(listener)
      } catch (error) {
        this.#log.error({ err: error }, 'a listener of member changes failed')
      }
    }
  }

  /** Keeps the file in step: own incarnation, and where the others are. Those of the earlier run stay until others are known. */
  #remember(): void {
    const core = this.#running?.core
    if (!core) return
    this.#file.save(() => {
      const others = core.members().filter((m) => m.id !== core.self().id && m.status !== 'left')
      const kept = others.length === 0 ? this.#remembered : others.map((m) => m.address)
      return { incarnation: core.self().incarnation, peers: kept }
    })
  }

  /** start and stop run one after the other, in the order they were called. */
  #next(step: () => Promise<void>): Promise<void> {
    const done = this.#transition.then(step)
    this.#transition = done.catch(() => undefined)
    return done
  }
}

function unknownMember(member: string): MembershipError {
  return new MembershipError('MBR_UNKNOWN_MEMBER', `no member has the name or id ${JSON.stringify(member)}`)
}

function refusal(refused: ForceLeaveRefusal, { name, status }: Member): MembershipError {
  if (refused === 'unknown') return unknownMember(name)
  if (refused === 'self') {
    return new MembershipError(
      'MBR_SELF',
      `${name} is this node: it leaves on its own with \`constellation leave\``,
    )
  }
  return new MembershipError(
    'MBR_MEMBER_LIVES',
    `${name} is ${status}, not failed: a living member would refute it. Stop it, or let it leave on its own`,
  )
}

function byName(a: Member, b: Member): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0
}
