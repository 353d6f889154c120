import { decodeChange, isJoint } from '../../../consensus/raft/configuration.ts'
import type { Raft } from '../../../consensus/raft/raft.ts'
import type {
  ConfigChange,
  Configuration,
  Entry,
  HardState,
  Message,
  SnapshotMeta,
} from '../../../consensus/raft/types.ts'

/** Longer payloads are shown by their first characters and their size. */
const SHOWN_CHARACTERS = 12
/** Longer lists of entries are shown by their ends. */
const SHOWN_ENTRIES = 6

function describePayload(data: Uint8Array): string {
  const text = new TextDecoder().decode(data)
  if (text.length <= SHOWN_CHARACTERS) return JSON.stringify(text)
  return `${text.slice(0, 2)}… ${data.length} bytes`
}

/** `leave` or the steps: `add-voter 4, remove 1`. */
function describeChange({ steps }: ConfigChange): string {
  if (steps.length === 0) return 'leave joint'
  const verbs = { addVoter: 'add-voter', addLearner: 'add-learner', remove: 'remove' }
  return steps.map(({ kind, node }) => `${verbs[kind]} ${node}`).join(', ')
}

/** `index@term`, and what the entry holds unless it is the empty entry of a new leader. */
export function describeEntry(entry: Entry): string {
  const at = `${entry.index}@${entry.term}`
  if (entry.type === 'config') return `${at} <${describeChange(decodeChange(entry.data))}>`
  return entry.data.length === 0 ? at : `${at} ${describePayload(entry.data)}`
}

export function describeEntries(entries: readonly Entry[]): string {
  const first = entries[0]
  const last = entries.at(-1)
  if (first === undefined || last === undefined || entries.length <= SHOWN_ENTRIES)
    return `[${entries.map(describeEntry).join(', ')}]`
  return `[${describeEntry(first)} … ${describeEntry(last)}: ${entries.length} entries]`
}

export function describeConfiguration(configuration: Configuration): string {
  const { voters, votersOutgoing, learners, learnersNext } = configuration
  const parts = [`voters=(${voters.join(',')})`]
  if (isJoint(configuration)) parts.push(`outgoing=(${votersOutgoing.join(',')})`)
  if (learners.length > 0) parts.push(`learners=(${learners.join(',')})`)
  if (learnersNext.length > 0) parts.push(`learners-next=(${learnersNext.join(',')})`)
  return parts.join(' ')
}

export function describeSnapshot({ index, term, configuration }: SnapshotMeta): string {
  return `${index}@${term} ${describeConfiguration(configuration)}`
}

export function describeHardState({ term, vote, commit }: HardState): string {
  return `term=${term} vote=${vote === '' ? 'none' : vote} commit=${commit}`
}

function describeAnswer(message: Message): string {
  const { reject, index, rejectHint, logTerm } = message
  return reject ? `refuses=${index} look-at=${rejectHint}@${logTerm}` : `has=${index}`
}

function describeBody(message: Message): string {
  const { index, logTerm, commit, context, lease } = message
  const read = `${context > 0 ? ` read=${context}` : ''}${lease ? ' lease' : ''}`
  switch (message.type) {
    case 'append':
      return `after=${index}@${logTerm} ${describeEntries(message.entries)} commit=${commit}`
    case 'appendResponse':
      return describeAnswer(message)
    case 'heartbeat':
      return `commit=${commit}${read}`
    case 'heartbeatResponse':
      return read.trim()
    case 'preVote':
    case 'vote':
      return `last=${index}@${logTerm}${message.transfer ? ' transfer' : ''}`
    case 'preVoteResponse':
    case 'voteResponse':
      return message.reject ? 'refused' : 'granted'
    case 'snapshot':
      return message.snapshot === null ? '' : describeSnapshot(message.snapshot)
    default:
      return ''
  }
}

/** `from→to type`. */
export function nameMessage({ type, from, to }: Message): string {
  return `${from}→${to} ${type}`
}

/** A message with everything its type uses. */
export function describeMessage(message: Message): string {
  return `${nameMessage(message)} term=${message.term} ${describeBody(message)}`.trimEnd()
}

/** Role, term and leader of a node. */
export function describeRole(raft: Raft): string {
  const leader = raft.leader === '' || raft.leader === raft.id ? '' : ` of ${raft.leader}`
  return `${raft.id} is ${raft.role}${leader} in term ${raft.term}`
}

/** Everything `status` shows: the node, and what a leader knows of each of the others. */
export function describeStatus(raft: Raft): string[] {
  const { log } = raft
  const vote = raft.vote === '' ? 'none' : raft.vote
  const own = `vote=${vote} commit=${log.committedIndex} applied=${log.appliedIndex} last=${log.lastIndex}@${log.lastTerm}`
  const lines = [`${describeRole(raft)}, ${own} ${describeConfiguration(raft.configuration)}`]
  if (raft.transferTo !== '') lines.push(`  leadership goes to ${raft.transferTo}`)
  if (raft.role !== 'leader') return lines
  for (const [id, progress] of [...raft.progress].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const { state, matchIndex, nextIndex, pendingSnapshot } = progress
    const marks = [
      pendingSnapshot > 0 ? ` pending=${pendingSnapshot}` : '',
      progress.paused ? ' paused' : '',
      id === raft.id || progress.recentActive ? '' : ' inactive',
    ]
    lines.push(`  ${id} ${state} match=${matchIndex} next=${nextIndex}${marks.join('')}`)
  }
  return lines
}

/** The log of a node, one entry a line, with how far each has come. */
export function describeLog({ log }: Raft): string[] {
  const lines = [`starts after ${log.snapshotIndex}@${log.snapshotTerm}`]
  for (let index = log.firstIndex; index <= log.lastIndex; index++) {
    const entry = log.entryAt(index)
    if (entry === undefined) continue
    const reached = index <= log.appliedIndex ? ' applied' : index <= log.committedIndex ? ' committed' : ''
    lines.push(`${describeEntry(entry)}${reached}${index > log.stableIndex ? ' not durable' : ''}`)
  }
  return lines
}
