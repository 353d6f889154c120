import { Command } from 'commander'
import { nonEmpty } from '../argument-values.ts'
import {
  type ClientOptions,
  clientCommand,
  connect,
  examplesText,
  type Fields,
  printBody,
  record,
  records,
} from '../client-command.ts'
import type { CliIo } from '../io.ts'
import { cell, printable, renderTable } from '../table.ts'

const STDIN_BYTES_MAX = 1024 * 1024
/** How much of a payload a row shows, in characters. */
const PREVIEW_CHARS_MAX = 60
const HEADERS = ['ID', 'NAME', 'LTIME', 'FOR', 'PAYLOAD']

/** `constellation event`: user events. */
export function eventCommand(io: CliIo): Command {
  return new Command('event')
    .description(
      'Send an event to every agent, or those whose node or services match, and list those that came. What listens is ' +
        '`constellation watch --type event`. Events reach the agents that are there now; nothing keeps them for others.',
    )
    .usage('[options] NAME [PAYLOAD] | list')
    .addCommand(fireCommand(io), { isDefault: true })
    .addCommand(listCommand(io))
    .addHelpText(
      'after',
      examplesText([
        'constellation event deploy v42',
        "constellation event reload --service '^web$' --tag blue",
        'constellation event list --name deploy',
        'constellation event fire list      # an event that is called list',
      ]),
    )
}

interface FireOptions extends ClientOptions {
  readonly node?: string
  readonly service?: string
  readonly tag?: string
}

function fireCommand(io: CliIo): Command {
  return clientCommand('fire', 'Send an event; what `constellation event NAME` does.', [
    'constellation event deploy v42',
    'constellation event deploy - < manifest.json',
    "constellation event reload --node '^edge-' --service web --json",
  ])
    .argument('<name>', 'name of the event', nonEmpty)
    .argument('[payload]', 'up to 16 KiB for those who listen; - reads it from standard input')
    .option('--node <regex>', 'only agents whose node name matches (RE2, anywhere in the name)', nonEmpty)
    .option('--service <regex>', 'only agents with a service whose name matches', nonEmpty)
    .option('--tag <regex>', 'with --service: and which has a tag that matches', nonEmpty)
    .option('--json', 'print the answer of the API')
    .action(async (name: string, payload: string | undefined, options: FireOptions) => {
      const { node, service, tag } = options
      const api = await connect(options, io)
      const filters = Object.entries({ node, service, tag }).filter((each) => each[1] !== undefined)
      const query = new URLSearchParams(filters as [string, string][])
      const path = `/v1/event/fire/${encodeURIComponent(name)}${query.size === 0 ? '' : `?${query}`}`
      const body = await api.expect(path, { method: 'PUT', body: await payloadOf(payload ?? '', io) })
      if (options.json === true) return printBody(io, body)
      io.stdout.write(`fired: ${printable(name)}  ${printable(cell(record(api.parse(body)).ID))}\n`)
    })
}

async function payloadOf(payload: string, io: CliIo): Promise<Uint8Array> {
  if (payload !== '-') return Buffer.from(payload, 'utf8')
  const { readStdin } = await import('../input.ts')
  return readStdin(io, STDIN_BYTES_MAX)
}

function listCommand(io: CliIo): Command {
  return clientCommand('list', 'List the newest events that were for the node of this agent, oldest first.', [
    'constellation event list',
    "constellation event list --name deploy --json | jq -r '.[-1].Payload | @base64d'",
  ])
    .option('--name <name>', 'only events of this name', nonEmpty)
    .option('--json', 'print the answer of the API')
    .action(async (options: ClientOptions & { readonly name?: string }) => {
      const { name } = options
      const api = await connect(options, io)
      const query = name === undefined ? '' : `?${new URLSearchParams({ name })}`
      const body = await api.expect(`/v1/event/list${query}`)
      if (options.json === true) return printBody(io, body)
      io.stdout.write(renderTable(HEADERS, records(api.parse(body)).map(eventRow), 'no events'))
    })
}

function eventRow(event: Fields): string[] {
  const filters = [
    ['node', event.NodeFilter],
    ['service', event.ServiceFilter],
    ['tag', event.TagFilter],
  ]
  const given = filters.filter(([, regex]) => typeof regex === 'string' && regex !== '')
  const wanted = given.map(([what, regex]) => `${what}=${regex}`).join(' ')
  return [
    cell(event.ID),
    cell(event.Name),
    cell(event.LTime),
    wanted === '' ? 'all' : wanted,
    payloadText(event),
  ]
}

function payloadText({ Payload: base64 }: Fields): string {
  if (typeof base64 !== 'string') return '-'
  const bytes = Buffer.from(base64, 'base64')
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    return text.length > PREVIEW_CHARS_MAX ? `${text.slice(0, PREVIEW_CHARS_MAX)}…` : text
  } catch {
    return `${bytes.length} bytes`
  }
}
