import type { FlapDamper, MemberEvent } from '../../../../discovery/membership/core/flap-damper.ts'
import { seededRandom } from '../../../../discovery/membership/core/random.ts'
import { SwimCore } from '../../../../discovery/membership/core/swim-core.ts'
import type {
  DialOutcome,
  MemberRecord,
  SwimAction,
  SwimMessage,
  SwimTimings,
  SyncEntry,
} from '../../../../discovery/membership/core/types.ts'
import { describeChange, describeMessage } from './format.ts'

/** How long a message or an attempt to connect takes, and how long a dialler waits for nothing. All in ms. */
const LATENCY_MS = 1
const DIAL_TIMEOUT_MS = 3000
/** The interval of gossip. */
const QUEUE_EMPTY_MS = 200

/** Messages that are lost: of these kinds, from one of these nodes, to one of those. Undefined: any. */
export interface Loss {
  readonly types: readonly string[] | undefined
  readonly from: readonly string[] | undefined
  readonly to: readonly string[] | undefined
}

interface Node {
  readonly id: string
  core: SwimCore
  state: 'running' | 'hung' | 'dead'
  readonly inbox: ((core: SwimCore) => SwimAction[])[]
}

interface Job {
  readonly at: number
  readonly order: number
  readonly run: () => void
}

/**
 * A few real cores wired by a script: one clock, the same delay everywhere, and every word they say can be printed. Names that
 * have no core are phantoms: they can be connected and spoken for, and say nothing themselves.
 */
export class ScriptWorld {
  now = 0
  readonly nodes = new Map<string, Node>()
  /** Phantoms that answer nothing. */
  readonly deaf = new Set<string>()
  /** Whose view of who comes and goes is told damped, as in the log. */
  readonly dampers = new Map<string, FlapDamper>()
  /** Kinds of messages that are printed. */
  shown: readonly string[] = []
  readonly #connected = new Map<string, Set<string>>()
  readonly #losses: Loss[] = []
  readonly #cuts = new Set<string>()
  readonly #sent: { from: string; to: string; message: SwimMessage }[] = []
  readonly #timings: Partial<SwimTimings> = {}
  readonly #print: (line: string) => void
  #jobs: Job[] = []
  #order = 0

  constructor(print: (line: string) => void) {
    this.#print = print
  }

