import { Command } from 'commander'
import {
  type ClientOptions,
  clientCommand,
  connect,
  examplesText,
  printBody,
  record,
  records,
} from '../client-command.ts'
import type { CliIo } from '../io.ts'
import { cell, printable, renderTable } from '../table.ts'

/** `constellation raft`: the consensus group. */
export function raftCommand(io: CliIo): Command {
  const status = clientCommand('status', 'Show the state of Raft as one node sees it.', [
    'constellation raft status',
    'constellation raft status --json --http-addr 10.0.0.2:8500',
  ])
    .option('--json', 'print the answer of the API')
    .action(async (options: ClientOptions) => {
      const api = await connect(options, io)
      const body = await api.expect('/api/v1/raft')
      if (options.json === true) return printBody(io, body)
      io.stdout.write(statusText(record(api.parse(body))))
    })
  return new Command('raft')
    .description('Inspect the consensus group.')
    .addCommand(status)
    .addHelpText('after', examplesText(['constellation raft status']))
}

function statusText(status: Readonly<Record<string, unknown>>): string {
  const peers = records(status.peers)
  const nameOf = (id: unknown): string => cell(peers.find((peer) => peer.id === id)?.name ?? id)
  const fields: readonly (readonly [string, string])[] = [
    ['node', cell(status.name ?? status.id)],
    ['role', cell(status.role)],
    ['term', cell(status.term)],
    ['leader', nameOf(status.leader)],
    ['commit index', cell(status.commitIndex)],
    ['applied index', cell(status.appliedIndex)],
    ['last log index', cell(status.lastLogIndex)],
  ]
  const rows = peers.map((peer) => [
    cell(peer.name),
    peer.leader === true ? 'leader' : peer.voter === true ? 'voter' : 'learner',
    cell(peer.matchIndex),
    cell(peer.id),
  ])
  const head = fields.map(([label, value]) => `${`${label}:`.padEnd(16)}${printable(value)}\n`).join('')
  return `${head}\n${renderTable(['PEER', 'ROLE', 'MATCH', 'ID'], rows, 'no peers: this node belongs to no cluster yet')}`
}
