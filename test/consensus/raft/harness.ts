import { allNodes, initialConfiguration } from '../../../consensus/raft/configuration.ts'
import { RAFT_DEFAULTS, type RaftOptions, type RaftState } from '../../../consensus/raft/options.ts'
import { composeMessage } from '../../../consensus/raft/outgoing.ts'
import { Raft } from '../../../consensus/raft/raft.ts'
import {
  type Configuration,
  type Entry,
  type HardState,
  invariant,
  type Message,
  type Ready,
  type SnapshotMeta,
} from '../../../consensus/raft/types.ts'

/** A PRNG (mulberry32): the same seed gives the same run. */
export function prng(seed: number): () => number {
  let a = seed >>> 0
  return () => {
    a = (a + 0x6d2b79f5) >>> 0
    let x = Math.imul(a ^ (a >>> 15), a | 1)
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61)
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32
  }
}

export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

export function text(data: Uint8Array): string {
  return new TextDecoder().decode(data)
}

/** Entries with these terms, from index `first` on; the data names index and term. */
export function entriesOf(terms: readonly number[], first = 1): Entry[] {
  return terms.map((term, i) => ({
    index: first + i,
    term,
    type: 'normal',
    data: bytes(`${first + i}@${term}`),
  }))
}

/** Terms of the log behind its start. */
export function termsOf(raft: Raft): number[] {
  const terms: number[] = []
  for (let index = raft.log.firstIndex; index <= raft.log.lastIndex; index++)
    terms.push(raft.log.termAt(index) ?? -1)
  return terms
}

/** A message with everything that is not given empty. */
export function message(fields: Partial<Message> & Pick<Message, 'type' | 'from' | 'to' | 'term'>): Message {
  const { type, from, to, term } = fields
  return composeMessage(type, from, to, term, fields)
}

/** What a node has on its disk, and what a fresh one starts from. */
export interface Disk {
  hardState: HardState
  snapshot: SnapshotMeta
  entries: Entry[]
  logStart: { index: number; term: number }
}

export function disk(
  configuration: Configuration,
  fields: { term?: number; vote?: string; commit?: number; entries?: readonly Entry[] } = {},
): Disk {
  return {
    hardState: { term: fields.term ?? 0, vote: fields.vote ?? '', commit: fields.commit ?? 0 },
    snapshot: { index: 0, term: 0, configuration },
    entries: [...(fields.entries ?? [])],
    logStart: { index: 0, term: 0 },
  }
}

/** A bare core; `random` 0 makes every election timeout the shortest. */
export function raft(id: string, state: RaftState, options: Partial<RaftOptions> = {}): Raft {
  return new Raft({ ...RAFT_DEFAULTS, random: () => 0, ...options, id }, state)
}

/** A voter among `voters` with what `fields` say on its disk. */
export function node(
  id: string,
  voters: readonly string[],
  fields: Parameters<typeof disk>[1] = {},
  options: Partial<RaftOptions> = {},
): Raft {
  return raft(id, disk(initialConfiguration(voters), fields), options)
}

/** Drives one core as the contract of Ready says, with a disk that never waits; answers everything it sent and committed. */
export function drain(core: Raft): { messages: Message[]; committed: Entry[]; hardState: HardState | null } {
  const messages: Message[] = []
  const committed: Entry[] = []
  let hardState: HardState | null = null
  while (core.hasReady()) {
    const ready = core.ready()
    hardState = ready.hardState ?? hardState
    messages.push(...ready.messages)
    core.persisted(ready.token)
    for (const sent of ready.messagesAfterPersist) {
      if (sent.to === core.id) core.step(sent)
      else messages.push(sent)
    }
    for (const entry of ready.committed) if (entry.type === 'config') core.applyConfiguration(entry)
    const last = ready.committed.at(-1)
    if (last !== undefined) core.applied(last.index)
    committed.push(...ready.committed)
  }
  return { messages, committed, hardState }
}

/** Makes `core` leader with the votes of `voters`, which grant everything. Answers what it sent once it led. */
export function elect(core: Raft, voters: readonly string[]): Message[] {
  core.campaign()
  drain(core)
  for (const from of voters) {
    if (core.role !== 'pre-candidate') break
    core.step(message({ type: 'preVoteResponse', from, to: core.id, term: core.term + 1 }))
  }
  drain(core)
  for (const from of voters) {
    if (core.role !== 'candidate') break
    core.step(message({ type: 'voteResponse', from, to: core.id, term: core.term }))
  }
  const { messages } = drain(core)
  invariant(core.role === 'leader', `${core.id} was elected`)
  return messages
}

