import type { Command } from 'commander'
import type { ApiClient } from '../api-client.ts'
import {
  type ClientOptions,
  clientCommand,
  connect,
  type Fields,
  printBody,
  record,
  records,
} from '../client-command.ts'
import { CliError } from '../errors.ts'
import { parseExact } from '../exact-json.ts'
import { inputName, readInput, utf8Text } from '../input.ts'
import type { CliIo } from '../io.ts'
import { cell, printable, renderTable } from '../table.ts'

/** `constellation txn`: several operations at once, all or none. */
export function txnCommand(io: CliIo): Command {
  return clientCommand(
    'txn',
    'Do several operations on keys at once, all of them or none. The file is a JSON array as PUT /v1/txn takes it: ' +
      '[{"KV":{"Verb":"set","Key":"a","Value":"<base64>"}}, …].',
    [
      'constellation txn move.json',
      `echo '[{"KV":{"Verb":"delete-tree","Key":"old/"}}]' | constellation txn -`,
      "constellation txn --json reads.json | jq '.Results[].KV.Value'",
    ],
  )
    .argument('<file>', 'FILE or @FILE; - reads standard input')
    .option('--json', 'print the answer of the API')
    .addHelpText(
      'after',
      '\nVerbs: set, cas, lock, unlock, get, get-or-empty, get-tree, check-index, check-session, check-not-exists,\n' +
        'delete, delete-tree, delete-cas. If an operation fails, nothing is written, each failed one is named by its number\n' +
        'in the file, from 1, and the exit code is 1.',
    )
    .action(async (file: string, options: ClientOptions) => {
      const bytes = await readInput(file, io)
      const operations = parseOperations(utf8Text(bytes, file), inputName(file))
      const api = await connect(options, io)
      // As the file says it: numbers keep their digits, and what this program does not know the agent may.
      const response = await api.send('/v1/txn', { method: 'PUT', body: bytes })
      if (response.status !== 200 && response.status !== 409) throw api.refusal(response)
      if (options.json === true) printBody(io, response.body)
      const answer = parseAnswer(api, response.body)
      if (response.status === 409) return reportFailures(io, operations, records(answer.Errors))
      if (options.json === true) return
      const rows = records(answer.Results).map((result) => resultRow(record(result.KV)))
      io.stdout.write(renderTable(['KEY', 'INDEX', 'FLAGS', 'SESSION', 'VALUE'], rows, 'done; no results'))
    })
}

function parseOperations(text: string, source: string): readonly unknown[] {
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch (cause) {
    throw new CliError('CLI_FAILED', `${source} is not JSON: ${(cause as Error).message}`, { cause })
  }
  if (!Array.isArray(parsed)) throw new CliError('CLI_FAILED', `${source} is not a JSON array of operations`)
  return parsed
}

function parseAnswer(api: ApiClient, body: Buffer): Fields {
  try {
    return record(parseExact(body.toString('utf8')))
  } catch {
    return record(api.parse(body))
  }
}

/** @throws CliError after a line for each operation that failed. */
function reportFailures(io: CliIo, operations: readonly unknown[], errors: readonly Fields[]): never {
  for (const { OpIndex: index, What: what } of errors) {
    const number = typeof index === 'number' ? index + 1 : cell(index)
    const operation = typeof index === 'number' ? operations[index] : undefined
    io.stderr.write(
      `operation ${number} of ${operations.length}${nameOf(operation)}: ${printable(cell(what))}\n`,
    )
  }
  throw new CliError(
    'CLI_FAILED',
    `nothing was written: ${errors.length} of ${operations.length} operations failed`,
  )
}

/** ` (set app/a)`, if the file says so in the usual spelling. */
function nameOf(operation: unknown): string {
  const { Verb, Key } = record(record(operation).KV)
  return typeof Verb === 'string' && typeof Key === 'string' ? ` (${printable(`${Verb} ${Key}`)})` : ''
}

function resultRow({ Key, ModifyIndex, Flags, Session, Value }: Fields): string[] {
  return [Key, ModifyIndex, Flags, Session, typeof Value === 'string' ? valueText(Value) : null].map(cell)
}

/** The value if it is short text, else its size. */
function valueText(base64: string): string {
  const bytes = Buffer.from(base64, 'base64')
  if (bytes.length <= 60) {
    try {
      return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    } catch {
      // Not text: its size says more than its bytes.
    }
  }
  return `(${bytes.length} bytes)`
}
