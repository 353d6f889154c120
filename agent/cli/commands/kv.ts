import { readFile } from 'node:fs/promises'
import { Command } from 'commander'
import type { ApiClient } from '../api-client.ts'
import { nonEmpty, uint64 } from '../argument-values.ts'
import { type ClientOptions, clientCommand, connect, examplesText, printBody } from '../client-command.ts'
import { CliError } from '../errors.ts'
import { readStdin } from '../input.ts'
import type { CliIo } from '../io.ts'
import { printable } from '../table.ts'
import { exportCommand, importCommand } from './kv-transfer.ts'
import { watchCommand } from './kv-watch.ts'

const STDIN_BYTES_MAX = 64 * 1024 * 1024

/** `constellation kv`: the replicated key-value store. */
export function kvCommand(io: CliIo): Command {
  return new Command('kv')
    .description('Read and write the key-value store.')
    .addCommand(getCommand(io))
    .addCommand(putCommand(io))
    .addCommand(deleteCommand(io))
    .addCommand(listCommand(io))
    .addCommand(watchCommand(io))
    .addCommand(exportCommand(io))
    .addCommand(importCommand(io))
    .addHelpText(
      'after',
      examplesText(['constellation kv put greeting hello', 'constellation kv get greeting']),
    )
}

function getCommand(io: CliIo): Command {
  return clientCommand('get', 'Print the value of a key, byte for byte.', [
    'constellation kv get app/config',
    "constellation kv get --json app/config | jq '.[0].ModifyIndex'",
  ])
    .argument('<key>', 'key to read', nonEmpty)
    .option('--json', 'print the entry as the API answers it: an array of one, the value in base64')
    .action(async (key: string, options: ClientOptions) => {
      const api = await connect(options, io)
      const path = await keyPath(key)
      const response = await api.send(options.json === true ? path : `${path}?raw`)
      if (response.status === 404 && response.body.length === 0) throw noSuchKey(key)
      if (response.status !== 200) throw api.refusal(response)
      if (options.json === true) return printBody(io, response.body)
      io.stdout.write(response.body)
      // A file or a pipe gets the bytes and nothing else; on a terminal the prompt belongs on its own line.
      if (io.stdout.isTTY === true && response.body.at(-1) !== 0x0a) io.stdout.write('\n')
    })
}

function putCommand(io: CliIo): Command {
  return clientCommand('put', 'Write the value of a key.', [
    'constellation kv put app/config on',
    'constellation kv put app/config @config.json',
    'openssl rand 32 | constellation kv put app/seed -',
    'constellation kv put --cas 0 app/config first     # only if the key does not exist',
    'constellation kv put app/offset -- -5             # a value that begins with a dash',
  ])
    .argument('<key>', 'key to write', nonEmpty)
    .argument('<value>', 'the value; @FILE reads it from a file, - from standard input')
    .option(
      '--cas <index>',
      'write only if ModifyIndex of the entry is this; 0 = only if there is none',
      uint64,
    )
    .option('--flags <number>', 'number to keep with the entry', uint64)
    .action(async (key: string, value: string, options: ClientOptions & { cas?: string; flags?: string }) => {
      const api = await connect(options, io)
      const body = await readValue(value, io)
      const query = queryText({ cas: options.cas, flags: options.flags })
      const answer = await api.expect(`${await keyPath(key)}${query}`, { method: 'PUT', body })
      requireTrue(api, answer, key, options.cas)
      io.stdout.write(`written: ${printable(key)}\n`)
    })
}

function deleteCommand(io: CliIo): Command {
  return clientCommand('delete', 'Delete a key, or everything below a prefix.', [
    'constellation kv delete app/config',
    'constellation kv delete --recurse app/',
  ])
    .argument('<key>', 'key, or prefix with --recurse', nonEmpty)
    .option('--recurse', 'delete every key that begins with <key>')
    .option('--cas <index>', 'delete only if ModifyIndex of the entry is this', uint64)
    .action(async (key: string, options: ClientOptions & { cas?: string; recurse?: boolean }) => {
      if (options.recurse === true && options.cas !== undefined) {
        throw new CliError('CLI_USAGE', '--recurse and --cas exclude each other')
      }
      const api = await connect(options, io)
      const query = queryText({ recurse: options.recurse === true ? '' : undefined, cas: options.cas })
      const answer = await api.expect(`${await keyPath(key)}${query}`, { method: 'DELETE' })
      requireTrue(api, answer, key, options.cas)
      io.stdout.write(`deleted: ${printable(key)}\n`)
    })
}

function listCommand(io: CliIo): Command {
  return clientCommand('list', 'List the keys that begin with a prefix, one per line.', [
    'constellation kv list',
    'constellation kv list app/',
    'constellation kv list --json app/',
  ])
    .argument('[prefix]', 'beginning of the keys', '')
    .option('--json', 'print the answer of the API')
    .action(async (prefix: string, options: ClientOptions) => {
      const api = await connect(options, io)
      const response = await api.send(`${await keyPath(prefix)}?keys`)
      const none = response.status === 404 && response.body.length === 0
      if (!none && response.status !== 200) throw api.refusal(response)
      const body = none ? Buffer.from('[]') : response.body
      if (options.json === true) return printBody(io, body)
      const keys = api.parse(body)
      // To standard error, so that a loop over the keys does not take the sentence for one.
      if (!Array.isArray(keys) || keys.length === 0) {
        io.stderr.write(`no keys${prefix === '' ? '' : ` below ${printable(prefix)}`}\n`)
        return
      }
      io.stdout.write(
        keys.map((key) => `${io.stdout.isTTY === true ? printable(String(key)) : key}\n`).join(''),
      )
    })
}

async function keyPath(key: string): Promise<string> {
  const { encodeKey } = await import('../api-client.ts')
  return `/v1/kv/${encodeKey(key)}`
}

function queryText(parameters: Readonly<Record<string, string | undefined>>): string {
  const parts = Object.entries(parameters)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => (value === '' ? name : `${name}=${value}`))
  return parts.length === 0 ? '' : `?${parts.join('&')}`
}

async function readValue(value: string, io: CliIo): Promise<Uint8Array> {
  if (value === '-') return readStdin(io, STDIN_BYTES_MAX)
  if (!value.startsWith('@')) return Buffer.from(value, 'utf8')
  try {
    return await readFile(value.slice(1))
  } catch (cause) {
    const message = `cannot read the value: ${(cause as Error).message} (@ names a file; use - to write a value that begins with @)`
    throw new CliError('CLI_FAILED', message, { cause })
  }
}

/** Consul's API answers 200 with `false` when a compare-and-set lost. */
function requireTrue(api: ApiClient, answer: Buffer, key: string, cas: string | undefined): void {
  if (api.parse(answer) === true) return
  const why =
    cas === undefined
      ? 'the agent refused'
      : cas === '0'
        ? 'the key exists already'
        : `the ModifyIndex of the entry is not ${cas}`
  throw new CliError('CLI_FAILED', `nothing changed at ${printable(key)}: ${why}`)
}

function noSuchKey(key: string): CliError {
  return new CliError('CLI_FAILED', `no such key: ${printable(key)}`)
}
