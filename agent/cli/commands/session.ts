import { Command, Option } from 'commander'
import { formatGoDuration } from '../../../discovery/health/duration.ts'
import { duration, nonEmpty, repeated } from '../argument-values.ts'
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
import { CliError } from '../errors.ts'
import type { CliIo } from '../io.ts'
import { cell, printable, renderTable } from '../table.ts'

const NANOSECONDS_PER_MS = 1e6
const HEADERS = ['ID', 'NAME', 'NODE', 'TTL', 'BEHAVIOR', 'LOCK DELAY', 'CHECKS']

/** `constellation session`: what holds locks. */
export function sessionCommand(io: CliIo): Command {
  return new Command('session')
    .description('Make, renew and end sessions. A session holds locks; when it ends, they are free.')
    .addCommand(listCommand(io))
    .addCommand(createCommand(io))
    .addCommand(renewCommand(io))
    .addCommand(destroyCommand(io))
    .addCommand(infoCommand(io))
    .addHelpText(
      'after',
      examplesText([
        'constellation session list',
        'id=$(constellation session create --name deploy --ttl 30s)',
        'constellation session renew $id',
      ]),
    )
}

function listCommand(io: CliIo): Command {
  return clientCommand('list', 'List the sessions of the cluster, or of one node.', [
    'constellation session list',
    "constellation session list --json --node n1 | jq -r '.[].ID'",
  ])
    .option('--node <name>', 'only the sessions of this node', nonEmpty)
    .option('--json', 'print the answer of the API')
    .action(async (options: ClientOptions & { node?: string }) => {
      const api = await connect(options, io)
      const path = options.node === undefined ? 'list' : `node/${encodeURIComponent(options.node)}`
      const body = await api.expect(`/v1/session/${path}`)
      if (options.json === true) return printBody(io, body)
      io.stdout.write(renderTable(HEADERS, records(api.parse(body)).map(sessionRow), 'no sessions'))
    })
}

interface CreateOptions extends ClientOptions {
  readonly name?: string
  readonly node?: string
  readonly ttl?: number
  readonly lockDelay?: number
  readonly behavior?: string
  readonly check?: readonly string[]
  readonly checks: boolean
}

function createCommand(io: CliIo): Command {
  return clientCommand('create', 'Make a session and print its id.', [
    'constellation session create --name deploy --ttl 30s',
    'constellation session create --behavior delete --lock-delay 0s --no-checks --ttl 15s',
    'constellation session create --check serfHealth --check service:web',
  ])
    .option('--name <text>', 'for people who look at the list', nonEmpty)
    .option('--node <name>', 'node it belongs to (default: the agent that is asked)', nonEmpty)
    .option('--ttl <duration>', 'it ends when it was not renewed for this long (default: never)', ttl)
    .option(
      '--lock-delay <duration>',
      'how long its keys cannot be locked after it was lost (default: 15s)',
      lockDelay,
    )
    .addOption(
      new Option('--behavior <what>', 'what becomes of its keys (default: release)').choices([
        'release',
        'delete',
      ]),
    )
    .option(
      '--check <id>',
      'check of the node that must not be critical (default: serfHealth, the node itself); may be repeated',
      repeated,
    )
    .option('--no-checks', 'no check ends it, not even the failure of its node')
    .option('--json', 'print the answer of the API')
    .action(async (options: CreateOptions) => {
      if (!options.checks && options.check !== undefined) {
        throw new CliError('CLI_USAGE', '--check and --no-checks exclude each other')
      }
      const api = await connect(options, io)
      const body = await api.expect('/v1/session/create', {
        method: 'PUT',
        body: Buffer.from(JSON.stringify(createBody(options))),
      })
      if (options.json === true) return printBody(io, body)
      io.stdout.write(`${printable(cell(record(api.parse(body)).ID))}\n`)
    })
}

const ttl = duration('1s', '24h')
const lockDelay = duration('0s', '60s')

