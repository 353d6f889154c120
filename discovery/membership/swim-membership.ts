import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { Logger } from 'pino'
import type { Registry } from 'prom-client'
import { MeshError } from '../mesh/errors.ts'
import type { Mesh, PeerId } from '../mesh/types.ts'
import { SwimCore } from './core/swim-core.ts'
import { DEFAULT_TIMINGS, type SwimAction, type SwimTimings } from './core/types.ts'
import { MembershipError } from './errors.ts'
import { MembershipFile } from './membership-file.ts'
import { MembershipMetrics } from './metrics.ts'
import { Seeder } from './seeder.ts'
import type { Member, MemberMeta, Membership } from './types.ts'
import { checkMeta, decodeMessage, decodeSync, encodeMessage, encodeSync, NAME_CHARS_MAX } from './wire.ts'

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

interface Running {
  readonly core: SwimCore
  readonly seeder: Seeder
  readonly delay: ReturnType<typeof monitorEventLoopDelay>
  readonly delayTimer: NodeJS.Timeout
  readonly stopListening: () => void
  readonly stopped: AbortController
}

const CHANNEL = 'swim'
const SYNC_CHANNEL = 'swim-sync'
const SYNC_TIMEOUT_MS = 5000
const SYNC_TRIES_MAX = 3
const DIAL_TIMEOUT_MS = 3000
const LEAVE_TIMEOUT_MS = 1000
const DELAY_SAMPLE_MS = 1000
const DELAY_RESOLUTION_MS = 20

