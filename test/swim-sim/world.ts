import type { SyncOffer } from '../../discovery/membership/core/exchange.ts'
import { SwimCore } from '../../discovery/membership/core/swim-core.ts'
import type {
  DialOutcome,
  MemberRecord,
  SwimAction,
  SwimMessage,
  SwimTimings,
  SyncEntry,
} from '../../discovery/membership/core/types.ts'
import { encodeAnswer, encodeMessage, encodeOffer, encodeSync } from '../../discovery/membership/wire.ts'
import { EventQueue } from '../sim/event-queue.ts'
import { Random } from '../sim/random.ts'
import { SimNetwork, type Transport } from './network.ts'

/** What a world is made of. */
export interface WorldOptions {
  readonly seed: number
  readonly nodes: number
  readonly transport: Transport
  /** How many identities there can be in all, those that come later included. */
  readonly identitiesMax: number
  /** As mesh.connections_max: with more living members an agent keeps connections to some of them. */
  readonly connectionsMax: number
}

/** What became of the process of a member. `hung`: stopped until further notice; its connections stand. */
export type Process = 'running' | 'stalled' | 'hung' | 'dead'

/** One simulated agent: a real core, and the process around it. */
export interface SimMember {
  readonly index: number
  readonly id: string
  readonly name: string
  core: SwimCore
  process: Process
  left: boolean
  /** With which incarnation the process began. */
  bornAs: number
  /** When the process last began or went on. */
  runsSince: number
  stalledSince: number
  armedFor: number
  readonly inbox: ((core: SwimCore) => SwimAction[])[]
}

/** Who watches a world. `own`: the member came to it by its own clock or connections, not by news. */
export interface WorldObserver {
  changed(viewer: SimMember, member: MemberRecord, previous: MemberRecord | undefined, own: boolean): void
  removed(viewer: SimMember, member: MemberRecord): void
  sent(from: SimMember, kind: string, bytes: number): void
  acted(member: SimMember): void
}

const INBOX_MAX = 16_384
const WAITING_MAX = 64
/** How often a dialler looks again at a process that accepts, but does not answer yet. */
const DIAL_LOOK_MS = 50
/** How long it takes to put a cluster together. */
const FORMED_MS = 200
const BASE58 = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'

/** A cluster of real {@link SwimCore}s in virtual time (ms): processes, connections between them, and one source of chance. */
export class SwimWorld {
  now = 0
  /** Calls of a core, and events of the network. */
  steps = 0
  readonly random: Random
  readonly network: SimNetwork
  readonly members: SimMember[] = []
  readonly options: WorldOptions
  readonly #timings: Partial<SwimTimings>
  readonly #queue = new EventQueue()
  readonly #indexOf = new Map<string, number>()
  /** [a × identitiesMax + b] = 1: a believes that it has a connection to b. */
  readonly #connected: Uint8Array
  /** Messages that wait for the connection that is made for them. */
  readonly #waiting = new Map<number, (() => void)[]>()
  /** While a cluster is put together: to whom each keeps connections, if not to all. */
  readonly #kept = new Map<number, readonly string[] | null>()
  #observers: readonly WorldObserver[] = []
  #own = false

  constructor(options: WorldOptions) {
    this.options = options
    this.random = new Random(options.seed)
    this.network = new SimNetwork(options.transport, {
      queue: this.#queue,
      random: this.random,
      now: () => this.now,
    })
    this.#connected = new Uint8Array(options.identitiesMax ** 2)
    const { connectionsMax } = options
    this.#timings = { membersMax: Math.max(2000, options.identitiesMax), connectionsMax }
    this.#form(options.nodes)
  }

  observe(...observers: readonly WorldObserver[]): void {
    this.#observers = observers
  }

  /** Runs until `done` or until `ms` have passed. True if done. `done` is asked every `everyMs`. */
  run(ms: number, done: () => boolean = () => false, everyMs = 100): boolean {
    const end = this.now + ms
    for (;;) {
      if (done()) return true
      if (this.now >= end) return false
      this.#runTo(Math.min(end, this.now + everyMs))
    }
  }

  /** Something that happens later. */
  at(at: number, run: () => void): void {
    this.#queue.push(Math.max(this.now, at), run)
  }

  member(index: number): SimMember {
    const member = this.members[index]
    if (!member) throw new RangeError(`no member ${index}`)
    return member
  }

