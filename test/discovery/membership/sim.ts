import { seededRandom } from '../../../discovery/membership/core/random.ts'
import { SwimCore } from '../../../discovery/membership/core/swim-core.ts'
import type {
  MemberRecord,
  MemberState,
  SwimAction,
  SwimMessage,
  SwimTimings,
} from '../../../discovery/membership/core/types.ts'

interface Job {
  readonly at: number
  readonly order: number
  readonly run: () => void
}

interface SimNode {
  readonly id: string
  readonly name: string
  core: SwimCore
  up: boolean
  pausedUntil: number
  ticking: number
  /** Who is connected, and when a message went there last. */
  readonly links: Map<string, number>
  /** Whom the core wants connected; null: everybody. */
  kept: ReadonlySet<string> | null
  /** Verdicts reached here: `id → [time, status]` in order. */
  readonly history: { readonly at: number; readonly id: string; readonly status: MemberState }[]
  readonly conflicts: string[]
}

export interface SimOptions {
  readonly seed?: number
  /** Chance that one message is lost. */
  readonly loss?: number
  readonly timings?: Partial<SwimTimings>
}

/** Whole clusters of SwimCore in virtual time: every delay and loss comes from one seed. */
export class SimCluster {
  now = 0
  readonly nodes = new Map<string, SimNode>()
  readonly #options: SimOptions
  readonly #random: () => number
  #jobs: Job[] = []
  #order = 0
  #cuts = new Set<string>()

  constructor(options: SimOptions = {}) {
    this.#options = options
    this.#random = seededRandom(options.seed ?? 1)
  }

  node(id: string): SimNode {
    const node = this.nodes.get(id)
    if (!node) throw new Error(`no node ${id}`)
    return node
  }