/** The membership over the mesh: runs a {@link SwimCore}, gives it time, messages and connection evidence. */
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
  #running: Running | null = null
  #transition: Promise<void> = Promise.resolve()
  #sorted: readonly Member[] | null = null
  #remembered: readonly string[] = []
  #meta: MemberMeta
  #timer: NodeJS.Timeout | null = null
  #armedFor = Number.POSITIVE_INFINITY
  #joined = false
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
    })
    this.#mesh.onMessage(CHANNEL, (from, payload) => this.#onMessage(from, payload))
    this.#mesh.onRequest(SYNC_CHANNEL, async (from, payload) => this.#onSync(from, payload))
  }

  /** Takes part in the cluster. The mesh runs already. @throws MembershipError `MBR_FILE_FAILED` */
  start(): Promise<void> {
    return this.#next(async () => {
      if (this.#running) return
      const { incarnation, peers } = await this.#file.load()
      // On disk before anybody hears of it: after a crash the next incarnation must be higher than this one.
      this.#file.save(() => ({ incarnation: incarnation + 1, peers }))
      await this.#file.flush()
      this.#run(incarnation + 1, peers)
    })
  }

  /** Ends probing without telling anybody, as a crash would. */
  stop(): Promise<void> {
    return this.#next(async () => {
      const running = this.#running
      if (!running) return
      this.#running = null
      this.#disarm()
      clearInterval(running.delayTimer)
      running.delay.disable()
      running.stopListening()
      running.stopped.abort()
      await running.seeder.stop()
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
    this.#perform(running.core.leave(this.#now()))
    this.#log.info('leaving the cluster')
    await promise
    clearTimeout(timer)
    this.#onLeaveAck = null
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
  local(): Member {
    if (!this.#running) throw new MembershipError('MBR_NOT_STARTED', 'the membership has not started')
    return this.#running.core.self()
  }

  /** @throws MembershipError `MBR_META_TOO_LARGE` */
  setMeta(meta: MemberMeta): void {
    checkMeta(meta)
    this.#meta = meta
    if (this.#running) this.#perform(this.#running.core.setMeta(meta, this.#now()))
  }

  onChange(listener: ChangeListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Whether there are addresses to find others by: configured ones, or those of an earlier run. Known once started. */
  get hasSeeds(): boolean {
    return this.#options.join.length > 0 || this.#remembered.length > 0
  }

  /** 0 healthy … 8: how much this node distrusts itself (Lifeguard). */
  get healthScore(): number {
    return this.#running?.core.healthScore ?? 0
  }

  #run(incarnation: number, peers: readonly string[]): void {
    const address = this.#options.address ?? this.#mesh.advertise
    const self = { id: this.#mesh.id, name: this.#options.name, address, incarnation, meta: this.#meta }
    const core = new SwimCore({ self, random: this.#random, timings: this.#timings }, this.#now())
    const join = this.#options.join.filter((a) => a !== address)
    this.#remembered = peers.filter((a) => a !== address)
    this.#sorted = null
    this.#joined = false
    const stopped = new AbortController()
    const delay = monitorEventLoopDelay({ resolution: DELAY_RESOLUTION_MS })
    delay.enable()
    const seeder = this.#newSeeder(join)
    const stopListening = this.#mesh.onPeer((event) => {
      const now = this.#now()
      if (event.type === 'connected') this.#perform(core.peerConnected(event.peer, now))
      else this.#perform(core.peerDisconnected(event.peer, now))
    })
    const delayTimer = setInterval(() => this.#sampleDelay(), DELAY_SAMPLE_MS)
    this.#running = { core, seeder, delay, delayTimer, stopListening, stopped }
    for (const peer of this.#mesh.connected()) this.#perform(core.peerConnected(peer, this.#now()))
    this.#arm()
    seeder.start()
  }

  #newSeeder(join: readonly string[]): Seeder {
    const others = () => this.members().filter((m) => m.id !== this.#mesh.id)
    return new Seeder(
      {
        join,
        remembered: this.#remembered,
        dialTimeoutMs: DIAL_TIMEOUT_MS,
        backoffMinMs: this.#timings.dialBackoffMinMs,
        backoffMaxMs: this.#timings.dialBackoffMaxMs,
      },
      {
        self: this.#mesh.id,
        log: this.#log,
        random: this.#random,
        dial: (address, signal) => this.#mesh.dial(address, signal),
        alone: () => !others().some(isLive),
        knows: (id) => this.get(id) !== undefined,
        knowsAddress: (address) => others().some((m) => m.address === address),
      },
    )
  }

  #onMessage(from: PeerId, payload: Uint8Array): void {
    const core = this.#running?.core
    if (!core) return
    try {
      this.#perform(core.message(from, decodeMessage(payload), this.#now()))
    } catch (error) {
      if (!(error instanceof MembershipError)) throw error
      this.#metrics.rejected.inc({ channel: CHANNEL })
      this.#log.debug({ peer: from, err: error }, 'a membership message was rejected')
    }
  }

  #onSync(from: PeerId, payload: Uint8Array): Uint8Array {
    const core = this.#running?.core
    if (!core) throw new MembershipError('MBR_NOT_STARTED', 'the membership has not started')
    this.#merge(from, payload)
    return encodeSync(core.snapshot(this.#now()))
  }

  #merge(from: PeerId, payload: Uint8Array): void {
    const core = this.#running?.core
    if (!core) return
    try {
      this.#perform(core.merge(from, decodeSync(payload), this.#now()))
    } catch (error) {
      if (error instanceof MembershipError) this.#metrics.rejected.inc({ channel: SYNC_CHANNEL })
      throw error
    }
  }

  #perform(actions: readonly SwimAction[]): void {
    for (const action of actions) this.#performOne(action)
    this.#arm()
  }

  #performOne(action: SwimAction): void {
    switch (action.type) {
      case 'send':
        if (!this.#mesh.send(action.to, CHANNEL, encodeMessage(action.message))) this.#metrics.dropped.inc()
        return
      case 'dial':
        this.#background(this.#dial(action.id, action.address))
        return
      case 'close':
        this.#close(action.id)
        return
      case 'sync':
        this.#background(this.#sync(action.peer))
        return
      case 'change':
        this.#changed(action.member, action.previous)
        return
      case 'remove':
        this.#sorted = null
        this.#mesh.forget(action.member.id)
        this.#remember()
        return
      case 'conflict':
        this.#log.error(
          action,
          `two nodes claim the name "${action.name}": ${action.holder.id} at ${action.holder.address} holds it, ` +
            `${action.newcomer.id} at ${action.newcomer.address} is not admitted. Give one of them another name`,
        )
        return
      case 'full':
        this.#log.error(
          { member: action.name, peer: action.id },
          `${action.name} is not admitted: this cluster has ${this.#timings.membersMax} members, which is the limit`,
        )
        return
      case 'leave-acked':
        this.#onLeaveAck?.()
        return
    }
  }

  #changed(member: Member, previous: Member | undefined): void {
    this.#sorted = null
    const isSelf = member.id === this.#mesh.id
    if (!isSelf && member.status !== 'left') this.#mesh.setAddress(member.id, member.address)
    if (!isSelf && !this.#joined && isLive(member)) {
      this.#joined = true
      this.#log.info({ member: member.name }, 'joined the cluster')
    }
    if (!isSelf) this.#logChange(member, previous)
    this.#remember()
    for (const listener of [...this.#listeners]) {
      try {
        listener(member, previous)
      } catch (error) {
        this.#log.error({ err: error }, 'a listener of member changes failed')
      }
    }
  }

  #logChange(member: Member, previous: Member | undefined): void {
    if (member.status === previous?.status) return
    const fields = { member: member.name, peer: member.id, address: member.address }
    if (member.status === 'failed') {
      this.#metrics.failures.inc()
      this.#log.warn(fields, `member ${member.name} failed`)
    } else if (member.status === 'left') this.#log.info(fields, `member ${member.name} left`)
    else if (previous?.status === 'suspect' || member.status === 'suspect') {
      this.#log.debug(fields, `member ${member.name} is ${member.status}`)
    } else this.#log.info(fields, `member ${member.name} is alive`)
  }

  #close(id: PeerId): void {
    const member = this.get(id)
    this.#mesh.forget(id)
    if (member) this.#mesh.setAddress(id, member.address)
  }

  async #dial(id: PeerId, address: string): Promise<void> {
    const running = this.#running
    if (!running) return
    const timeout = AbortSignal.timeout(DIAL_TIMEOUT_MS)
    const signal = AbortSignal.any([running.stopped.signal, timeout])
    let outcome: 'connected' | 'refused' | 'failed' = 'failed'
    try {
      // Another identity at that address proves that the member is not there any more.
      outcome = (await this.#mesh.dial(address, signal)) === id ? 'connected' : 'refused'
    } catch (error) {
      const refused = error instanceof MeshError && error.code === 'MSH_UNREACHABLE' && !signal.aborted
      if (refused) outcome = 'refused'
    }
    if (this.#running === running) this.#perform(running.core.dialed(id, outcome, this.#now()))
  }

  async #sync(peer: PeerId): Promise<void> {
    const running = this.#running
    for (let tries = 0; running && this.#running === running && tries < SYNC_TRIES_MAX; tries++) {
      const { signal } = running.stopped
      try {
        const mine = encodeSync(running.core.snapshot(this.#now()))
        const theirs = await this.#mesh.request(peer, SYNC_CHANNEL, mine, {
          timeoutMs: SYNC_TIMEOUT_MS,
          signal,
        })
        if (this.#running === running) this.#merge(peer, theirs)
        return
      } catch (error) {
        if (!signal.aborted) this.#log.debug({ peer, err: error }, 'a state exchange failed')
        if (error instanceof MeshError && error.code === 'MSH_UNREACHABLE') return
      }
    }
  }

  /** Nothing in it is expected to fail; what does anyway is logged. */
  #background(work: Promise<void>): void {
    work.catch((error: unknown) => this.#log.error({ err: error }, 'the membership met an unexpected error'))
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

  #sampleDelay(): void {
    const running = this.#running
    if (!running) return
    const delayMs = running.delay.max / 1e6 - DELAY_RESOLUTION_MS
    running.delay.reset()
    this.#perform(running.core.localHealth(delayMs, this.#now()))
  }

  #arm(): void {
    const running = this.#running
    if (!running) return
    const { deadline } = running.core
    // A deadline that moved back is noticed when the timer fires: cheaper than a new timer for every message.
    if (deadline >= this.#armedFor) return
    this.#disarm()
    this.#armedFor = deadline
    this.#timer = setTimeout(
      () => {
        this.#disarm()
        const now = this.#now()
        if (now < running.core.deadline) this.#arm()
        else this.#perform(running.core.tick(now))
      },
      Math.max(0, Math.ceil(deadline - this.#now())),
    )
  }

  #disarm(): void {
    if (this.#timer) clearTimeout(this.#timer)
    this.#timer = null
    this.#armedFor = Number.POSITIVE_INFINITY
  }

  /** start and stop run one after the other, in the order they were called. */
  #next(step: () => Promise<void>): Promise<void> {
    const done = this.#transition.then(step)
    this.#transition = done.catch(() => undefined)
    return done
  }
}

function isLive(member: Member): boolean {
  return member.status === 'alive' || member.status === 'suspect'
}

function byName(a: Member, b: Member): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0
}
