import { isVoter } from '../../consensus/raft/configuration.ts'
import type { Raft } from '../../consensus/raft/raft.ts'
import type { Configuration, Entry, Message, Ready } from '../../consensus/raft/types.ts'
import type { SimDisk } from './disk.ts'
import { check, type World } from './world.ts'

/** What is looked at of a node after every step. */
export interface Observed {
  readonly id: string
  readonly raft: Raft | null
  readonly disk: SimDisk
}

interface Seen {
  term: number
  vote: string
  role: string
  commit: number
  applied: number
  epoch: number
  configuration: Configuration | null
}

interface Created {
  readonly previousTerm: number
  readonly entry: Entry
}

interface Committed {
  readonly term: number
  /** Term in which the entry was first known to be committed. */
  readonly inTerm: number
}

function sameData(a: Uint8Array, b: Uint8Array): boolean {
  return a === b || (a.length === b.length && a.every((byte, i) => byte === b[i]))
}

/** Counted here and not with the function under test. */
function isQuorum({ voters, votersOutgoing }: Configuration, has: (id: string) => boolean): boolean {
  return [voters, votersOutgoing].every(
    (half) => half.length === 0 || half.filter(has).length * 2 > half.length,
  )
}

function sameConfiguration(a: Configuration, b: Configuration): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}

/**
 * The properties of Raft (paper, figure 3) and what LogCabin checks between two calls, over the whole cluster, after
 * every step. Incremental: a step costs what it changed.
 */
export class Invariants {
  readonly #world: World
  readonly #nodes: ReadonlyMap<string, Observed>
  readonly #seen = new Map<string, Seen>()
  readonly #leaders = new Map<number, string>()
  /** Whom a node promised its vote in a term: `node@term`. */
  readonly #votes = new Map<string, string>()
  /** Every entry that was ever created, by index and term. */
  readonly #created: Map<number, Created>[] = []
  readonly #committed: Committed[] = []
  readonly #configurations: { readonly index: number; readonly configuration: Configuration }[] = []

  constructor(world: World, nodes: ReadonlyMap<string, Observed>) {
    this.#world = world
    this.#nodes = nodes
  }

  /** Largest index known to be committed anywhere. */
  get committedIndex(): number {
    return this.#committed.length - 1
  }

  /** The configuration every node must have that has applied everything up to `index`; undefined before the first. */
  configurationAt(index: number): Configuration | undefined {
    return this.#configurations.findLast((known) => known.index <= index)?.configuration
  }