  /** Starts (or restarts) a node and connects it to `seed`. */
  start(id: string, options: { name?: string; seed?: string; incarnation?: number } = {}): void {
    const name = options.name ?? id
    const core = new SwimCore(
      {
        self: { id, name, address: `${id}:1`, incarnation: options.incarnation ?? 1, meta: {} },
        random: seededRandom(this.#random() * 2 ** 32),
        ...(this.#options.timings ? { timings: this.#options.timings } : {}),
      },
      this.now,
    )
    const old = this.nodes.get(id)
    const node: SimNode = {
      id,
      name,
      core,
      up: true,
      pausedUntil: 0,
      ticking: (old?.ticking ?? 0) + 1,
      links: new Map(),
      kept: null,
      history: [],
      conflicts: [],
    }
    this.nodes.set(id, node)
    this.#arm(node)
    if (options.seed !== undefined) this.#connect(id, options.seed)
  }

  /** A full cluster n0 … n(count-1), run until everybody knows everybody. */
  static converged(count: number, options: SimOptions = {}): SimCluster {
    const sim = new SimCluster(options)
    for (let i = 0; i < count; i++) sim.start(`n${i}`, i === 0 ? {} : { seed: 'n0' })
    const full = () => [...sim.nodes.values()].every((node) => node.links.size === count - 1)
    const known = () => [...sim.nodes.keys()].every((id) => sim.everybodySees(id, 'alive'))
    if (!sim.runUntil(() => full() && known(), 60_000)) throw new Error('the cluster did not form')
    return sim
  }

  /** kill -9: the kernel closes every connection at once, and refuses new ones. */
  kill(id: string): void {
    const node = this.node(id)
    node.up = false
    for (const other of [...node.links.keys()]) this.#disconnect(id, other)
  }

  /** Power loss: nothing is closed, nothing answers. */
  vanish(id: string): void {
    this.node(id).up = false
  }

  /** SIGSTOP for `ms`: input waits in the kernel. */
  pause(id: string, ms: number): void {
    this.node(id).pausedUntil = this.now + ms
  }

  /** Drops every message between the two groups; `closing` also resets the connections. */
  partition(a: readonly string[], b: readonly string[], closing = false): void {
    for (const x of a) {
      for (const y of b) {
        this.#cuts.add(`${x} ${y}`).add(`${y} ${x}`)
        if (closing) this.#disconnect(x, y, true)
      }
    }
  }

  heal(): void {
    this.#cuts.clear()
  }

  run(ms: number): void {
    this.runUntil(() => false, ms)
  }

  /** Runs until `done` or until `ms` have passed. True if done. */
  runUntil(done: () => boolean, ms: number): boolean {
    const end = this.now + ms
    while (!done()) {
      const job = this.#jobs[0]
      if (!job || job.at > end) {
        this.now = end
        return done()
      }
      this.#pop()
      this.now = Math.max(this.now, job.at)
      job.run()
    }
    return true
  }

  status(viewer: string, id: string): MemberState | undefined {
    return this.node(viewer).core.get(id)?.status
  }

  /** True if every running node but `id` itself sees `id` so. */
  everybodySees(id: string, status: MemberState): boolean {
    return [...this.nodes.values()].every((n) => !n.up || n.id === id || n.core.get(id)?.status === status)
  }

  /** Every time somebody gave up somebody. */
  deaths(): string[] {
    return [...this.nodes.values()].flatMap((n) =>
      n.history.filter((h) => h.status === 'failed').map((h) => `${n.id} gave up ${h.id} at ${h.at}`),
    )
  }

  act(id: string, use: (core: SwimCore, now: number) => SwimAction[]): void {
    this.#input(this.node(id), (core) => use(core, this.now))
  }

  #input(node: SimNode, use: (core: SwimCore) => SwimAction[]): void {
    if (!node.up) return
    if (node.pausedUntil > this.now) {
      this.#at(node.pausedUntil + 1, () => this.#input(node, use))
      return
    }
    for (const action of use(node.core)) this.#perform(node, action)
    this.#arm(node)
  }

  #arm(node: SimNode): void {
    const generation = ++node.ticking
    this.#at(Math.max(this.now, node.core.deadline), () => {
      const tick = () => {
        if (node.ticking !== generation || !node.up || this.nodes.get(node.id) !== node) return
        // The timers of a process that was stopped run first when it goes on, as in Node's event loop.
        if (node.pausedUntil > this.now) this.#at(node.pausedUntil, tick)
        else this.#input(node, (core) => core.tick(this.now))
      }
      tick()
    })
  }

  #perform(node: SimNode, action: SwimAction): void {
    if (action.type === 'send') {
      const { to, message } = action
      if (!node.links.has(to)) {
        this.#connectFor(node, to, message)
        return
      }
      node.links.set(to, this.now)
      if (this.#random() < (this.#options.loss ?? 0)) return
      this.#deliver(node.id, to, (peer) => peer.core.message(node.id, message, this.now))
    } else if (action.type === 'dial') {
      this.#dial(node, action.id)
    } else if (action.type === 'close') {
      this.#disconnect(node.id, action.id)
    } else if (action.type === 'keep') {
      node.kept = action.ids && new Set(action.ids)
    } else if (action.type === 'sync') {
      this.#sync(node, action.peer)
    } else if (action.type === 'change') {
      node.history.push({ at: this.now, id: action.member.id, status: action.member.status })
    } else if (action.type === 'conflict') {
      node.conflicts.push(`${action.name}: ${action.holder.id} / ${action.newcomer.id}`)
    }
  }

  /** In a partial mesh a message connects; over eight times the way, as the key agreement takes some turns. */
  #connectFor(node: SimNode, to: string, message: SwimMessage): void {
    if (node.kept === null || this.#cuts.has(`${node.id} ${to}`)) return
    this.#at(this.now + 8 * this.#latency(), () => {
      if (!node.up || !this.nodes.get(to)?.up || this.#cuts.has(`${node.id} ${to}`)) return
      this.#connect(node.id, to)
      this.#deliver(node.id, to, (peer) => peer.core.message(node.id, message, this.now))
    })
  }

  /** Ends what neither end wants to keep and nobody has used, as the mesh does: by agreement. */
  part(idleMs: number): void {
    for (const node of this.nodes.values()) {
      for (const [to, usedAt] of [...node.links]) {
        const peer = this.node(to)
        const wanted = [
          [node, to],
          [peer, node.id],
        ] as const
        if (!peer.up || wanted.some(([one, other]) => one.kept === null || one.kept.has(other))) continue
        if (Math.max(usedAt, peer.links.get(node.id) ?? 0) > this.now - idleMs) continue
        for (const [one, other] of wanted) {
          one.links.delete(other)
          this.#input(one, (core) => core.peerParted(other, this.now))
        }
      }
    }
  }

  #dial(node: SimNode, to: string): void {
    const cut = this.#cuts.has(`${node.id} ${to}`)
    this.#at(this.now + (cut ? 3000 : this.#latency()), () => {
      const peer = this.nodes.get(to)
      const outcome = cut ? 'failed' : peer?.up ? 'connected' : 'refused'
      if (outcome === 'connected') this.#connect(node.id, to)
      this.#input(node, (core) => core.dialed(to, outcome, this.now))
    })
  }

  #sync(node: SimNode, to: string): void {
    const offer = node.core.offer(this.now)
    this.#deliver(node.id, to, (peer) => {
      const answer = peer.core.answerOffer(offer, this.now)
      this.#deliver(to, node.id, (self) => {
        const { rest, actions } = self.core.takeAnswer(to, offer, answer, this.now)
        if (rest.length > 0) this.#deliver(node.id, to, (other) => other.core.merge(node.id, rest, this.now))
        return actions
      })
      return []
    })
  }

  #deliver(from: string, to: string, use: (peer: SimNode) => SwimAction[]): void {
    const sentTo = this.nodes.get(to)
    this.#at(this.now + this.#latency(), () => {
      const peer = this.nodes.get(to)
      if (!peer || peer !== sentTo || this.#cuts.has(`${from} ${to}`)) return
      this.#input(peer, () => use(peer))
    })
  }

  #connect(a: string, b: string): void {
    for (const [x, y] of [
      [a, b],
      [b, a],
    ] as const) {
      const node = this.node(x)
      if (node.links.has(y)) continue
      node.links.set(y, this.now)
      this.#input(node, (core) => core.peerConnected(y, this.now))
    }
  }

  #disconnect(a: string, b: string, resetBoth = false): void {
    for (const [x, y] of [
      [a, b],
      [b, a],
    ] as const) {
      const node = this.node(x)
      // A reset does not cross a cut: the far end goes on believing in its connection.
      if (x === b && this.#cuts.has(`${a} ${b}`) && !resetBoth) continue
      if (!node.links.delete(y) || !node.up) continue
      this.#at(this.now + this.#latency(), () =>
        this.#input(node, (core) => (node.links.has(y) ? [] : core.peerDisconnected(y, this.now))),
      )
    }
  }

  #latency(): number {
    return 1 + this.#random() * 4
  }

  #at(at: number, run: () => void): void {
    const job: Job = { at, order: this.#order++, run }
    this.#jobs.push(job)
    let i = this.#jobs.length - 1
    while (i > 0) {
      const up = (i - 1) >> 1
      if (!before(this.#jobs[i], this.#jobs[up])) break
      this.#swap(i, up)
      i = up
    }
  }

  #pop(): void {
    const last = this.#jobs.pop()
    if (!last || this.#jobs.length === 0) return
    this.#jobs[0] = last
    let i = 0
    for (;;) {
      let least = i
      for (const child of [2 * i + 1, 2 * i + 2]) {
        if (child < this.#jobs.length && before(this.#jobs[child], this.#jobs[least])) least = child
      }
      if (least === i) return
      this.#swap(i, least)
      i = least
    }
  }

  #swap(i: number, j: number): void {
    const a = this.#jobs[i] as Job
    this.#jobs[i] = this.#jobs[j] as Job
    this.#jobs[j] = a
  }
}

function before(a: Job | undefined, b: Job | undefined): boolean {
  if (!a || !b) return false
  return a.at < b.at || (a.at === b.at && a.order < b.order)
}

/** A member record with defaults. */
export function member(id: string, more: Partial<MemberRecord> = {}): MemberRecord {
  return { id, name: id, address: `${id}:1`, status: 'alive', incarnation: 1, meta: {}, ...more }
}
