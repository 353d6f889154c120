import type { Logger } from 'pino'
import { NobodyListensError } from '../mesh/errors.ts'
import type { Mesh, PeerId } from '../mesh/types.ts'
import { FlapDamper, type MemberEvent } from './core/flap-damper.ts'
import { isLive } from './core/roster.ts'
import { SwimCore } from './core/swim-core.ts'
import type { SwimAction, SwimTimings } from './core/types.ts'
import { DeadlineTimer } from './deadline-timer.ts'
import { MembershipError } from './errors.ts'
import { EventLoopDelay } from './event-loop-delay.ts'
import { MemberLog } from './member-log.ts'
import type { MembershipMetrics } from './metrics.ts'
import { Plausibility } from './plausibility.ts'
import { type Seed, Seeder } from './seeder.ts'
import { StateExchange } from './state-exchange.ts'
import type { Member, MemberMeta } from './types.ts'
import { decodeMessage, encodeMessage } from './wire.ts'

/** Channel of the messages of the protocol. */
export const CHANNEL = 'swim'

/** Who takes part in this run, and where the others may be. */
export interface SwimRunOptions {
  readonly name: string
  /** host:port other nodes are told to dial. */
  readonly address: string
  readonly incarnation: number
  /** Whether the incarnation is one more than that of an earlier run. */
  readonly remembers: boolean
  readonly meta: MemberMeta
  readonly timings: SwimTimings
  /** Addresses to find the cluster by: configured ones, and those of an earlier run. */
  readonly join: readonly string[]
  readonly remembered: readonly string[]
}

/** What a run works with, and who hears of it. */
export interface SwimRunCollaborators {
  readonly mesh: Mesh
  readonly log: Logger
  readonly metrics: MembershipMetrics
  readonly now: () => number
  readonly random: () => number
  readonly changed: (member: Member, previous: Member | undefined) => void
  readonly removed: () => void
  readonly event: (event: MemberEvent) => void
  readonly leaveAcknowledged: () => void
}

/** The membership from one start to the next stop: gives a {@link SwimCore} time, messages and evidence, and does what it says. */
export class SwimRun {
  readonly core: SwimCore
  readonly #options: SwimRunOptions
  readonly #with: SwimRunCollaborators
  readonly #memberLog: MemberLog
  readonly #seeder: Seeder
  readonly #stateExchange: StateExchange
  readonly #plausibility: Plausibility
  readonly #timer: DeadlineTimer
  readonly flaps = new FlapDamper()
  readonly #eventTimer: DeadlineTimer
  readonly #stopped = new AbortController()
  #joined = false
  #delay: EventLoopDelay | null = null
  #stopListening: (() => void) | null = null

