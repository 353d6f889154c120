import { Command } from 'commander'
import type { ApiClient } from './api-client.ts'
import type { CliIo } from './io.ts'

const DEFAULT_ADDRESS = '127.0.0.1:8500'

/** Options every command has that talks to a running agent. */
export interface ClientOptions {
  readonly httpAddr?: string
  readonly json?: boolean
}

/** A command with `--http-addr` and examples in its help. */
export function clientCommand(name: string, description: string, examples: readonly string[]): Command {
  return new Command(name)
    .description(description)
    .option(
      '--http-addr <address>',
      `agent to ask, HOST:PORT or URL (env CONSTELLATION_HTTP_ADDR, default ${DEFAULT_ADDRESS})`,
    )
    .addHelpText('after', examplesText(examples))
}

/** The section of examples at the end of a command's help. */
export function examplesText(examples: readonly string[]): string {
  return `\nExamples:\n${examples.map((example) => `  $ ${example}`).join('\n')}`
}

/** The client for the agent the operator named. @throws CliError `CLI_USAGE` for an address that is none. */
export async function connect(options: ClientOptions, io: CliIo): Promise<ApiClient> {
  const { ApiClient } = await import('./api-client.ts')
  if (options.httpAddr !== undefined) return new ApiClient(options.httpAddr, '--http-addr')
  const fromEnv = io.env.CONSTELLATION_HTTP_ADDR
  if (fromEnv !== undefined && fromEnv !== '') return new ApiClient(fromEnv, 'CONSTELLATION_HTTP_ADDR')
  return new ApiClient(DEFAULT_ADDRESS, '--http-addr')
}

/** Prints an answer as it came, with a newline at its end. */
export function printBody(io: CliIo, body: Uint8Array): void {
  io.stdout.write(body)
  if (body.at(-1) !== 0x0a) io.stdout.write('\n')
}

/** A JSON object of an answer. */
export type Fields = Readonly<Record<string, unknown>>

/** The elements of a JSON array as records; anything else in it reads as an empty record. */
export function records(value: unknown): readonly Fields[] {
  return Array.isArray(value) ? value.map((each) => record(each)) : []
}

/** A JSON object as a record; an empty one for anything else. */
export function record(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}