  byId(id: string): SimMember {
    return this.member(this.#indexOf.get(id) ?? -1)
  }

  /** Those that run and take part. */
  running(): SimMember[] {
    return this.members.filter((m) => m.process === 'running' && !m.left)
  }

  /** Whether messages pass between the two in both directions, and not only just now again after a partition. */
  reachable(a: SimMember, b: SimMember): boolean {
    return !this.network.isOutOfTouch(a.index, b.index)
  }

  isConnected(a: SimMember, b: SimMember): boolean {
    return this.#connected[this.#pair(a.index, b.index)] === 1
  }

  // ---- processes -----------------------------------------------------------------------------------------------

  /** A new identity, with a name of its own or one that was used before, joins through `seed`. */
  join(seed: SimMember, name?: string): SimMember {
    const member = this.#add(name)
    this.#connect(member.index, seed.index)
    return member
  }

  /** The process begins anew under its old identity, and joins through `seed`. */
  restart(member: SimMember, seed: SimMember): void {
    const { incarnation } = member.core.self()
    member.core = this.#newCore(member.id, member.name, member.index, incarnation + 1)
    member.process = 'running'
    member.left = false
    member.bornAs = incarnation + 1
    member.runsSince = this.now
    member.armedFor = Number.POSITIVE_INFINITY
    member.inbox.length = 0
    this.#arm(member)
    this.#connect(member.index, seed.index)
  }

  /** kill -9: the kernel closes every connection, and refuses new ones. */
  kill(member: SimMember): void {
    member.process = 'dead'
    member.inbox.length = 0
    for (const other of this.members) {
      if (!this.#connected[this.#pair(member.index, other.index)]) continue
      this.#connected[this.#pair(member.index, other.index)] = 0
      this.network.drop(member.index, other.index)
      if (this.options.transport === 'stream') this.#reset(other.index, member.index)
    }
  }

  /** Leaves on purpose, and ends a second later. */
  leave(member: SimMember): void {
    this.#input(member, (core) => core.leave(this.now))
    member.left = true
    const { runsSince } = member
    this.at(this.now + 1000, () => {
      if (member.runsSince === runsSince && member.process !== 'dead') this.kill(member)
    })
  }

  /** SIGSTOP: connections stand, nothing answers. */
  hang(member: SimMember): void {
    if (member.process !== 'running') return
    member.process = 'hung'
    member.stalledSince = this.now
  }

  /** SIGCONT. */
  resume(member: SimMember): void {
    if (member.process !== 'hung' && member.process !== 'stalled') return
    const lateMs = this.now - member.stalledSince
    member.process = 'running'
    member.runsSince = this.now
    // The timers of a process that was stopped run first when it goes on, as in Node's event loop.
    if (member.core.deadline <= this.now) this.#use(member, (core) => core.tick(this.now), true)
    for (const input of member.inbox.splice(0)) this.#use(member, input, false)
    this.#use(member, (core) => core.localHealth(lateMs, this.now), false)
  }

  /** The event loop stands still for `ms`: a collection, a long computation. */
  stall(member: SimMember, ms: number): void {
    if (member.process !== 'running') return
    this.hang(member)
    member.process = 'stalled'
    const { stalledSince } = member
    this.at(this.now + ms, () => {
      if (member.process === 'stalled' && member.stalledSince === stalledSince) this.resume(member)
    })
  }

  setMeta(member: SimMember, meta: Readonly<Record<string, string>>): void {
    this.#input(member, (core) => core.setMeta(meta, this.now))
  }

  /** Both ends lose their connection at once, as a reset by something between them. */
  breakConnection(a: SimMember, b: SimMember): void {
    this.#disconnect(a.index, b.index)
  }

  // ---- the beginning -------------------------------------------------------------------------------------------

  /** Everybody knows everybody and is connected, as after a quiet hour: without the hour, and with one record of each for all. */
  #form(count: number): void {
    for (let i = 0; i < count; i++) this.#add(undefined)
    const known = this.members
      .map((m) => ({ member: m.core.self(), ageMs: 0 }))
      .sort((a, b) => (a.member.id < b.member.id ? -1 : 1))
    for (const member of this.members) this.#acquaint(member, known)
    for (const member of this.members) {
      for (const other of this.#keptBy(member)) {
        for (const [a, b] of [
          [member, other],
          [other, member],
        ] as const) {
          if (this.isConnected(a, b)) continue
          this.#connected[this.#pair(a.index, b.index)] = 1
          a.core.peerConnected(b.id, FORMED_MS)
        }
      }
    }
    this.#kept.clear()
    this.now = FORMED_MS
    for (const member of this.members) this.#arm(member)
  }

  /** Most are told once it is settled that connections are kept to some only: nothing is to be prepared for each. */
  #acquaint({ core, index }: SimMember, known: readonly SyncEntry[]): void {
    const { connectionsMax, nodes } = this.options
    const few = nodes - 1 > connectionsMax ? connectionsMax + 2 : nodes
    const perform = (actions: readonly SwimAction[]) => {
      for (const action of actions) if (action.type === 'keep') this.#kept.set(index, action.ids)
    }
    const [teller = core.self()] = known.map(({ member }) => member)
    core.merge(teller.id, known.slice(0, few), 0)
    perform(core.tick(FORMED_MS / 2))
    core.merge(teller.id, known.slice(few), FORMED_MS / 2)
    // Without a connection there is nobody to tell the news: the queue is emptied.
    perform(core.tick(FORMED_MS))
  }

