import type { Command } from 'commander'
import { FILE_BYTES_MAX, readDefinitions } from '../../../providers/files/documents.ts'
import { type ApiClient, encodeKey } from '../api-client.ts'
import { type ClientOptions, clientCommand, connect, type Fields } from '../client-command.ts'
import { CliError } from '../errors.ts'
import { inputName, readInput, utf8Text } from '../input.ts'
import type { CliIo } from '../io.ts'
import { printable } from '../table.ts'
import { type DefinitionFlags, definitionFromFlags, withDefinitionFlags } from './definition-flags.ts'

const JSON_HELP = 'print what was done as JSON'

interface RegisterOptions extends ClientOptions, DefinitionFlags {
  readonly replaceExistingChecks?: boolean
}

/** `constellation services register`: of one service by flags, or of all in files. */
export function registerCommand(io: CliIo): Command {
  const command = clientCommand(
    'register',
    'Register services with the agent that is asked, or replace them: one by flags, or all in files, YAML or JSON in the ' +
      'fields of the API, alone, in a list, or below `service` or `services`. They stay until they are deregistered, over restarts.',
    [
      'constellation services register --name web --port 8080 --check-http http://127.0.0.1:8080/health --interval 5s',
      "constellation services register --name web --id web-2 --port 8081 --tag traefik.enable=true --tag 'traefik.http.routers.web.rule=Host(`web.example.com`)'",
      'constellation services register web.yaml db.json',
      'constellation services register - < web.json',
    ],
  )
    .argument('[file...]', 'files to read; - for standard input')
    .option('--replace-existing-checks', 'remove the checks of the service that are not given again')
    .option('--json', JSON_HELP)
  return withDefinitionFlags(command).action(async (files: readonly string[]) => {
    const options = command.optsWithGlobals() as RegisterOptions
    const given = definitionFromFlags(options)
    if (given !== null && files.length > 0) {
      throw new CliError('CLI_USAGE', 'a service is described by flags or by files, not by both')
    }
    if (given === null && files.length === 0) {
      throw new CliError('CLI_USAGE', 'name a file, or describe a service with --name and other flags')
    }
    const sources = given === null ? await fromFiles(files, io) : [{ what: 'the service', definition: given }]
    const api = await connect(options, io)
    const done: string[] = []
    try {
      for (const { what, definition } of sources) done.push(await register(api, what, definition, options))
    } finally {
      // Those before one that was refused are registered, and whoever asked must know.
      print(io, options, 'registered', done)
    }
  })
}

/** `constellation services deregister`. */
export function deregisterCommand(io: CliIo): Command {
  const command: Command = clientCommand(
    'deregister',
    'Remove a service and its checks from the agent it is registered with, by its id.',
    [
      'constellation services deregister web',
      'constellation services deregister web-2 --http-addr 10.0.0.2:8500',
    ],
  )
    .argument('<id>', 'id of the service; see the column ID of `constellation services`')
    .option('--json', JSON_HELP)
  return command.action(async (id: string) => {
    const options = command.optsWithGlobals() as ClientOptions
    if (id === '') throw new CliError('CLI_USAGE', 'the id must not be empty')
    const api = await connect(options, io)
    await api.expect(`/v1/agent/service/deregister/${encodeKey(id)}`, { method: 'PUT' })
    print(io, options, 'deregistered', [id])
  })
}

interface Source {
  /** How messages name it. */
  readonly what: string
  readonly definition: Fields
}

/** All of them, so that a mistake in the last file registers nothing of the first. */
async function fromFiles(files: readonly string[], io: CliIo): Promise<readonly Source[]> {
  const sources: Source[] = []
  for (const file of files) {
    const name = inputName(file)
    const text = utf8Text(await readInput(file, io, FILE_BYTES_MAX), file)
    try {
      sources.push(...readDefinitions(text).map((definition) => ({ what: name, definition })))
    } catch (error) {
      throw new CliError('CLI_FAILED', `${name}: ${(error as Error).message}`, { cause: error })
    }
  }
  for (const { what, definition } of sources) {
    if (Object.keys(definition).some((field) => field.toLowerCase() === 'labels')) {
      throw new CliError('CLI_FAILED', `${what}: labels are read from watched files only; write them as tags`)
    }
  }
  return sources
}

async function register(
  api: ApiClient,
  what: string,
  definition: Fields,
  { replaceExistingChecks }: RegisterOptions,
): Promise<string> {
  const query = replaceExistingChecks === true ? '?replace-existing-checks' : ''
  const response = await api.send(`/v1/agent/service/register${query}`, {
    method: 'PUT',
    body: Buffer.from(JSON.stringify(definition)),
  })
  const id = textField(definition, 'id') || textField(definition, 'name') || 'no name'
  if (response.status !== 200) {
    const refusal = api.refusal(response)
    throw new CliError('CLI_FAILED', `${what}, ${printable(id)}: ${refusal.message}`, { cause: refusal })
  }
  return id
}

function textField(definition: Fields, name: string): string {
  const [, value] = Object.entries(definition).find(([field]) => field.toLowerCase() === name) ?? []
  return typeof value === 'string' ? value : ''
}

function print(
  io: CliIo,
  { json }: ClientOptions,
  verb: 'registered' | 'deregistered',
  ids: readonly string[],
): void {
  if (json === true) io.stdout.write(`${JSON.stringify({ [verb]: ids })}\n`)
  else for (const id of ids) io.stdout.write(`${verb}: ${printable(id)}\n`)
}
