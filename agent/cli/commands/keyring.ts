import { open } from 'node:fs/promises'
import { Command } from 'commander'
import {
  type ClientOptions,
  clientCommand,
  connect,
  examplesText,
  printBody,
  record,
  records,
} from '../client-command.ts'
import { CliError } from '../errors.ts'
import { readInput } from '../input.ts'
import type { CliIo } from '../io.ts'
import { cell, printable, renderTable } from '../table.ts'

/** Longer than the agent waits for all nodes, so that its own words arrive. */
const ORDER_TIMEOUT_MS = 60_000
const KEY_BYTES_MAX = 4096
const FINGERPRINT = /^[0-9a-f]{8,16}$/

interface InstallOptions extends ClientOptions {
  readonly generate?: boolean
  readonly force?: boolean
}

interface NamedOptions extends ClientOptions {
  readonly keyFile?: string
  readonly force?: boolean
}

/** `constellation keyring`: change the cluster key while everything runs. */
export function keyringCommand(io: CliIo): Command {
  return new Command('keyring')
    .description(
      'Change the cluster key while everything runs: install a new key everywhere, use it, remove the old one. ' +
        'Keys are shown as fingerprints and never taken from the command line.',
    )
    .addHelpText(
      'after',
      examplesText([
        'constellation keyring list',
        'constellation keyring install --generate new.key    # makes the file, mode 600',
        'constellation keyring use 1f2e3d4c5b6a7988',
        'constellation keyring remove 8877665544332211',
      ]),
    )
    .addCommand(listCommand(io))
    .addCommand(installCommand(io))
    .addCommand(namedCommand(io, 'use'))
    .addCommand(namedCommand(io, 'remove'))
}

function listCommand(io: CliIo): Command {
  return clientCommand('list', 'Show the fingerprints of the keys, and which node has which.', [
    'constellation keyring list',
    'constellation keyring list --json',
  ])
    .option('--json', 'print the answer of the API')
    .action(async (options: ClientOptions) => {
      const api = await connect(options, io)
      const body = await api.expect('/api/v1/keyring', { timeoutMs: ORDER_TIMEOUT_MS })
      if (options.json === true) return printBody(io, body)
      io.stdout.write(listText(record(api.parse(body))))
    })
}

function listText({ keys, nodes, primary }: Readonly<Record<string, unknown>>): string {
  const all = records(nodes)
  const keyRows = records(keys).map((key) => [
    cell(key.fingerprint),
    key.fingerprint === primary ? 'primary' : '',
    `${cell(key.nodes)}/${all.length}`,
    `${cell(key.primaryOn)}/${all.length}`,
  ])
  const nodeRows = all.map((node) => {
    const [first, ...others] = Array.isArray(node.keys) ? node.keys.map(cell) : []
    const notes = node.source === 'answered' ? '' : `${cell(node.source)}: ${cell(node.problem)}`
    return [cell(node.name), cell(node.status), cell(first), cell(others.join(' ')), notes]
  })
  return `${renderTable(['KEY', 'HERE', 'ON', 'PRIMARY ON'], keyRows, 'no cluster key')}\n${renderTable(['NODE', 'STATUS', 'PRIMARY', 'OTHERS', 'NOTES'], nodeRows, '')}`
}

function installCommand(io: CliIo): Command {
  return clientCommand(
    'install',
    'Give every node one more key. It is accepted from then on; the primary key stays what it is. ' +
      'Ends with 1 if a node has not confirmed it.',
    [
      'constellation keyring install --generate new.key',
      'constellation keyring install /etc/constellation/next.key',
      'ssh vault cat cluster.key | constellation keyring install -',
    ],
  )
    .argument('<file>', 'file with the key, "-" for standard input')
    .option('--generate', 'make a new key and write it to the file first, which must not exist')
    .option('--force', 'also if the key was removed before')
    .option('--json', 'print the answer of the API')
    .action(async (file: string, options: InstallOptions) => {
      const api = await connect(options, io)
      if (options.generate === true) await generateInto(file)
      const key = await readKey(file, io)
      await change(io, api, options, 'install', { key })
    })
}

