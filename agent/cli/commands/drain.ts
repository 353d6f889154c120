import { setTimeout as delay } from 'node:timers/promises'
import type { Command } from 'commander'
import { type ClientOptions, clientCommand, connect, printBody, record, records } from '../client-command.ts'
import { CliError } from '../errors.ts'
import type { CliIo } from '../io.ts'
import { cell, printable } from '../table.ts'

const ORDER_TIMEOUT_MS = 10_000
const LOOK_MS = 250
const WAIT_SECONDS = 60

/** `constellation drain`: a node gives up what it holds for the cluster, so that it can be stopped. */
export function drainCommand(io: CliIo): Command {
  return clientCommand(
    'drain',
    'Cordon a node that is about to be stopped: no view sends traffic to it, and it gives up its leases. ' +
      'Waits until it holds none and does not lead. Lasts until `uncordon`, over restarts.',
    ['constellation drain n2 && ssh n2 systemctl stop constellation', 'constellation drain n2 --timeout 300'],
  )
    .argument('<node>', 'name or id of the node')
    .option('--timeout <seconds>', 'how long to wait', Number, WAIT_SECONDS)
    .option('--json', 'print the answer of the API at the end')
    .action((node: string, options: ClientOptions & { readonly timeout: number }) => drain(io, node, options))
}

async function drain(
  io: CliIo,
  node: string,
  options: ClientOptions & { readonly timeout: number },
): Promise<void> {
  if (!(options.timeout >= 0)) throw new CliError('CLI_USAGE', '--timeout must be a number of seconds')
  const api = await connect(options, io)
  const path = `/api/v1/nodes/${encodeURIComponent(node)}/drain`
  const order = { method: 'PUT', timeoutMs: ORDER_TIMEOUT_MS } as const
  const { id, name } = record(api.parse(await api.expect(path, order)))
  const who = printable(cell(name))
  if (options.json !== true) io.stdout.write(`draining: ${who}\n`)
  const deadline = performance.now() + options.timeout * 1000
  let told = ''
  for (;;) {
    const rows = records(api.parse(await api.expect('/api/v1/nodes')))
    const held = heldBy(rows.find((row) => row.id === id) ?? {})
    if (held === '') {
      if (options.json === true) return printBody(io, await api.expect(path, order))
      io.stdout.write(`drained: ${who} holds no lease and does not lead; it can be stopped\n`)
      return
    }
    if (performance.now() >= deadline) {
      throw new CliError(
        'CLI_FAILED',
        `${who} still ${held} after ${options.timeout} s: is there another node that can take over?`,
      )
    }
    if (held !== told && options.json !== true) io.stdout.write(`waiting: ${who} ${held}\n`)
    told = held
    await delay(LOOK_MS)
  }
}

/** What a node still holds, as a sentence goes on; "" for nothing. */
function heldBy(row: Readonly<Record<string, unknown>>): string {
  const leases = Array.isArray(row.leases) ? row.leases.map(cell) : []
  const parts = [
    ...(leases.length > 0 ? [`holds ${leases.map(printable).join(', ')}`] : []),
    ...(row.role === 'leader' ? ['leads'] : []),
  ]
  return parts.join(' and ')
}
