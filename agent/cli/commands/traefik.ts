import type { Command } from 'commander'
import { type ClientOptions, clientCommand, connect, printBody } from '../client-command.ts'
import type { CliIo } from '../io.ts'

/** `constellation traefik`: the document Traefik's HTTP provider polls. */
export function traefikCommand(io: CliIo): Command {
  return clientCommand('traefik', 'Print the document Traefik polls from this agent.', [
    'constellation traefik',
    "constellation traefik --json | jq '.http.routers'",
  ])
    .option('--json', 'print the bytes Traefik gets instead of an indented copy')
    .action(async (options: ClientOptions) => {
      const api = await connect(options, io)
      const body = await api.expect('/api/v1/traefik')
      if (options.json === true) return printBody(io, body)
      io.stdout.write(`${JSON.stringify(api.parse(body), null, 2)}\n`)
    })
}
