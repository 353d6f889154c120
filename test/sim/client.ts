import type { Command, SessionSpec } from '../../consensus/state/types.ts'
import type { Operation, Outcome } from './operation.ts'
import type { Oracle } from './oracle.ts'
import type { SimNode } from './sim-node.ts'
import type { World } from './world.ts'

const TRIES_MAX = 8

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

/**
 * A client that does one thing after another through whichever node it picks, and repeats a write whose outcome it does
 * not know with the same sequence, until it gives up. What it gave up may still happen.
 */
export class SimClient {
  readonly #world: World
  readonly #nodes: ReadonlyMap<string, SimNode>
  readonly #oracle: Oracle
  readonly #name: string
  #origin: string
  #sequence = 0
  #starts = 0
  #session = ''
  #sessions = 0
  #stopped = false
  /** The node it talks to as long as that answers; null: whichever comes. */
  #home: SimNode | null
  /** How much of what it does is reading. */
  #readShare: number
  /** How many operations were answered since the cluster was healed. */
  answeredHealed = 0

  constructor(name: string, world: World, nodes: ReadonlyMap<string, SimNode>, oracle: Oracle) {
    this.#name = name
    this.#world = world
    this.#nodes = nodes
    this.#oracle = oracle
    this.#origin = `${name}.0`
    this.#readShare = world.random.pick([0.1, 0.3, 0.3, 0.95])
    this.#home = world.random.chance(0.6) ? world.random.pick([...nodes.values()]) : null
  }

  start(): void {
    this.#think()
  }

  /**
   * From now on it reads on this node: it is on the same side of a broken link. (Who writes to a leader that is cut off waits,
   * and sees nothing stale.)
   */
  readOn(node: SimNode): void {
    this.#home = node
    this.#readShare = 0.95
  }

  stop(): void {
    this.#stopped = true
  }

  #think(): void {
    if (this.#stopped) return
    const { random, options, faulty } = this.#world
    this.#world.after(random.exponential(faulty ? options.thinkMs : 100), () => this.#begin())
  }

  #begin(): void {
    const { random } = this.#world
    // A restarted proposer counts anew under a new name.
    if (random.chance(0.01)) {
      this.#origin = `${this.#name}.${++this.#starts}`
      this.#sequence = 0
    }
    const sequence = ++this.#sequence
    const about = { origin: this.#origin, sequence, seenIndex: this.#oracle.seenIndex }
    const operation: Operation = random.chance(this.#readShare)
      ? { kind: 'read', key: this.#key(), mayUseLease: random.chance(0.7), ...about }
      : { kind: 'write', command: this.#command(), ...about }
    this.#try(operation, 1)
  }

  #key(): string {
    return `k${this.#world.random.below(this.#world.options.keys)}`
  }

  #command(): Command {
    const { random } = this.#world
    const key = this.#key()
    const value = bytes(`${this.#origin}#${this.#sequence}${'.'.repeat(random.below(40))}`)
    const kind = random.below(10)
    if (this.#session === '' && kind >= 6) {
      this.#session = `${this.#name}/${++this.#sessions}`
      return { type: 'session.create', session: this.#spec(this.#session) }
    }
    const session = this.#session
    if (kind >= 9 && random.chance(0.4)) {
      this.#session = ''
      return { type: 'session.destroy', id: session }
    }
    if (kind >= 8) return { type: 'kv.release', key, value, flags: 0n, session }
    if (kind >= 6) return { type: 'kv.acquire', key, value, flags: 0n, session }
    const set = { type: 'kv.set', key, value, flags: 0n } as const
    if (kind >= 4) return { ...set, cas: random.chance(0.2) ? 0 : this.#oracle.versionOf(key) }
    return set
  }

  #spec(id: string): SessionSpec {
    const { random } = this.#world
    return {
      id,
      name: this.#name,
      node: 'n1',
      behavior: random.chance(0.3) ? 'delete' : 'release',
      lockDelayMs: random.pick([0, 0, 500]),
      ttl: '',
      expiresAfterMs: 0,
      nodeChecks: [],
      serviceChecks: null,
    }
  }

  #try(operation: Operation, tries: number): void {
    const { random, faulty } = this.#world
    let settled = false
    const settle = (outcome: Outcome) => {
      if (settled) return
      settled = true
      if (outcome.kind === 'written' || outcome.kind === 'read') {
        this.#oracle.answered(operation, outcome)
        const { origin, sequence } = operation
        this.#world.log(this.#name, outcome.kind, origin, sequence, this.#oracle.seenIndex)
        if (!faulty) this.answeredHealed++
        this.#think()
      } else if (tries < TRIES_MAX) {
        this.#world.after(random.between(5, 100), () => this.#try(operation, tries + 1))
      } else {
        this.#world.count('outcome unknown')
        this.#think()
      }
    }
    const up = [...this.#nodes.values()].filter((node) => node.up)
    // Between a client and its node a request or an answer may be lost too; then only the time runs out.
    this.#world.after(random.between(300, 1500), () => settle({ kind: 'unknown' }))
    if (up.length === 0) return
    const isHome = this.#home?.up === true && tries <= 3
    const node = isHome && this.#home !== null ? this.#home : random.pick(up)
    if (tries > 1 && operation.kind === 'write') this.#world.count('write repeated')
    const losesAnswer = faulty && random.chance(0.02)
    this.#world.after(random.between(0.1, 2), () =>
      node.request(operation, (outcome) => {
        if (!losesAnswer) settle(outcome)
      }),
    )
  }
}