  /** A setting of all cores that are made later. */
  set(timings: Partial<SwimTimings>): void {
    Object.assign(this.#timings, timings)
  }

  start(id: string, more: Partial<MemberRecord> = {}): void {
    this.nodes.set(id, { id, core: this.#newCore(id, more, this.now), state: 'running', inbox: [] })
  }

  /** Cores that know and reach each other and have nothing to tell; `others` without a core are phantoms. */
  form(ids: readonly string[], others: readonly string[], more: Partial<MemberRecord> = {}): void {
    for (const id of ids) {
      const known = [...ids, ...others].filter((other) => other !== id)
      const core = this.#newCore(id, more, this.now - QUEUE_EMPTY_MS)
      for (const other of known) core.join({ ...record(other), incarnation: 1 }, this.now)
      // Without a connection there is nobody to tell the news: the queue is emptied.
      core.tick(this.now)
      for (const other of known) {
        this.#linksOf(id).add(other)
        core.peerConnected(other, this.now)
      }
      this.nodes.set(id, { id, core, state: 'running', inbox: [] })
    }
  }

  #newCore(id: string, more: Partial<MemberRecord>, at: number): SwimCore {
    const self = { ...record(id), ...more }
    const seed = [...id].reduce((sum, char) => sum * 31 + char.charCodeAt(0), 7)
    return new SwimCore({ self, random: seededRandom(seed), timings: this.#timings }, at)
  }

  run(ms: number): void {
    const end = this.now + ms
    for (;;) {
      for (const [id, damper] of this.dampers) for (const event of damper.due(this.now)) this.#tell(id, event)
      const tick = this.#nextTick()
      const job = this.#jobs[0]
      const at = Math.min(tick?.at ?? Number.POSITIVE_INFINITY, job?.at ?? Number.POSITIVE_INFINITY)
      if (at > end) break
      this.now = Math.max(this.now, at)
      if (tick && tick.at <= (job?.at ?? Number.POSITIVE_INFINITY)) {
        this.#input(tick.node, (core) => core.tick(this.now))
      } else this.#jobs.shift()?.run()
    }
    this.now = end
  }

  act(id: string, use: (core: SwimCore, now: number) => SwimAction[]): void {
    this.#input(this.#node(id), (core) => use(core, this.now))
  }

  core(id: string): SwimCore {
    return this.#node(id).core
  }

  /** Everything sent by `from` since the last call, by kind. */
  takeSent(from: string): SwimMessage[] {
    const own = this.#sent.filter((s) => s.from === from).map(({ message }) => message)
    this.#sent.splice(0)
    return own
  }

  // ---- what goes wrong -----------------------------------------------------------------------------------------

  lose(loss: Loss): void {
    this.#losses.push(loss)
  }

  /** Nothing passes between the two groups, in both directions; connections stand. */
  cut(a: readonly string[], b: readonly string[]): void {
    for (const x of a) for (const y of b) this.#cuts.add(`${x} ${y}`).add(`${y} ${x}`)
  }

  heal(): void {
    this.#losses.length = 0
    this.#cuts.clear()
  }

  kill(id: string): void {
    const node = this.#node(id)
    node.state = 'dead'
    node.inbox.length = 0
    for (const other of [...this.#linksOf(id)]) this.disconnect(id, other)
  }

  /** Power loss: nothing is closed. */
  vanish(id: string): void {
    this.#node(id).state = 'dead'
  }

  hang(id: string): void {
    this.#node(id).state = 'hung'
  }

  resume(id: string): void {
    const node = this.#node(id)
    node.state = 'running'
    if (node.core.deadline <= this.now) this.#input(node, (core) => core.tick(this.now))
    for (const use of node.inbox.splice(0)) this.#input(node, use)
  }

  connect(a: string, b: string): void {
    for (const [x, y] of [
      [a, b],
      [b, a],
    ] as const) {
      if (this.#linksOf(x).has(y)) continue
      this.#linksOf(x).add(y)
      const node = this.nodes.get(x)
      if (node) this.#input(node, (core) => core.peerConnected(y, this.now))
    }
  }

  disconnect(a: string, b: string): void {
    for (const [x, y] of [
      [a, b],
      [b, a],
    ] as const) {
      if (x === b && this.#cuts.has(`${a} ${b}`)) continue
      const node = this.nodes.get(x)
      if (!this.#linksOf(x).delete(y) || !node) continue
      this.#later(LATENCY_MS, () =>
        this.#input(node, (core) => (this.#linksOf(x).has(y) ? [] : core.peerDisconnected(y, this.now))),
      )
    }
  }

  /** An exchange of everything known, as the driver carries it. */
  exchange(from: string, to: string): void {
    const [a, b] = [this.nodes.get(from), this.nodes.get(to)]
    if (!a || !b) return
    const offer = a.core.offer(this.now)
    this.#carry(from, to, 'sync', (core) => {
      const answer = core.answerOffer(offer, this.now)
      this.#carry(to, from, 'sync', (asker) => {
        const { rest, actions } = asker.takeAnswer(to, offer, answer, this.now)
        if (rest.length > 0) this.#carry(from, to, 'sync', (other) => other.merge(from, rest, this.now))
        return actions
      })
      return []
    })
  }

  // ---- the driver ----------------------------------------------------------------------------------------------

  #nextTick(): { node: Node; at: number } | undefined {
    let next: { node: Node; at: number } | undefined
    for (const node of this.nodes.values()) {
      if (node.state !== 'running') continue
      const at = Math.max(this.now, node.core.deadline)
      if (at !== Number.POSITIVE_INFINITY && (!next || at < next.at)) next = { node, at }
    }
    return next
  }

  #input(node: Node, use: (core: SwimCore) => SwimAction[]): void {
    if (node.state === 'dead') return
    if (node.state === 'hung') node.inbox.push(use)
    else for (const action of use(node.core)) this.#perform(node.id, action)
  }

  #perform(id: string, action: SwimAction): void {
    if (action.type === 'send') this.#send(id, action.to, action.message)
    else if (action.type === 'dial') this.#dial(id, action.id)
    else if (action.type === 'close') this.disconnect(id, action.id)
    else if (action.type === 'sync') this.exchange(id, action.peer)
    else {
      const line = describeChange(action)
      const damper = this.dampers.get(id)
      if (line !== '' && !damper) this.#say(`${id}: ${line}`)
      if (damper && action.type === 'change')
        this.#tell(id, damper.changed(action.member, action.previous, this.now))
    }
  }

  #tell(id: string, event: MemberEvent | null): void {
    if (!event) return
    const many = event.coalesced > 0 ? ` after ${event.coalesced} changes` : ''
    this.#say(`${id} tells: ${event.member.id} ${event.type}${many}`)
  }

