import type { Command } from 'commander'
import { type ClientOptions, clientCommand, connect, printBody, records } from '../client-command.ts'
import type { CliIo } from '../io.ts'
import { cell, renderTable } from '../table.ts'

/** `constellation leases`: who holds what may run only once. */
export function leasesCommand(io: CliIo): Command {
  return clientCommand('leases', 'List the leases and the nodes that hold them.', [
    'constellation leases',
    'constellation leases --json',
  ])
    .option('--json', 'print the answer of the API')
    .action(async (options: ClientOptions) => {
      const api = await connect(options, io)
      const body = await api.expect('/api/v1/leases')
      if (options.json === true) return printBody(io, body)
      const rows = records(api.parse(body)).map((lease) =>
        [lease.name, lease.holder, lease.fencingToken].map(cell),
      )
      io.stdout.write(renderTable(['LEASE', 'HOLDER', 'TOKEN'], rows, 'no leases'))
    })
}
