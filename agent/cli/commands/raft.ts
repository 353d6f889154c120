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

/** Longer than the agent takes to answer, so that its own words arrive. */
const ORDER_TIMEOUT_MS = 10_000

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
    .description('Inspect and change the consensus group.')
    .addCommand(status)
    .addCommand(transferCommand(io))
    .addCommand(removeCommand(io))
    .addHelpText('after', examplesText(['constellation raft status', 'constellation raft transfer n2']))
}

function transferCommand(io: CliIo): Command {
  return clientCommand('transfer', 'Hand leadership to another voter and wait until it leads.', [
    'constellation raft transfer          # to the voter whose log is furthest',
    'constellation raft transfer n2',
    'constellation raft transfer n2 --json',
  ])
    .argument('[node]', 'name or id of the node that is to lead')
    .option('--json', 'print the answer of the API')
    .action(async (node: string | undefined, options: ClientOptions) => {
      const query = node === undefined ? '' : `?to=${encodeURIComponent(node)}`
      await order(io, options, 'PUT', `/api/v1/raft/transfer${query}`, (name) => `${name} leads`)
    })
}

function removeCommand(io: CliIo): Command {
  return clientCommand('remove', 'Take a dead node out of the consensus group.', [
    'constellation raft remove n3',
    'constellation raft remove 12D3KooWSBVWEqB4W1ws5EyhYnPf3ig4xxXDvT9AUDkZ8BC7VovF --json',
  ])
    .argument('<node>', 'name or id of the node, which must be stopped')
    .option('--json', 'print the answer of the API')
    .action(async (node: string, options: ClientOptions) => {
      const path = `/api/v1/raft/peers/${encodeURIComponent(node)}`
      await order(io, options, 'DELETE', path, (name) => `removed: ${name}`)
    })
}

async function order(
  io: CliIo,
  options: ClientOptions,
  method: 'PUT' | 'DELETE',
  path: string,
  sentence: (name: string) => string,
): Promise<void> {
  const api = await connect(options, io)
  const body = await api.expect(path, { method, timeoutMs: ORDER_TIMEOUT_MS })
  if (options.json === true) return printBody(io, body)
  io.stdout.write(`${sentence(printable(cell(record(api.parse(body)).name)))}\n`)
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
    ...feedFields(status),
  ]
  const rows = peers.map((peer) => [
    cell(peer.name),
    peer.leader === true ? 'leader' : peer.voter === true ? 'voter' : 'learner',
    cell(peer.matchIndex),
    cell(peer.id),
  ])
  const head = fields.map(([label, value]) => `${`${label}:`.padEnd(16)}${printable(value)}\n`).join('')
  const clients = records(status.followers ?? []).map(({ name, lag, id }) => [name, lag, id].map(cell))
  const fed = clients.length === 0 ? '' : `\n${renderTable(['FEEDS', 'LAG', 'ID'], clients, '')}`
  return `${head}\n${renderTable(['PEER', 'ROLE', 'MATCH', 'ID'], rows, 'no peers: this node belongs to no cluster yet')}${fed}`
}

/** Of a client: who feeds it. */
function feedFields(status: Readonly<Record<string, unknown>>): readonly (readonly [string, string])[] {
  if (status.feed === undefined) return []
  const { feeder, lag } = record(status.feed)
  return [
    ['fed by', cell(feeder)],
    ['lag', `${cell(lag)} entries`],
  ]
}
