import type { Message } from '../../../consensus/raft/types.ts'

/** Which messages a command means. A list that is not given means all. */
export interface MessageFilter {
  readonly types: readonly string[] | undefined
  readonly from: readonly string[] | undefined
  readonly to: readonly string[] | undefined
}

function selects(filter: MessageFilter, message: Message): boolean {
  const { types, from, to } = filter
  const typed = types === undefined || types.includes(message.type)
  return (
    typed &&
    (from === undefined || from.includes(message.from)) &&
    (to === undefined || to.includes(message.to))
  )
}

/** Messages under way, oldest first. Nothing moves but by a command. */
export class Network {
  inFlight: Message[] = []
  #heldBack: Message[] = []
  /** Group of each node; nodes of different groups do not hear each other. Nodes without one are together. */
  #groups = new Map<string, number>()
  /** One-way cuts, `from→to`. */
  readonly #cuts = new Set<string>()

  /** False if the link is cut: the message is lost. */
  send(message: Message): boolean {
    const connected = this.isConnected(message.from, message.to)
    if (connected) this.inFlight.push(message)
    return connected
  }

  isConnected(from: string, to: string): boolean {
    const together = (this.#groups.get(from) ?? 0) === (this.#groups.get(to) ?? 0)
    return together && !this.#cuts.has(`${from}→${to}`)
  }

  /** Splits the nodes; what is under way between the groups is lost. */
  partition(groups: readonly (readonly string[])[]): Message[] {
    this.#groups = new Map(groups.flatMap((ids, i) => ids.map((id): [string, number] => [id, i + 1])))
    return this.#loseUnreachable()
  }

  cut(from: string, to: string): Message[] {
    this.#cuts.add(`${from}→${to}`)
    return this.#loseUnreachable()
  }

  heal(): void {
    this.#groups.clear()
    this.#cuts.clear()
  }

  #loseUnreachable(): Message[] {
    const lost = this.inFlight.filter(({ from, to }) => !this.isConnected(from, to))
    this.inFlight = this.inFlight.filter(({ from, to }) => this.isConnected(from, to))
    return lost
  }

  /** Takes what `filter` selects off the network, at most `count`. */
  take(filter: MessageFilter, count = Number.POSITIVE_INFINITY): Message[] {
    const taken = this.inFlight.filter((message) => selects(filter, message)).slice(0, count)
    const set = new Set(taken)
    this.inFlight = this.inFlight.filter((message) => !set.has(message))
    return taken
  }

  /** Sends what `filter` selects a second time. */
  duplicate(filter: MessageFilter): Message[] {
    const copies = this.inFlight
      .filter((message) => selects(filter, message))
      .map((message) => ({ ...message }))
    this.inFlight.push(...copies)
    return copies
  }

  /** Messages that the network keeps until `release`. */
  holdBack(filter: MessageFilter): Message[] {
    const taken = this.take(filter)
    this.#heldBack.push(...taken)
    return taken
  }

  release(): Message[] {
    const released = this.#heldBack.splice(0)
    this.inFlight.push(...released)
    return released
  }
}
