import type { Command } from 'commander'
import { type ClientOptions, clientCommand, connect, printBody, records } from '../client-command.ts'
import type { CliIo } from '../io.ts'
import { cell, renderTable } from '../table.ts'

/** `constellation members`: the nodes of the cluster as one of them sees it. */
export function membersCommand(io: CliIo): Command {
  return clientCommand('members', 'List the nodes of the cluster.', [
    'constellation members',
    'constellation members --json --http-addr 10.0.0.2:8500',
  ])
    .option('--json', 'print the answer of the API')
    .action(async (options: ClientOptions) => {
      const api = await connect(options, io)
      const body = await api.expect('/api/v1/nodes')
      if (options.json === true) return printBody(io, body)
      const rows = records(api.parse(body)).map((node) =>
        [node.name, node.address, node.status, roleOf(node), node.version].map(cell),
      )
      io.stdout.write(renderTable(['NODE', 'ADDRESS', 'STATUS', 'ROLE', 'VERSION'], rows, 'no members'))
    })
}

function roleOf(node: Readonly<Record<string, unknown>>): string {
  const role = node.fedBy === undefined ? cell(node.role) : `${cell(node.role)} of ${cell(node.fedBy)}`
  return node.cordoned === true ? `${role}, cordoned` : role
}
