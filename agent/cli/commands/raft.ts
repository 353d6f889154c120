import { Command } from 'commander'
import {
  type ClientOptions,
  clientCommand,
  connect,
  examplesText,
  printBody,
  record,
} from '../client-command.ts'
import type { CliIo } from '../io.ts'
import { raftStatusText } from '../raft-status.ts'
import { cell, printable } from '../table.ts'
import { recoverCommand } from './raft-recover.ts'

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
      io.stdout.write(raftStatusText(record(api.parse(body))))
    })
  return new Command('raft')
    .description('Inspect and change the consensus group.')
    .addCommand(status)
    .addCommand(transferCommand(io))
    .addCommand(addCommand(io))
    .addCommand(removeCommand(io))
    .addCommand(recoverCommand(io))
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

function addCommand(io: CliIo): Command {
  return clientCommand(
    'add',
    'Make a living node a voter now. Below cluster.voters it is one voter more, else it takes the place of another.',
    ['constellation raft add n4', 'constellation raft add n4 --json'],
  )
    .argument('<node>', 'name or id of the node')
    .option('--json', 'print the answer of the API')
    .action(async (node: string, options: ClientOptions) => {
      const path = `/api/v1/raft/peers/${encodeURIComponent(node)}`
      await order(io, options, 'PUT', path, (name, { role }) =>
        role === 'voter'
          ? `voter: ${name}`
          : `${name} is a learner and becomes a voter once it has caught up`,
      )
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
  sentence: (name: string, answer: Readonly<Record<string, unknown>>) => string,
): Promise<void> {
  const api = await connect(options, io)
  const body = await api.expect(path, { method, timeoutMs: ORDER_TIMEOUT_MS })
  if (options.json === true) return printBody(io, body)
  const answer = record(api.parse(body))
  io.stdout.write(`${sentence(printable(cell(answer.name)), answer)}\n`)
}
