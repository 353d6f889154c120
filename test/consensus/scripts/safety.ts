import type { Raft } from '../../../consensus/raft/raft.ts'
import { invariant, type Message } from '../../../consensus/raft/types.ts'
import { describeEntry } from './format.ts'
import type { Member } from './member.ts'

/**
 * The safety properties of figure 3 of the Raft paper, and one vote per node and term, checked after every command of a
 * script. Each method throws InvariantError with what was violated.
 */
export class Safety {
  readonly #leaders = new Map<number, string>()
  readonly #votes = new Map<string, string>()
  readonly #committed = new Map<number, string>()
  readonly #durableTerms = new Map<string, number>()

  /** A message leaves that waited for its write: what it says binds through crashes too (catalogue B5, B7). */
  promised({ type, from, to, term, reject }: Message): void {
    // Pre-votes speak of a term that may never begin.
    if (type === 'preVote' || type === 'preVoteResponse') return
    this.#durableTerms.set(from, Math.max(this.#durableTerms.get(from) ?? 0, term))
    if (type !== 'voteResponse' || reject) return
    const key = `${from} in term ${term}`
    const before = this.#votes.get(key) ?? to
    invariant(before === to, `${key} votes once: for ${before}, not for ${to} too`)
    this.#votes.set(key, to)
  }

  check(members: ReadonlyMap<string, Member>): void {
    const running = [...members.values()].filter(({ running }) => running).map(({ raft }) => raft)
    for (const raft of running) this.#checkTerm(raft)
    for (const raft of running) this.#checkLeader(raft)
    for (const raft of running) this.#checkCommitted(raft)
    for (const a of running) for (const b of running) if (a.id < b.id) checkMatching(a, b)
  }

  #checkTerm(raft: Raft): void {
    const before = this.#durableTerms.get(raft.id) ?? 0
    invariant(raft.term >= before, `the term of ${raft.id} never decreases (was ${before}, is ${raft.term})`)
  }

  #checkLeader(raft: Raft): void {
    if (raft.role !== 'leader') return
    const known = this.#leaders.get(raft.term)
    invariant(
      known === undefined || known === raft.id,
      `term ${raft.term} has one leader: ${known}, ${raft.id}`,
    )
    if (known !== undefined) return
    this.#leaders.set(raft.term, raft.id)
    for (const [index, text] of this.#committed) {
      if (index <= raft.log.snapshotIndex) continue
      const entry = raft.log.entryAt(index)
      const has = entry !== undefined && describeEntry(entry) === text
      invariant(has, `the leader ${raft.id} of term ${raft.term} has the committed entry ${text}`)
    }
  }

  #checkCommitted(raft: Raft): void {
    const { log } = raft
    const ordered = log.appliedIndex <= log.committedIndex && log.committedIndex <= log.lastIndex
    invariant(ordered, `applied <= committed <= last on ${raft.id}`)
    for (let index = log.firstIndex; index <= log.committedIndex; index++) {
      const entry = log.entryAt(index)
      if (entry === undefined) continue
      const text = describeEntry(entry)
      const known = this.#committed.get(index) ?? text
      invariant(known === text, `${raft.id} and others commit the same entry: ${text}, not ${known}`)
      this.#committed.set(index, text)
    }
  }
}

/** Where two logs have an entry of the same index and term, everything before it is the same (log matching). */
function checkMatching(a: Raft, b: Raft): void {
  const first = Math.max(a.log.firstIndex, b.log.firstIndex)
  let agree = false
  for (let index = Math.min(a.log.lastIndex, b.log.lastIndex); index >= first; index--) {
    const left = a.log.entryAt(index)
    const right = b.log.entryAt(index)
    if (left === undefined || right === undefined) return
    agree ||= left.term === right.term
    const same = describeEntry(left) === describeEntry(right)
    invariant(!agree || same, `the logs of ${a.id} and ${b.id} match up to where they agree, not at ${index}`)
  }
}
