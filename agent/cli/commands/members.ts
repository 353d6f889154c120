import type { Command } from 'commander'
import {
  type ClientOptions,
  clientCommand,
  connect,
  type Fields,
  printBody,
  records,
} from '../client-command.ts'
import type { CliIo } from '../io.ts'
import { cell, renderTable } from '../table.ts'

type Column = readonly [header: string, read: (node: Fields) => unknown]

const COLUMNS: readonly Column[] = [
  ['NODE', (node) => node.name],
  ['ADDRESS', (node) => node.address],
  ['STATUS', (node) => node.status],
  ['ROLE', roleOf],
  ['VERSION', (node) => node.version],
]
const DETAILS: readonly Column[] = [
  ['RTT', ({ rttMs }) => (typeof rttMs === 'number' ? `${rttMs.toFixed(2)}ms` : null)],
  ['HTTP', (node) => node.http],
  ['INCARNATION', (node) => node.incarnation],
  ['ID', (node) => node.id],
]

/** `constellation members`: the nodes of the cluster as one of them sees it. */
export function membersCommand(io: CliIo): Command {
  return clientCommand('members', 'List the nodes of the cluster.', [
    'constellation members',
    'constellation members --detailed',
    'constellation members --json --http-addr 10.0.0.2:8500',
  ])
    .option('--json', 'print the answer of the API')
    .option(
      '--detailed',
      'more columns: estimated round trip from the agent that is asked, HTTP address, incarnation, id',
    )
    .action(async (options: ClientOptions & { readonly detailed?: boolean }) => {
      const api = await connect(options, io)
      const body = await api.expect('/api/v1/nodes')
      if (options.json === true) return printBody(io, body)
      const columns = options.detailed === true ? [...COLUMNS, ...DETAILS] : COLUMNS
      const rows = records(api.parse(body)).map((node) => columns.map(([, read]) => cell(read(node))))
      io.stdout.write(
        renderTable(
          columns.map(([header]) => header),
          rows,
          'no members',
        ),
      )
    })
}

function roleOf(node: Fields): string {
  const role = node.fedBy === undefined ? cell(node.role) : `${cell(node.role)} of ${cell(node.fedBy)}`
  return node.draining === true ? `${role}, draining` : node.cordoned === true ? `${role}, cordoned` : role
}