  /** The cluster begins with this configuration at `index`. */
  founded(index: number, term: number, configuration: Configuration): void {
    this.#configurations.push({ index, configuration })
    for (let i = this.#committed.length; i <= index; i++) this.#committed[i] = { term, inTerm: term }
  }

  /** A node came up with what its disk holds: what was durable must be what it goes on with. */
  started({ id, raft, disk }: Observed): void {
    if (raft === null) return
    const { hardState } = disk
    check(
      raft.term === hardState.term && raft.vote === hardState.vote && raft.log.lastIndex === disk.lastIndex,
      'a node goes on with what is on its disk',
      () => `${id}: term ${raft.term}, vote ${raft.vote}, last ${raft.log.lastIndex}`,
    )
    this.#seen.delete(id)
    this.#checkConfiguration(id, raft)
  }

  /** A node takes over a snapshot. */
  adopted({ id, raft }: Observed): void {
    if (raft !== null) this.#checkConfiguration(id, raft)
  }

  /** Entries are on their way to the disk: two entries of one index and term are the same, and so are all before them. */
  taken({ id, raft }: Observed, { entries }: Ready): void {
    if (raft === null) return
    const [first] = entries
    if (first === undefined) return
    let previousTerm = raft.log.termAt(first.index - 1)
    for (const entry of entries) {
      const known = this.#created[entry.index] ?? new Map<number, Created>()
      this.#created[entry.index] = known
      const created = known.get(entry.term)
      const about = () => `${id} at ${entry.index}, term ${entry.term}`
      if (created === undefined) known.set(entry.term, { previousTerm: previousTerm ?? -1, entry })
      else {
        check(sameData(created.entry.data, entry.data), 'log matching', about)
        check(
          previousTerm === undefined || created.previousTerm < 0 || created.previousTerm === previousTerm,
          'log matching',
          about,
        )
      }
      previousTerm = entry.term
    }
  }

  /** A message leaves, to a peer or to the node itself: what it promises must be on the disk. */
  sent({ id, raft, disk }: Observed, { type, term, to, index, reject }: Message): void {
    const { hardState } = disk
    const onDisk = () => `disk: ${JSON.stringify(hardState)}, last ${disk.lastIndex}`
    if (type === 'voteResponse' && !reject) {
      const durable = hardState.term > term || (hardState.term === term && hardState.vote === to)
      check(
        durable,
        'a vote is durable before it is given',
        () => `${id} votes for ${to} in ${term}; ${onDisk()}`,
      )
      this.#promised(id, term, to)
    }
    // In a later term the entries may have been replaced; what is said of them is then of no use to anybody.
    if (raft?.term !== term) return
    const last = Math.max(disk.lastIndex, disk.snapshot.index)
    // Who has conceded within the term may have had its entries replaced too; it counts no votes any more.
    if (type === 'vote' && raft.role === 'candidate') {
      const durable = hardState.term === term && hardState.vote === id && index <= last
      check(
        durable,
        'votes are asked for what is durable',
        () => `${id} asks in ${term} with ${index}; ${onDisk()}`,
      )
    }
    if (type === 'appendResponse' && !reject) {
      check(index <= last, 'an acknowledgement is durable', () => `${id} acknowledges ${index}; ${onDisk()}`)
      this.#checkMatch(id, raft, index, to)
    }
  }

  /** Catalogue B9: what a follower acknowledges is what its leader has. */
  #checkMatch(id: string, raft: Raft, index: number, to: string): void {
    const leader = this.#nodes.get(to)?.raft
    if (leader?.role !== 'leader' || leader.term !== raft.term) return
    const theirs = leader.log.termAt(index)
    const ours = raft.log.termAt(index)
    check(
      index <= leader.log.lastIndex && (ours === undefined || theirs === undefined || ours === theirs),
      'what is acknowledged matches the leader',
      () =>
        `${id} acknowledges ${index} of term ${ours}; ${to}, up to ${leader.log.lastIndex}, has term ${theirs}`,
    )
  }

