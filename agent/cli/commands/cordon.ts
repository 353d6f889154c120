import type { Command } from 'commander'
import { type ClientOptions, clientCommand, connect, printBody, record } from '../client-command.ts'
import type { CliIo } from '../io.ts'
import { cell, printable } from '../table.ts'

/** Longer than the agent takes to answer, so that its own words arrive. */
const ORDER_TIMEOUT_MS = 10_000

/** `constellation cordon`: a node gets no new traffic and is not to vote. */
export function cordonCommand(io: CliIo): Command {
  return clientCommand(
    'cordon',
    'Decide that a node gets no new traffic and is not to vote or lead, for maintenance or because it is not to be trusted. ' +
      'It stays a voter until another node can take its place. Lasts until `uncordon`, over restarts.',
    ['constellation cordon n2', 'constellation cordon n2 --json'],
  )
    .argument('<node>', 'name or id of the node')
    .option('--json', 'print the answer of the API')
    .action((node: string, options: ClientOptions) => decide(io, options, node, 'cordon'))
}

/** `constellation uncordon`: it gets traffic and may vote again. */
export function uncordonCommand(io: CliIo): Command {
  return clientCommand(
    'uncordon',
    'Lift the cordon of a node, and end its drain. It is chosen as a voter again when one is wanted.',
    ['constellation uncordon n2', 'constellation uncordon n2 && constellation raft add n2'],
  )
    .argument('<node>', 'name or id of the node')
    .option('--json', 'print the answer of the API')
    .action((node: string, options: ClientOptions) => decide(io, options, node, 'uncordon'))
}

async function decide(
  io: CliIo,
  options: ClientOptions,
  node: string,
  action: 'cordon' | 'uncordon',
): Promise<void> {
  const api = await connect(options, io)
  const path = `/api/v1/nodes/${encodeURIComponent(node)}/${action}`
  const body = await api.expect(path, { method: 'PUT', timeoutMs: ORDER_TIMEOUT_MS })
  if (options.json === true) return printBody(io, body)
  const { name, role } = record(api.parse(body))
  const votes = action === 'cordon' && (role === 'leader' || role === 'voter')
  const more = votes ? ` (it is a ${cell(role)} until another node has taken its place)` : ''
  io.stdout.write(`${action}ed: ${printable(cell(name))}${more}\n`)
}