const NAMED = {
  use: {
    text:
      'Make a key the primary one on every node. Refused while a node has not confirmed the key, one that is down or was ' +
      'stopped included: it could be left out.',
    force: 'also if a node does not have the key; it may be left out',
  },
  remove: {
    text:
      'Take a key away from every node; nobody gets in with it any more. Refused for the primary key, and while a node, one ' +
      'that is down or was stopped included, is not known to have another primary key.',
    force: 'also if a node still needs the key; it cannot come back without the new one',
  },
} as const

function namedCommand(io: CliIo, action: 'use' | 'remove'): Command {
  const { text, force } = NAMED[action]
  return clientCommand(action, text, [
    `constellation keyring ${action} 1f2e3d4c5b6a7988`,
    `constellation keyring ${action} --key-file ${action === 'use' ? 'new' : 'old'}.key`,
  ])
    .argument('[fingerprint]', 'of the key, at least 8 digits of it')
    .option('--key-file <file>', 'name the key by a file that holds it, "-" for standard input')
    .option('--force', force)
    .option('--json', 'print the answer of the API')
    .action(async (fingerprint: string | undefined, options: NamedOptions) => {
      if ((fingerprint === undefined) === (options.keyFile === undefined)) {
        throw new CliError('CLI_USAGE', 'give either the fingerprint of the key or --key-file')
      }
      if (fingerprint !== undefined && !FINGERPRINT.test(fingerprint)) {
        // The text may be a key somebody typed: it is not repeated.
        throw new CliError(
          'CLI_USAGE',
          'a fingerprint is 8 to 16 digits from 0 to f, see "constellation keyring list"; a key itself is given with --key-file',
        )
      }
      const api = await connect(options, io)
      const body =
        fingerprint === undefined ? { key: await readKey(options.keyFile ?? '-', io) } : { fingerprint }
      await change(io, api, options, action, body)
    })
}

async function change(
  io: CliIo,
  api: Awaited<ReturnType<typeof connect>>,
  options: ClientOptions & { readonly force?: boolean },
  action: 'install' | 'use' | 'remove',
  body: Readonly<Record<string, string>>,
): Promise<void> {
  const path = `/api/v1/keyring/${action}${options.force === true ? '?force' : ''}`
  const answer = await api.expect(path, {
    method: 'PUT',
    body: Buffer.from(JSON.stringify(body)),
    timeoutMs: ORDER_TIMEOUT_MS,
  })
  const { fingerprint, done, missing } = record(api.parse(answer))
  const absent = records(missing)
  const count = Array.isArray(done) ? done.length : 0
  if (options.json === true) printBody(io, answer)
  else {
    const verb = { install: 'installed', use: 'primary now', remove: 'removed' }[action]
    io.stdout.write(
      `${verb}: ${printable(cell(fingerprint))} on ${count} of ${count + absent.length} nodes\n`,
    )
  }
  if (absent.length === 0) return
  const names = absent.map(({ name, reason }) => `${cell(name)} (${cell(reason)})`).join(', ')
  throw new CliError(
    'CLI_FAILED',
    printable(`not confirmed by ${names}; they get it when they are back, and the same command asks again`),
  )
}

/** Reads a key for the body of a request. @throws CliError `CLI_FAILED`, without any of the text. */
async function readKey(file: string, io: CliIo): Promise<string> {
  const bytes = await readInput(file, io, KEY_BYTES_MAX)
  const { parseClusterKey } = await import('../../../discovery/mesh/cluster-key.ts')
  try {
    return Buffer.from(parseClusterKey(bytes.subarray(0, KEY_BYTES_MAX).toString('utf8'))).toString('base64')
  } catch (cause) {
    const what = file === '-' ? 'standard input' : printable(file)
    throw new CliError('CLI_FAILED', `${what}: ${(cause as Error).message}`, { cause })
  }
}

async function generateInto(file: string): Promise<void> {
  if (file === '-') throw new CliError('CLI_USAGE', '--generate writes a file: give its name')
  const { generateClusterKey } = await import('../../../discovery/mesh/cluster-key.ts')
  try {
    const handle = await open(file, 'wx', 0o600)
    try {
      await handle.writeFile(`${generateClusterKey()}\n`)
      await handle.sync()
    } finally {
      await handle.close()
    }
  } catch (cause) {
    const exists = (cause as NodeJS.ErrnoException).code === 'EEXIST'
    const why = exists
      ? 'it exists already; without --generate its key is installed'
      : (cause as Error).message
    throw new CliError('CLI_FAILED', `cannot write ${printable(file)}: ${why}`, { cause })
  }
}
