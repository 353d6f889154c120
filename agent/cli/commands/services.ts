import type { Command } from 'commander'
import { type ClientOptions, clientCommand, connect, printBody, record, records } from '../client-command.ts'
import type { CliIo } from '../io.ts'
import { deregisterCommand, registerCommand } from '../services/register.ts'
import { cell, renderTable } from '../table.ts'

/** `constellation services`: what runs where, and registering it. */
export function servicesCommand(io: CliIo): Command {
  const command = clientCommand(
    'services',
    'List the services of the cluster and where they run, every instance, healthy or not; register and deregister services of one node.',
    [
      'constellation services',
      "constellation services list --json | jq '.[].name'",
      'constellation services register --name web --port 8080 --check-http http://127.0.0.1:8080/',
      'constellation services deregister web',
    ],
  )
    .option('--json', 'print the answer of the API')
    // What stands behind a subcommand is its own.
    .enablePositionalOptions()
  return command
    .action(() => list(io, command.opts()))
    .addCommand(listCommand(io))
    .addCommand(registerCommand(io))
    .addCommand(deregisterCommand(io))
}

function listCommand(io: CliIo): Command {
  const command = clientCommand('list', 'List the services of the cluster, as without `list`.', [
    'constellation services list',
    "constellation services list --json | jq '.[].name'",
  ]).option('--json', 'print the answer of the API')
  return command.action(() => list(io, command.optsWithGlobals()))
}

async function list(io: CliIo, options: ClientOptions): Promise<void> {
  const api = await connect(options, io)
  const body = await api.expect('/api/v1/services')
  if (options.json === true) return printBody(io, body)
  const rows = records(api.parse(body)).flatMap(serviceRows)
  io.stdout.write(renderTable(['SERVICE', 'NODE', 'ID', 'ADDRESS', 'STATUS', 'TAGS'], rows, 'no services'))
}

function serviceRows(service: Readonly<Record<string, unknown>>): string[][] {
  const tags = Array.isArray(service.tags) ? service.tags.join(',') : ''
  const instances = records(service.instances)
  // A service that is known but runs nowhere is still worth a line.
  return (instances.length === 0 ? [record(null)] : instances).map((instance) => {
    const address = addressOf(instance.address, instance.port)
    return [service.name, instance.node, instance.id, address, instance.status, tags].map(cell)
  })
}

function addressOf(address: unknown, port: unknown): string {
  if (typeof address !== 'string' || address === '') return ''
  const host = address.includes(':') ? `[${address}]` : address
  return typeof port === 'number' && port > 0 ? `${host}:${port}` : address
}