  constructor(options: SwimRunOptions, collaborators: SwimRunCollaborators) {
    this.#options = options
    this.#with = collaborators
    const { name, address, incarnation, meta, timings } = options
    const { mesh, log, random, now } = collaborators
    const self = { id: mesh.id, name, address, incarnation, meta }
    this.core = new SwimCore({ self, random, timings }, now())
    this.#memberLog = new MemberLog(mesh.id, log)
    this.#timer = new DeadlineTimer({
      now,
      deadline: () => this.core.deadline,
      onDue: (now) => this.perform(this.core.tick(now)),
    })
    this.#eventTimer = new DeadlineTimer({
      now,
      deadline: () => this.flaps.deadline,
      onDue: (now) => {
        for (const event of this.flaps.due(now)) this.#tell(event)
        this.#eventTimer.arm()
      },
    })
    this.#seeder = this.#newSeeder()
    this.#plausibility = new Plausibility(options, { ...collaborators, core: this.core })
    this.#stateExchange = new StateExchange({
      ...collaborators,
      core: this.core,
      plausibility: this.#plausibility,
      perform: (actions) => this.perform(actions),
    })
  }

  #newSeeder(): Seeder {
    const { join, remembered, timings } = this.#options
    const { mesh, log, random } = this.#with
    const others = () => [...this.core.members()].filter((m) => m.id !== mesh.id)
    return new Seeder(
      {
        join,
        remembered,
        backoffMinMs: timings.dialBackoffMinMs,
        backoffMaxMs: timings.dialBackoffMaxMs,
      },
      {
        self: mesh.id,
        selfAddress: this.core.self().address,
        log,
        random,
        dial: (address, signal) => mesh.dial(address, signal),
        alone: () => !others().some(isLive),
        isLive: (id) => others().some((m) => m.id === id && isLive(m)),
        whoHas: (address) => others().find((m) => m.address === address && isLive(m))?.id,
      },
    )
  }

  /** Who is at the addresses to find the cluster by. */
  seeds(): readonly Seed[] {
    return this.#seeder.seeds()
  }

  /** Why another member did not admit this node; null if none refused it. */
  get refusal(): string | null {
    return this.#memberLog.refusal
  }

  start(): void {
    const { mesh, now } = this.#with
    const { core } = this
    this.#delay = new EventLoopDelay((delayMs) => this.perform(core.localHealth(delayMs, now())))
    this.#stopListening = mesh.onPeer((event) => {
      if (event.type === 'connected') this.perform(core.peerConnected(event.peer, now()))
      else if (event.parted === true) this.perform(core.peerParted(event.peer, now()))
      else this.perform(core.peerDisconnected(event.peer, now()))
    })
    for (const peer of mesh.connected()) this.perform(core.peerConnected(peer, now()))
    this.#timer.arm()
    this.#seeder.start()
  }

  async stop(): Promise<void> {
    this.#timer.disarm()
    this.#eventTimer.disarm()
    this.#delay?.stop()
    this.#stopListening?.()
    this.#stopped.abort()
    await this.#seeder.stop()
  }

  // ---- what arrives --------------------------------------------------------------------------------------------

  /** A message of the protocol came from `from`. */
  message(from: PeerId, payload: Uint8Array): void {
    const { metrics, log, now } = this.#with
    try {
      const message = decodeMessage(payload)
      const updates = this.#plausibility.updates(from, message.updates)
      this.perform(this.core.message(from, { ...message, updates }, now()))
    } catch (error) {
      if (!(error instanceof MembershipError)) throw error
      metrics.rejected.inc({ channel: CHANNEL })
      log.debug({ peer: from, err: error }, 'a membership message was rejected')
    }
  }

  /** `from` compares everything known with this node, or tells what this one did not know. @throws MembershipError */
  exchange(from: PeerId, payload: Uint8Array): Uint8Array {
    return this.#stateExchange.answer(from, payload)
  }

  // ---- what the core wants done --------------------------------------------------------------------------------

  perform(actions: readonly SwimAction[]): void {
    for (const action of actions) this.#performOne(action)
    if (!this.#stopped.signal.aborted) this.#timer.arm()
  }

  #performOne(action: SwimAction): void {
    const { mesh, metrics, changed, removed, leaveAcknowledged } = this.#with
    switch (action.type) {
      case 'send':
        if (!mesh.send(action.to, CHANNEL, encodeMessage(action.message))) metrics.dropped.inc()
        return
      case 'dial':
        this.#background(this.#dial(action.id, action.address))
        return
      case 'close':
        this.#close(action.id)
        return
      case 'keep':
        mesh.keep(action.ids)
        return
      case 'sync':
        this.#background(this.#stateExchange.run(action.peer, this.#stopped.signal))
        return
      case 'change':
        this.#changed(action.member, action.previous)
        changed(action.member, action.previous)
        return
      case 'remove':
        removed()
        mesh.forget(action.member.id)
        return
      case 'conflict':
        metrics.conflicts.inc()
        this.#memberLog.conflict(action)
        return
      case 'full':
        this.#memberLog.full(action, this.#options.timings.membersMax)
        return
      case 'leave-acked':
        leaveAcknowledged()
        return
      case 'rtt':
        metrics.rtt.observe(action.rttMs / 1000)
        return
    }
  }

  #changed(member: Member, previous: Member | undefined): void {
    const { mesh, log, metrics, now } = this.#with
    if (member.id === mesh.id) return
    if (member.status !== 'left') mesh.setAddress(member.id, member.address)
    if (!this.#joined && isLive(member)) {
      this.#joined = true
      log.info({ member: member.name }, 'joined the cluster')
    }
    if (member.status === previous?.status) return
    if (member.status === 'failed') metrics.failures.inc()
    this.#memberLog.changed(member)
    const event = this.flaps.changed(member, previous, now())
    if (event) this.#tell(event)
    if (!this.#stopped.signal.aborted) this.#eventTimer.arm()
  }

  #tell(event: MemberEvent): void {
    this.#memberLog.event(event)
    this.#with.event(event)
  }

  #close(id: PeerId): void {
    const { mesh } = this.#with
    const member = this.core.get(id)
    mesh.forget(id)
    if (member) mesh.setAddress(id, member.address)
  }

  async #dial(id: PeerId, address: string): Promise<void> {
    const { mesh, now } = this.#with
    const { signal } = this.#stopped
    let outcome: 'connected' | 'refused' | 'failed' = 'failed'
    try {
      // Another identity at that address proves that the member is not there any more.
      outcome = (await mesh.dial(address, signal)) === id ? 'connected' : 'refused'
    } catch (error) {
      if (error instanceof NobodyListensError) outcome = 'refused'
    }
    if (!signal.aborted) this.perform(this.core.dialed(id, outcome, now()))
  }

  /** Nothing in it is expected to fail; what does anyway is logged. */
  #background(work: Promise<void>): void {
    work.catch((error: unknown) =>
      this.#with.log.error({ err: error }, 'the membership met an unexpected error'),
    )
  }
}