/** One node of a group. */
interface Member {
  raft: Raft
  disk: Disk
  running: boolean
  /** Writes are kept back until `flush`. */
  held: boolean
  writes: Ready[]
}

/**
 * Cores on a synchronous network. Nothing moves but by a call; messages wait in `inFlight` until they are delivered.
 * After every step the safety properties of figure 3 of the paper are checked.
 */
export class RaftGroup {
  readonly members = new Map<string, Member>()
  inFlight: Message[] = []
  /** What it answers true for is lost. */
  drops: (message: Message) => boolean = () => false
  /** What was sent, for tests that look at it. */
  sent: Message[] = []
  readonly #options: Partial<RaftOptions>
  readonly #leaders = new Map<number, string>()
  readonly #applied = new Map<number, string>()
  readonly #terms = new Map<string, number>()

  constructor(ids: readonly string[], options: Partial<RaftOptions> & { disks?: Record<string, Disk> } = {}) {
    const { disks = {}, ...rest } = options
    this.#options = rest
    for (const id of ids) this.add(id, disks[id] ?? disk(initialConfiguration(ids)))
  }

  add(id: string, state: Disk): void {
    this.members.set(id, {
      raft: raft(id, state, this.#options),
      disk: state,
      running: true,
      held: false,
      writes: [],
    })
  }

  member(id: string): Member {
    const member = this.members.get(id)
    invariant(member !== undefined, `${id} is a member of the group`)
    return member
  }

  raft(id: string): Raft {
    return this.member(id).raft
  }

  /** Commands applied on a node, in order; configuration changes and empty entries left out. */
  applied(id: string): string[] {
    const { raft } = this.member(id)
    const result: string[] = []
    for (let index = raft.log.firstIndex; index <= raft.log.appliedIndex; index++) {
      const entry = raft.log.entryAt(index)
      if (entry?.type === 'normal' && entry.data.length > 0) result.push(text(entry.data))
    }
    return result
  }

  tick(id: string, times = 1): void {
    for (let i = 0; i < times; i++) {
      this.raft(id).tick()
      this.process(id)
    }
  }

  tickAll(times = 1): void {
    for (let i = 0; i < times; i++) {
      for (const [id, { running }] of this.members) if (running) this.tick(id)
      this.settle()
    }
  }

  campaign(id: string): void {
    this.raft(id).campaign()
    this.process(id)
    this.settle()
  }

  propose(id: string, ...commands: string[]): void {
    const result = this.raft(id).propose(commands.map(bytes))
    invariant('index' in result, `${id} takes proposals`)
    this.process(id)
  }

  /** Does what the driver does, for one node. */
  process(id: string): void {
    const member = this.member(id)
    if (!member.running) return
    while (member.raft.hasReady()) {
      const ready = member.raft.ready()
      this.#send(ready.messages)
      member.writes.push(ready)
      this.#apply(member, ready)
      if (!member.held) this.#write(member, Number.POSITIVE_INFINITY)
    }
    this.#check(id, member)
  }

  /** Keeps the writes of a node back: its disk is slow. */
  hold(id: string): void {
    this.member(id).held = true
  }

  /** Completes `count` writes that were kept back, and with all of them done lets go. */
  flush(id: string, count = Number.POSITIVE_INFINITY): void {
    const member = this.member(id)
    this.#write(member, count)
    member.held = member.writes.length > 0
    this.process(id)
  }

  #write(member: Member, count: number): void {
    for (const ready of member.writes.splice(0, count)) {
      const { disk } = member
      if (ready.hardState !== null) disk.hardState = ready.hardState
      if (ready.snapshot !== null) {
        disk.snapshot = ready.snapshot
        disk.logStart = { index: ready.snapshot.index, term: ready.snapshot.term }
        disk.entries = []
      }
      const [first] = ready.entries
      if (first !== undefined) {
        disk.entries.length = first.index - disk.logStart.index - 1
        disk.entries.push(...ready.entries)
      }
      member.raft.persisted(ready.token)
      for (const sent of ready.messagesAfterPersist) {
        if (sent.to === member.raft.id) member.raft.step(sent)
        else this.#send([sent])
      }
    }
  }

