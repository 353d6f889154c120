import { record, records } from './client-command.ts'
import { cell, printable, renderTable } from './table.ts'

type Fields = Readonly<Record<string, unknown>>

const HEADERS = ['PEER', 'ROLE', 'ANSWERS', 'MATCH', 'LAG', 'STATE', 'HEARD', 'NOTES', 'ID']

/** The answer of `/api/v1/raft` for people. What only a leader knows is "-" elsewhere. */
export function raftStatusText(status: Fields): string {
  const peers = [...records(status.peers)].sort((a, b) => (cell(a.name) < cell(b.name) ? -1 : 1))
  const nameOf = (id: unknown): string => cell(peers.find((peer) => peer.id === id)?.name ?? id)
  const joint = status.joint === null || status.joint === undefined ? null : record(status.joint)
  const fields: readonly (readonly [string, string])[] = [
    ['node', cell(status.name ?? status.id)],
    ['role', cell(status.role)],
    ['term', cell(status.term)],
    ['leader', nameOf(status.leader)],
    ['last contact', milliseconds(status.lastContactMs)],
    ['commit index', cell(status.commitIndex)],
    ['applied index', cell(status.appliedIndex)],
    ['last log index', cell(status.lastLogIndex)],
    ['snapshot index', cell(status.snapshotIndex)],
    ['log', `${cell(status.logEntries)} entries, ${cell(status.logBytes)} bytes`],
    ['cluster', cell(status.clusterId)],
    ...feedFields(status),
    ...(joint === null ? [] : [['change', jointText(joint)] as const]),
    ...(typeof status.problem === 'string' ? [['problem', status.problem] as const] : []),
  ]
  const head = fields.map(([label, value]) => `${`${label}:`.padEnd(16)}${printable(value)}\n`).join('')
  const clients = records(status.followers ?? []).map(({ name, lag, id }) => [name, lag, id].map(cell))
  const fed = clients.length === 0 ? '' : `\n${renderTable(['FEEDS', 'LAG', 'ID'], clients, '')}`
  return `${head}\n${renderTable(HEADERS, peers.map(peerRow), 'no peers: this node belongs to no cluster yet')}${fed}`
}

/** Of a client: who feeds it. */
function feedFields(status: Fields): readonly (readonly [string, string])[] {
  if (status.feed === undefined) return []
  const { feeder, lag } = record(status.feed)
  return [
    ['fed by', cell(feeder)],
    ['lag', `${cell(lag)} entries`],
  ]
}

function peerRow(peer: Fields): string[] {
  const notes = ['cordoned', 'flapping'].filter((note) => peer[note] === true)
  return [
    cell(peer.name),
    peer.leader === true ? 'leader' : peer.voter === true ? 'voter' : 'learner',
    peer.connected === undefined ? '-' : peer.connected === true ? 'yes' : 'no',
    cell(peer.matchIndex),
    cell(peer.lag),
    cell(peer.state),
    milliseconds(peer.lastHeardMs),
    cell(notes.join(', ')),
    cell(peer.id),
  ]
}

function jointText({ incoming, outgoing }: Fields): string {
  return `under way, voters ${list(outgoing)} -> ${list(incoming)}; both majorities must agree`
}

function list(value: unknown): string {
  return Array.isArray(value) ? value.map(cell).join(', ') : cell(value)
}

/** `12 ms`, `3.4 s`. */
function milliseconds(value: unknown): string {
  if (typeof value !== 'number') return '-'
  return value < 1000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(1)} s`
}