function createBody(options: CreateOptions): Fields {
  const { name, node, behavior } = options
  const checks = options.checks ? options.check : []
  return {
    ...(name === undefined ? {} : { Name: name }),
    ...(node === undefined ? {} : { Node: node }),
    ...(options.ttl === undefined ? {} : { TTL: formatGoDuration(options.ttl) }),
    ...(options.lockDelay === undefined ? {} : { LockDelay: formatGoDuration(options.lockDelay) }),
    ...(behavior === undefined ? {} : { Behavior: behavior }),
    ...(checks === undefined ? {} : { Checks: checks }),
  }
}

function renewCommand(io: CliIo): Command {
  return clientCommand('renew', 'Renew a session: its TTL begins again.', [
    'constellation session renew 5afd5d9f-7eac-4577-8801-3913de5b7a48',
  ])
    .argument('<id>', 'id of the session', nonEmpty)
    .option('--json', 'print the answer of the API')
    .action(async (id: string, options: ClientOptions) => {
      const api = await connect(options, io)
      const response = await api.send(`/v1/session/renew/${encodeURIComponent(id)}`, { method: 'PUT' })
      if (response.status === 404) throw noSuchSession(id)
      if (response.status !== 200) throw api.refusal(response)
      if (options.json === true) return printBody(io, response.body)
      const [session] = records(api.parse(response.body))
      io.stdout.write(`renewed: ${printable(id)}, TTL ${printable(cell(session?.TTL))}\n`)
    })
}

function destroyCommand(io: CliIo): Command {
  return clientCommand('destroy', 'End a session. Its keys are released, or deleted if it was made so.', [
    'constellation session destroy 5afd5d9f-7eac-4577-8801-3913de5b7a48',
  ])
    .argument('<id>', 'id of the session; one that is gone already is no error', nonEmpty)
    .option('--json', 'print the answer of the API')
    .action(async (id: string, options: ClientOptions) => {
      const api = await connect(options, io)
      const body = await api.expect(`/v1/session/destroy/${encodeURIComponent(id)}`, { method: 'PUT' })
      if (options.json === true) return printBody(io, body)
      io.stdout.write(`destroyed: ${printable(id)}\n`)
    })
}

function infoCommand(io: CliIo): Command {
  return clientCommand('info', 'Show one session.', [
    'constellation session info 5afd5d9f-7eac-4577-8801-3913de5b7a48',
    'constellation session info --json 5afd5d9f-7eac-4577-8801-3913de5b7a48',
  ])
    .argument('<id>', 'id of the session', nonEmpty)
    .option('--json', 'print the answer of the API: an array of one')
    .action(async (id: string, options: ClientOptions) => {
      const api = await connect(options, io)
      const body = await api.expect(`/v1/session/info/${encodeURIComponent(id)}`)
      const sessions = records(api.parse(body))
      if (sessions.length === 0) throw noSuchSession(id)
      if (options.json === true) return printBody(io, body)
      io.stdout.write(renderTable(HEADERS, sessions.map(sessionRow), 'no sessions'))
    })
}

function sessionRow(session: Fields): string[] {
  return [
    session.ID,
    session.Name,
    session.Node,
    session.TTL,
    session.Behavior,
    delayText(session.LockDelay),
    checksText(session),
  ].map(cell)
}

/** The API answers nanoseconds. */
function delayText(value: unknown): unknown {
  return typeof value === 'number' ? formatGoDuration(value / NANOSECONDS_PER_MS) : value
}

function checksText({ NodeChecks, ServiceChecks }: Fields): string {
  const nodeChecks = Array.isArray(NodeChecks) ? NodeChecks.map(cell) : []
  return [...nodeChecks, ...records(ServiceChecks).map(({ ID }) => cell(ID))].join(',')
}

function noSuchSession(id: string): CliError {
  return new CliError('CLI_FAILED', `no such session: ${printable(id)}; it may have ended`)
}