  #keptBy(member: SimMember): readonly SimMember[] {
    const ids = this.#kept.get(member.index)
    return ids ? ids.map((id) => this.byId(id)) : this.members.filter((other) => other !== member)
  }

  #add(name: string | undefined): SimMember {
    const index = this.members.length
    if (index >= this.options.identitiesMax) throw new RangeError('too many identities')
    const id = `12D3KooW${Array.from({ length: 44 }, () => BASE58[this.random.below(58)]).join('')}`
    const named = name ?? `node-${index}`
    const member: SimMember = {
      index,
      id,
      name: named,
      core: this.#newCore(id, named, index, 1),
      process: 'running',
      left: false,
      bornAs: 1,
      runsSince: this.now,
      stalledSince: 0,
      armedFor: Number.POSITIVE_INFINITY,
      inbox: [],
    }
    this.members.push(member)
    this.#indexOf.set(id, index)
    this.#arm(member)
    return member
  }

  #newCore(id: string, name: string, index: number, incarnation: number): SwimCore {
    const host = `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`
    const random = new Random(this.random.below(2 ** 30))
    // As much as an agent says about itself.
    const meta = {
      version: '0.1.0',
      http: '127.0.0.1:8500',
      priority: '100',
      expect: '3',
      cluster: '6f9619ff-8b86-4d01-b42d-00c04fc964ff',
    }
    const self = { id, name, address: `${host}:7946`, incarnation, meta }
    return new SwimCore({ self, random: random.next, timings: this.#timings }, this.now)
  }

  // ---- the driver, as in discovery/membership/swim-run.ts ------------------------------------------------------

  #runTo(end: number): void {
    while (this.#queue.nextAt <= end) {
      const event = this.#queue.pop()
      if (!event) break
      this.now = Math.max(this.now, event.at)
      this.steps++
      void event.run()
    }
    this.now = end
  }

  #input(member: SimMember, use: (core: SwimCore) => SwimAction[]): void {
    if (member.process === 'dead') return
    if (member.process === 'running') this.#use(member, use, false)
    else if (member.inbox.length < INBOX_MAX) member.inbox.push(use)
  }

  #use(member: SimMember, use: (core: SwimCore) => SwimAction[], own: boolean): void {
    const actions = use(member.core)
    this.#own = own
    for (const action of actions) this.#perform(member, action)
    this.#own = false
    this.#arm(member)
    for (const observer of this.#observers) observer.acted(member)
  }

  #arm(member: SimMember): void {
    const due = member.core.deadline
    if (due >= member.armedFor || due === Number.POSITIVE_INFINITY) return
    // Timers of Node: whole milliseconds, at least one.
    const at = this.now + Math.max(1, Math.ceil(due - this.now))
    member.armedFor = due
    const { core } = member
    this.#queue.push(at, () => {
      if (member.core !== core || member.armedFor !== due) return
      member.armedFor = Number.POSITIVE_INFINITY
      if (member.process !== 'running') return
      if (core.deadline <= this.now) this.#use(member, (c) => c.tick(this.now), true)
      else this.#arm(member)
    })
  }

  #perform(member: SimMember, action: SwimAction): void {
    switch (action.type) {
      case 'send':
        this.#send(member, this.byId(action.to), action.message)
        return
      case 'dial':
        this.#dial(member, this.byId(action.id))
        return
      case 'close':
        this.#disconnect(member.index, this.byId(action.id).index)
        return
      case 'sync':
        this.#sync(member, this.byId(action.peer))
        return
      case 'change':
        for (const observer of this.#observers)
          observer.changed(member, action.member, action.previous, this.#own)
        return
      case 'remove':
        for (const observer of this.#observers) observer.removed(member, action.member)
        return
    }
  }

  #send(from: SimMember, to: SimMember, message: SwimMessage): void {
    const pass = () => {
      const bytes = encodeMessage(message).length
      for (const observer of this.#observers) observer.sent(from, message.type, bytes)
      this.#carry(from, to, (core) => core.message(from.id, message, this.now), false)
    }
    if (this.#isUsable(from.index, to.index)) pass()
    else if (this.#isLarge()) this.#connectFor(from, to, pass)
  }

  /** Whether more run than have connections to all. */
  #isLarge(): boolean {
    let running = 0
    for (const { process, left } of this.members) {
      if (process === 'running' && !left) running++
      if (running > this.options.connectionsMax) return true
    }
    return false
  }

  /** A connection for a message, as the mesh makes one; it stays. */
  #connectFor(from: SimMember, to: SimMember, pass: () => void): void {
    const key = this.#pair(from.index, to.index)
    const waiting = this.#waiting.get(key)
    if (waiting) {
      if (waiting.length < WAITING_MAX) waiting.push(pass)
      return
    }
    this.#waiting.set(key, [pass])
    const ms = this.network.dialMs(from.index, to.index)
    this.at(this.now + (ms ?? this.network.dialTimeoutMs), () => {
      const passes = this.#waiting.get(key) ?? []
      this.#waiting.delete(key)
      if (ms === null || from.process === 'dead' || to.process !== 'running') return
      this.#connect(from.index, to.index)
      for (const each of passes) each()
    })
  }

  #sync(from: SimMember, to: SimMember): void {
    if (!this.#isUsable(from.index, to.index)) return
    const offer = from.core.offer(this.now)
    this.#count(from, 'sync', encodeOffer(offer).length)
    this.#carry(from, to, () => this.#answer(from, to, offer), true)
  }

  #answer(from: SimMember, to: SimMember, offer: SyncOffer): SwimAction[] {
    const answer = to.core.answerOffer(offer, this.now)
    this.#count(to, 'sync', encodeAnswer(answer).length)
    this.#carry(
      to,
      from,
      (core) => {
        const { rest, actions } = core.takeAnswer(to.id, offer, answer, this.now)
        if (rest.length > 0) {
          this.#count(from, 'sync', encodeSync(rest).length)
          this.#carry(from, to, (other) => other.merge(from.id, rest, this.now), true)
        }
        return actions
      },
      true,
    )
    return []
  }

  #count(from: SimMember, kind: string, bytes: number): void {
    for (const observer of this.#observers) observer.sent(from, kind, bytes)
  }

  #carry(from: SimMember, to: SimMember, use: (core: SwimCore) => SwimAction[], reliable: boolean): void {
    const { core } = to
    this.network.send(
      from.index,
      to.index,
      () => {
        if (to.core === core) this.#input(to, use)
      },
      reliable,
    )
  }

  #dial(from: SimMember, to: SimMember): void {
    const { core } = from
    const { dialTimeoutMs } = this.network
    const giveUpAt = this.now + dialTimeoutMs
    const ms = this.network.dialMs(from.index, to.index)
    const end = (outcome: DialOutcome) => {
      if (from.core === core) this.#input(from, (c) => c.dialed(to.id, outcome, this.now))
    }
    const look = () => {
      if (from.core !== core || from.process === 'dead') return
      if (this.now >= giveUpAt) end('failed')
      else if (to.process === 'dead') end(this.options.transport === 'stream' ? 'refused' : 'failed')
      else if (to.process === 'running' && from.process === 'running') {
        this.#connect(from.index, to.index)
        end('connected')
      } else this.at(Math.min(giveUpAt, this.now + DIAL_LOOK_MS), look)
    }
    this.at(this.now + (ms ?? dialTimeoutMs), look)
  }

  #connect(a: number, b: number): void {
    const fresh = [
      [a, b],
      [b, a],
    ].filter(([x = 0, y = 0]) => !this.#connected[this.#pair(x, y)])
    for (const [x = 0, y = 0] of fresh) this.#connected[this.#pair(x, y)] = 1
    for (const [x = 0, y = 0] of fresh)
      this.#input(this.member(x), (core) => core.peerConnected(this.member(y).id, this.now))
  }

  #disconnect(a: number, b: number): void {
    this.network.drop(a, b)
    this.#reset(a, b)
    // A reset does not cross a cut: the far end goes on believing in its connection.
    if (!this.network.isCut(a, b)) this.#reset(b, a)
  }

  /** `at` learns that its connection to `gone` is closed. */
  #reset(at: number, gone: number): void {
    if (!this.#connected[this.#pair(at, gone)]) return
    this.#connected[this.#pair(at, gone)] = 0
    const member = this.member(at)
    const { core } = member
    this.at(this.now + this.network.latencyMs(gone, at), () => {
      if (member.core !== core || this.#connected[this.#pair(at, gone)]) return
      this.#input(member, (c) => c.peerDisconnected(this.member(gone).id, this.now))
    })
  }

  /** Whether a message can be given to the connection; one that stands on this side only is reset by the first message. */
  #isUsable(from: number, to: number): boolean {
    if (!this.#connected[this.#pair(from, to)]) return false
    const { transport } = this.options
    if (transport === 'datagram' || this.#connected[this.#pair(to, from)]) return true
    if (!this.network.isCut(from, to) && !this.network.isCut(to, from)) this.#reset(from, to)
    return true
  }

  #pair(a: number, b: number): number {
    return a * this.options.identitiesMax + b
  }
}