  #apply(member: Member, ready: Ready): void {
    for (const entry of ready.committed) {
      const seen = this.#applied.get(entry.index)
      const now = `${entry.term}:${text(entry.data)}`
      invariant(seen === undefined || seen === now, `entry ${entry.index} is the same everywhere`)
      this.#applied.set(entry.index, now)
      if (entry.type === 'config') member.raft.applyConfiguration(entry)
    }
    const last = ready.committed.at(-1)
    if (last !== undefined) member.raft.applied(last.index)
  }

  #check(id: string, { raft }: Member): void {
    if (raft.role === 'leader') {
      const other = this.#leaders.get(raft.term)
      invariant(other === undefined || other === id, `one leader in term ${raft.term}`)
      if (other === undefined) this.#checkCompleteness(raft)
      this.#leaders.set(raft.term, id)
    }
    invariant(raft.term >= (this.#terms.get(id) ?? 0), `the term of ${id} never decreases`)
    this.#terms.set(id, raft.term)
  }

  /** A new leader has every committed entry (paper §5.4). */
  #checkCompleteness(leader: Raft): void {
    for (const [index, value] of this.#applied) {
      if (index <= leader.log.snapshotIndex) continue
      const entry = leader.log.entryAt(index)
      invariant(
        entry !== undefined && `${entry.term}:${text(entry.data)}` === value,
        `leader ${leader.id} of term ${leader.term} has the committed entry ${index}`,
      )
    }
  }

  #send(messages: readonly Message[]): void {
    for (const message of messages) {
      this.sent.push(message)
      if (!this.drops(message)) this.inFlight.push(message)
      else if (message.type === 'snapshot') this.#reportSnapshot(message, false)
    }
  }

  #reportSnapshot(message: Message, ok: boolean): void {
    const sender = this.members.get(message.from)
    if (sender?.running) sender.raft.reportSnapshot(message.to, ok)
  }

  /** Delivers what is in flight and matches, once; what that causes stays in flight. */
  deliver(matches: (message: Message) => boolean = () => true): void {
    const batch = this.inFlight.filter(matches)
    this.inFlight = this.inFlight.filter((message) => !matches(message))
    for (const message of batch) {
      const target = this.members.get(message.to)
      if (target === undefined || !target.running) continue
      target.raft.step(message)
      this.process(message.to)
      if (message.type === 'snapshot') {
        this.#reportSnapshot(message, true)
        this.process(message.from)
      }
    }
  }

  /** Delivers until nothing is in flight. */
  settle(): void {
    for (const id of this.members.keys()) this.process(id)
    for (let round = 0; this.inFlight.length > 0; round++) {
      invariant(round < 1000, 'the group comes to rest')
      this.deliver()
    }
  }

  /** Loses what is in flight. */
  lose(matches: (message: Message) => boolean = () => true): void {
    this.inFlight = this.inFlight.filter((message) => !matches(message))
  }

  /** Ends a node; what was not written is lost. Messages already sent stay in flight. */
  crash(id: string): void {
    const member = this.member(id)
    member.running = false
    member.held = false
    member.writes = []
  }

  restart(id: string): void {
    const member = this.member(id)
    member.raft = raft(id, { ...member.disk, entries: [...member.disk.entries] }, this.#options)
    member.running = true
    this.#terms.set(id, member.raft.term)
    this.process(id)
  }

  /** Takes a snapshot of everything applied and forgets all but `keep` entries. */
  compact(id: string, keep = 0): void {
    const { raft, disk } = this.member(id)
    const index = raft.log.appliedIndex
    const term = raft.log.termAt(index)
    invariant(term !== undefined, 'what is applied is in the log')
    const to = Math.max(disk.logStart.index, index - keep)
    const meta = { index, term, configuration: raft.configuration }
    const startTerm = raft.log.termAt(to) ?? disk.logStart.term
    disk.entries = disk.entries.filter((entry) => entry.index > to)
    disk.logStart = { index: to, term: startTerm }
    disk.snapshot = meta
    raft.snapshotSaved(meta, to)
  }

  /** Cuts the nodes off from all others, both ways. */
  isolate(...ids: string[]): void {
    const cut = new Set(ids)
    this.drops = ({ from, to }) => cut.has(from) !== cut.has(to)
  }

  heal(): void {
    this.drops = () => false
  }

  leader(): string {
    const leaders = [...this.members].filter(([, { raft, running }]) => running && raft.role === 'leader')
    const [newest] = leaders.sort(([, a], [, b]) => b.raft.term - a.raft.term)
    invariant(newest !== undefined, 'there is a leader')
    return newest[0]
  }

  /** Every node of the configuration of `id`. */
  configurationOf(id: string): string[] {
    return allNodes(this.raft(id).configuration)
  }
}