  #promised(id: string, term: number, to: string): void {
    const key = `${id}@${term}`
    const before = this.#votes.get(key)
    check(
      before === undefined || before === to,
      'one vote in a term',
      () => `${id} in ${term}: ${before}, ${to}`,
    )
    this.#votes.set(key, to)
  }

  /** A configuration entry was applied. */
  configured({ id }: Observed, index: number, configuration: Configuration): void {
    const last = this.#configurations.at(-1)
    if (last === undefined || last.index < index) this.#configurations.push({ index, configuration })
    else {
      const expected = this.configurationAt(index)
      check(
        expected !== undefined && sameConfiguration(expected, configuration),
        'configurations agree',
        () => `${id} at ${index}: ${JSON.stringify(configuration)}`,
      )
    }
  }

  #checkConfiguration(id: string, raft: Raft): void {
    const expected = this.configurationAt(raft.log.appliedIndex)
    // A node that waits to be added knows none.
    if (raft.log.appliedIndex === 0 || expected === undefined) return
    check(
      sameConfiguration(expected, raft.configuration),
      'the configuration is the last one applied',
      () =>
        `${id} at ${raft.log.appliedIndex}: ${JSON.stringify(raft.configuration)}, expected ${JSON.stringify(expected)}`,
    )
  }

  /** To be called after every step of a node. */
  check(node: Observed): void {
    const { id, raft } = node
    if (raft === null) return
    const { log, term, vote, role } = raft
    const about = () =>
      `${id}: term ${term}, vote ${vote}, role ${role}, snapshot ${log.snapshotIndex}, applied ${log.appliedIndex}, commit ${log.committedIndex}, stable ${log.stableIndex}, last ${log.lastIndex}`
    check(log.snapshotIndex <= log.appliedIndex, 'snapshot <= applied', about)
    check(log.appliedIndex <= log.committedIndex, 'applied <= commit', about)
    check(log.committedIndex <= log.lastIndex, 'commit <= last', about)
    check(log.stableIndex <= log.lastIndex, 'stable <= last', about)
    check(log.lastTerm <= term, 'no entry is of a later term', about)
    if (role === 'leader' || role === 'candidate') check(vote === id, 'a leader voted for itself', about)
    const seen = this.#seen.get(id)
    if (seen !== undefined) {
      check(term >= seen.term, 'terms never decrease', about)
      check(log.committedIndex >= seen.commit, 'the commit index never decreases', about)
      check(log.appliedIndex >= seen.applied, 'the applied index never decreases', about)
      if (term === seen.term) {
        check(seen.vote === '' || vote === seen.vote, 'a vote is not changed within a term', about)
        if (role === 'leader' && seen.role === 'leader') {
          check(log.epoch === seen.epoch, 'a leader only appends', about)
        }
      }
    }
    if (role !== 'follower')
      check(isVoter(raft.configuration, id), 'only voters campaign and are elected', about)
    if (role === 'leader' && (seen?.role !== 'leader' || seen.term !== term)) this.#elected(id, raft)
    if (log.committedIndex > (seen?.commit ?? 0)) this.#commit(id, raft, seen?.commit ?? 0)
    if (seen === undefined || log.stableIndex > 0) this.#checkStable(node)
    if (seen?.configuration !== raft.configuration) this.#checkConfiguration(id, raft)
    this.#remember(id, raft)
  }

  #remember(id: string, raft: Raft): void {
    const { term, vote, role, log, configuration } = raft
    const { committedIndex: commit, appliedIndex: applied, epoch } = log
    const seen = this.#seen.get(id)
    if (seen === undefined) this.#seen.set(id, { term, vote, role, commit, applied, epoch, configuration })
    else {
      seen.term = term
      seen.vote = vote
      seen.role = role
      seen.commit = commit
      seen.applied = applied
      seen.epoch = epoch
      seen.configuration = configuration
    }
  }

  #elected(id: string, raft: Raft): void {
    const { term, log } = raft
    const before = this.#leaders.get(term)
    check(before === undefined || before === id, 'election safety', () => `term ${term}: ${before}, ${id}`)
    this.#leaders.set(term, id)
    for (let index = log.firstIndex; index <= this.committedIndex; index++) {
      const committed = this.#committed[index]
      // What a later term committed this leader need not have; it cannot commit anything itself.
      if (committed === undefined || committed.inTerm >= term) break
      check(
        log.termAt(index) === committed.term,
        'leader completeness',
        () =>
          `${id}, elected in ${term}, has term ${log.termAt(index)} at ${index}; committed was ${committed.term}`,
      )
    }
  }

  #commit(id: string, raft: Raft, from: number): void {
    const { log, term } = raft
    const first = Math.max(from + 1, log.firstIndex)
    for (let index = first; index <= log.committedIndex; index++) {
      const own = log.termAt(index) ?? -1
      const committed = this.#committed[index]
      if (committed === undefined) this.#committed[index] = { term: own, inTerm: term }
      else {
        check(
          committed.term === own,
          'state machine safety',
          () => `${id} commits ${index} of term ${own}, but term ${committed.term} was committed there`,
        )
      }
      if (committed === undefined && index === log.committedIndex) this.#checkQuorum(id, raft, index, own)
    }
  }

  /** What is committed for the first time is on the disks of a quorum. */
  #checkQuorum(id: string, raft: Raft, index: number, term: number): void {
    const durable = [...this.#nodes.values()]
      .filter((node) => node.disk.holds(index, term))
      .map((node) => node.id)
    this.#world.count('entry committed')
    // Paper §5.4.2, figure 8: what an earlier leader left is committed only together with an entry of one's own.
    check(
      raft.term === term,
      'a leader commits through an entry of its own term',
      () => `${id} in term ${raft.term} commits ${index} of term ${term}`,
    )
    // The step that committed may also have applied a change: then the configuration before it counted.
    const configurations = [raft.configuration, this.#seen.get(id)?.configuration ?? raft.configuration]
    check(
      configurations.some((configuration) => isQuorum(configuration, (node) => durable.includes(node))),
      'committed entries are durable on a quorum',
      () => `${id} commits ${index} of term ${term}; on the disks of ${durable.join(', ')}`,
    )
  }

  #checkStable({ id, raft, disk }: Observed): void {
    if (raft === null) return
    const { stableIndex } = raft.log
    // A snapshot just taken over counts as the log's start before it is on the disk; nothing is promised on it yet.
    if (stableIndex === raft.log.snapshotIndex) return
    check(
      disk.holds(stableIndex, raft.log.termAt(stableIndex) ?? -1),
      'what counts as durable is on the disk',
      () =>
        `${id}: stable ${stableIndex} of term ${raft.log.termAt(stableIndex)}, disk has ${disk.termAt(stableIndex)}`,
    )
  }
}
