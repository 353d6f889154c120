import type { Command } from 'commander'
import { NODE_MAINTENANCE, SERVICE_MAINTENANCE } from '../../../discovery/health/maintenance.ts'
import { encodeKey } from '../api-client.ts'
import { nonEmpty } from '../argument-values.ts'
import {
  type ClientOptions,
  clientCommand,
  connect,
  type Fields,
  printBody,
  records,
} from '../client-command.ts'
import type { CliIo } from '../io.ts'
import { cell, printable, renderTable } from '../table.ts'

const FILTER = `CheckID == "${NODE_MAINTENANCE}" or CheckID matches "^${SERVICE_MAINTENANCE}"`

interface MaintOptions extends ClientOptions {
  readonly service?: string
  readonly reason?: string
}

/** `constellation maint`: takes a node or a service out of every answer, and back in. */
export function maintCommand(io: CliIo): Command {
  const command = clientCommand(
    'maint',
    'List what is in maintenance, and take a node or one of its services out or back in. What is in maintenance is left out of DNS, ' +
      'of the document for Traefik and of healthy answers until it is disabled, over restarts. Nothing is stopped.',
    [
      'constellation maint                                          # what is in maintenance, on all nodes',
      "constellation maint enable --reason 'new disk'               # the node of the agent that is asked",
      'constellation maint enable --service web --reason migration',
      'constellation maint disable --service web',
    ],
  )
    .option('--json', 'print the answer of the API: the checks that say so')
    .enablePositionalOptions()
  return command
    .action(() => list(io, command.opts()))
    .addCommand(switchCommand(io, 'enable'))
    .addCommand(switchCommand(io, 'disable'))
}

async function list(io: CliIo, options: ClientOptions): Promise<void> {
  const api = await connect(options, io)
  const body = await api.expect(`/v1/health/state/critical?filter=${encodeURIComponent(FILTER)}`)
  if (options.json === true) return printBody(io, body)
  const rows = records(api.parse(body)).map(row)
  io.stdout.write(renderTable(['NODE', 'SERVICE', 'REASON'], rows, 'nothing is in maintenance'))
}

function row({ Node, ServiceID, Notes }: Fields): string[] {
  return [cell(Node), ServiceID === '' ? '(all)' : cell(ServiceID), cell(Notes)]
}

function switchCommand(io: CliIo, verb: 'enable' | 'disable'): Command {
  const enable = verb === 'enable'
  const command = clientCommand(
    verb,
    enable
      ? 'Take the node of the agent that is asked out with all its services, or one service. Again: another reason.'
      : 'Take it back in. What is not in maintenance stays as it is.',
    enable
      ? ["constellation maint enable --reason 'new disk'", 'constellation maint enable --service web']
      : ['constellation maint disable', 'constellation maint disable --service web'],
  )
    .option('--service <id>', 'only this service, by its id', nonEmpty)
    .option('--json', 'print what was done as JSON')
  if (enable) command.option('--reason <text>', 'shown to whoever looks')
  return command.action(async () => {
    const options = command.optsWithGlobals() as MaintOptions
    const { service, reason } = options
    const path = service === undefined ? 'maintenance' : `service/maintenance/${encodeKey(service)}`
    const query = new URLSearchParams({ enable: String(enable), ...(reason === undefined ? {} : { reason }) })
    const api = await connect(options, io)
    await api.expect(`/v1/agent/${path}?${query}`, { method: 'PUT' })
    if (options.json === true) {
      io.stdout.write(`${JSON.stringify({ maintenance: enable, service: service ?? null })}\n`)
    } else {
      const what =
        service === undefined ? 'the node and all its services' : `the service ${printable(service)}`
      io.stdout.write(`maintenance ${verb}d: ${what}\n`)
    }
  })
}