  #send(from: string, to: string, message: SwimMessage): void {
    this.#sent.push({ from, to, message })
    if (!this.#linksOf(from).has(to)) return
    const lost = this.#isLost(from, to, message.type)
    if (this.shown.includes(message.type))
      this.#say(`${from}→${to} ${describeMessage(message)}${lost ? ' (lost)' : ''}`)
    if (lost) return
    if (this.nodes.has(to))
      this.#carry(from, to, message.type, (core) => core.message(from, message, this.now))
    else if (!this.deaf.has(to)) this.#phantomAnswers(from, to, message)
  }

  /** Phantoms answer, and say nothing else. */
  #phantomAnswers(from: string, to: string, message: SwimMessage): void {
    if (message.type !== 'ping' && message.type !== 'ping-req') return
    const type = message.type === 'ping-req' && this.deaf.has(message.target) ? 'nack' : 'ack'
    const reply: SwimMessage = { type, seq: message.seq, updates: [] }
    this.#carry(to, from, type, (core) => core.message(to, reply, this.now))
  }

  #carry(from: string, to: string, type: string, use: (core: SwimCore) => SwimAction[]): void {
    if (this.#isLost(from, to, type)) return
    const node = this.nodes.get(to)
    this.#later(LATENCY_MS, () => {
      if (node && this.nodes.get(to) === node) this.#input(node, use)
    })
  }

  #dial(from: string, to: string): void {
    if (this.shown.includes('dial')) this.#say(`${from} dials ${to}`)
    const cut = this.#cuts.has(`${from} ${to}`)
    const asked = this.nodes.get(from)
    this.#later(cut ? DIAL_TIMEOUT_MS : LATENCY_MS, () => {
      const target = this.nodes.get(to)
      let outcome: DialOutcome = target?.state === 'running' ? 'connected' : 'refused'
      if (cut || target?.state === 'hung') outcome = 'failed'
      if (!asked || this.nodes.get(from) !== asked) return
      if (outcome === 'connected') this.connect(from, to)
      this.#input(asked, (core) => core.dialed(to, outcome, this.now))
    })
  }

  #isLost(from: string, to: string, type: string): boolean {
    if (this.#cuts.has(`${from} ${to}`)) return true
    const within = (list: readonly string[] | undefined, value: string) => list?.includes(value) ?? true
    return this.#losses.some((l) => within(l.from, from) && within(l.to, to) && within(l.types, type))
  }

  #say(line: string): void {
    this.#print(`${(this.now / 1000).toFixed(3)} ${line}`)
  }

  #later(ms: number, run: () => void): void {
    const job = { at: this.now + ms, order: this.#order++, run }
    const at = this.#jobs.findIndex((other) => other.at > job.at)
    this.#jobs.splice(at < 0 ? this.#jobs.length : at, 0, job)
  }

  #linksOf(id: string): Set<string> {
    const links = this.#connected.get(id) ?? new Set<string>()
    this.#connected.set(id, links)
    return links
  }

  #node(id: string): Node {
    const node = this.nodes.get(id)
    if (!node) throw new RangeError(`there is no node ${id}`)
    return node
  }
}

function record(id: string) {
  return { id, name: id, address: `${id}:1`, incarnation: 1, meta: {} }
}

/** A member of a full state, `ageMs` in its status. */
export function entry(member: MemberRecord, ageMs: number): SyncEntry {
  return { member, ageMs }
}
