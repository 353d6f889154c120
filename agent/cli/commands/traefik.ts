import { Command } from 'commander'
import {
  type ClientOptions,
  clientCommand,
  connect,
  examplesText,
  printBody,
  record,
} from '../client-command.ts'
import { CliError } from '../errors.ts'
import { readInput, utf8Text } from '../input.ts'
import type { CliIo } from '../io.ts'
import { printable } from '../table.ts'

const FILE_BYTES_MAX = 16 * 1024 * 1024

/** `constellation traefik`: the document Traefik's HTTP provider polls, and what is to be said about it. */
export function traefikCommand(io: CliIo): Command {
  return new Command('traefik')
    .description('The document Traefik polls: show it, explain what is in it and what is not, check files.')
    .addHelpText(
      'after',
      examplesText([
        'constellation traefik show',
        'constellation traefik explain web',
        'constellation traefik check dynamic.yaml --traefik 3.4',
      ]),
    )
    .addCommand(showCommand(io), { isDefault: true })
    .addCommand(explainCommand(io))
    .addCommand(checkCommand(io))
}

interface ShowOptions extends ClientOptions {
  readonly local?: string
}

function showCommand(io: CliIo): Command {
  return clientCommand('show', 'Print the document Traefik polls from this agent.', [
    'constellation traefik show',
    'constellation traefik show --local n1',
    "constellation traefik show --json | jq '.http.routers'",
  ])
    .option('--json', 'print the bytes Traefik gets instead of an indented copy')
    .option('--local <node>', 'as a Traefik gets it that says that it runs on this node')
    .action(async (options: ShowOptions) => {
      const api = await connect(options, io)
      const query = options.local === undefined ? '' : `?local=${encodeURIComponent(options.local)}`
      const body = await api.expect(`/api/v1/traefik${query}`)
      if (options.json === true) return printBody(io, body)
      io.stdout.write(`${JSON.stringify(api.parse(body), null, 2)}\n`)
    })
}

function explainCommand(io: CliIo): Command {
  return clientCommand(
    'explain',
    'Say what is not in the document and why; of a service, what became of each label.',
    [
      'constellation traefik explain',
      'constellation traefik explain web',
      "constellation traefik explain web --json | jq '.instances[].labels'",
    ],
  )
    .argument('[service]', 'name of a service')
    .option('--json', 'print the answer of the API')
    .action(async (service: string | undefined, options: ClientOptions) => {
      const api = await connect(options, io)
      const query = service === undefined ? '' : `?service=${encodeURIComponent(service)}`
      const body = await api.expect(`/api/v1/traefik/explain${query}`)
      if (options.json === true) return printBody(io, body)
      const answer = record(api.parse(body))
      if (Array.isArray(answer.instances) && answer.instances.length === 0) {
        throw new CliError(
          'CLI_FAILED',
          `no instance of a service ${printable(JSON.stringify(service))} is known`,
        )
      }
      const { explainText } = await import('../traefik/explain-text.ts')
      io.stdout.write(explainText(answer))
    })
}

interface CheckOptions {
  readonly traefik: string
  readonly json?: boolean
}

function checkCommand(io: CliIo): Command {
  return new Command('check')
    .description('Check a dynamic configuration as Traefik reads it; needs no agent.')
    .argument('<file>', 'YAML or JSON; - = standard input')
    .option('--traefik <release>', 'the Traefik that is to read it', '3.0')
    .option('--json', 'print the findings as JSON')
    .addHelpText(
      'after',
      examplesText([
        'constellation traefik check dynamic.yaml',
        'constellation traefik check dynamic.yaml --traefik 3.4',
      ]),
    )
    .action(async (file: string, options: CheckOptions) => {
      if (!/^3\.[0-9]{1,3}$/.test(options.traefik)) {
        throw new CliError(
          'CLI_USAGE',
          `--traefik: ${printable(options.traefik)} is not a release such as 3.4`,
        )
      }
      const text = utf8Text(await readInput(file, io, FILE_BYTES_MAX), file)
      const { checkFile } = await import('../traefik/check-file.ts')
      const findings = checkFile(text, options.traefik)
      const errors = findings.filter(({ level }) => level === 'error').length
      if (options.json === true) io.stdout.write(`${JSON.stringify(findings)}\n`)
      else {
        for (const { level, at, message } of findings) {
          io.stdout.write(`${level}: ${printable(at)}: ${printable(message)}\n`)
        }
      }
      if (errors > 0)
        throw new CliError(
          'CLI_FAILED',
          `${printable(file)}: ${errors} of ${findings.length} findings are errors`,
        )
      if (options.json !== true) io.stdout.write(`ok: ${printable(file)}\n`)
    })
}
