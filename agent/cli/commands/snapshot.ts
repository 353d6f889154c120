import { readFile, stat } from 'node:fs/promises'
import { Command } from 'commander'
import type { Archive } from '../../snapshot/archive.ts'
import { type ClientOptions, clientCommand, connect, examplesText } from '../client-command.ts'
import { CliError } from '../errors.ts'
import type { CliIo } from '../io.ts'
import { cell, printable } from '../table.ts'

/** Long enough for a large store on a slow disk. */
const TRANSFER_TIMEOUT_MS = 300_000

/** `constellation snapshot`: backups of all keys. */
export function snapshotCommand(io: CliIo): Command {
  return new Command('snapshot')
    .description('Save all keys to a file, look into it, and put them back.')
    .addCommand(saveCommand(io))
    .addCommand(restoreCommand(io))
    .addCommand(inspectCommand(io))
    .addHelpText(
      'after',
      examplesText(['constellation snapshot save keys.tgz', 'constellation snapshot restore keys.tgz']),
    )
}

function saveCommand(io: CliIo): Command {
  return clientCommand('save', 'Save all keys, values and flags of this moment to a file.', [
    'constellation snapshot save keys.tgz',
    'constellation snapshot save --force /var/backups/keys.tgz',
    'constellation snapshot save --stale keys.tgz      # what the node has, also without a leader',
  ])
    .argument('<file>', 'file to write, readable by its owner only')
    .option('--force', 'replace the file if it exists')
    .option('--stale', 'do not ask the leader; the keys may be out of date')
    .option('--json', 'print what the snapshot holds as JSON')
    .action(async (file: string, options: ClientOptions & { force?: boolean; stale?: boolean }) => {
      const { exists, writeDurably } = await import('../../snapshot/durable-file.ts')
      const refuseToReplace = async () => {
        if (options.force !== true && (await onDisk(() => exists(file), 'write', file))) {
          throw new CliError('CLI_FAILED', `${file} exists; --force replaces it`)
        }
      }
      await refuseToReplace()
      const { readArchive, ARCHIVE_BYTES_MAX } = await import('../../snapshot/archive.ts')
      const api = await connect(options, io)
      const body = await api.expect(`/v1/snapshot${options.stale === true ? '?stale' : ''}`, {
        timeoutMs: TRANSFER_TIMEOUT_MS,
        bodyBytesMax: ARCHIVE_BYTES_MAX,
      })
      // What cannot be read back is no backup.
      const archive = await readArchive(body)
      await refuseToReplace()
      await onDisk(() => writeDurably(file, oneChunk(body)), 'write', file)
      report(io, options, archive, `saved: ${printable(file)}`, body.length)
    })
}

function restoreCommand(io: CliIo): Command {
  return clientCommand('restore', 'Replace all keys of the cluster by those of a file, at once.', [
    'constellation snapshot restore keys.tgz',
    'constellation snapshot restore --http-addr 10.0.0.2:8500 keys.tgz',
  ])
    .argument('<file>', 'file that `snapshot save` or the schedule wrote')
    .option('--json', 'print what the snapshot holds as JSON')
    .addHelpText(
      'after',
      '\nKeys that are not in the file are deleted. Sessions and locks stay as they are: a locked key keeps its\nholder. Keys below constellation/lease/ are left alone.',
    )
    .action(async (file: string, options: ClientOptions) => {
      const { archive, bytes } = await readFileChecked(file)
      const api = await connect(options, io)
      await api.expect('/v1/snapshot', { method: 'PUT', body: bytes, timeoutMs: TRANSFER_TIMEOUT_MS })
      report(io, options, archive, `restored: ${printable(file)}`, bytes.length)
    })
}

function inspectCommand(io: CliIo): Command {
  return new Command('inspect')
    .description('Check a snapshot file and print what it holds. Asks no agent.')
    .argument('<file>', 'file that `snapshot save` or the schedule wrote')
    .option('--json', 'print it as JSON')
    .addHelpText(
      'after',
      examplesText([
        'constellation snapshot inspect keys.tgz',
        'constellation snapshot inspect --json keys.tgz | jq .keys',
      ]),
    )
    .action(async (file: string, options: { json?: boolean }) => {
      const { archive, bytes } = await readFileChecked(file)
      report(io, options, archive, null, bytes.length)
    })
}

async function readFileChecked(file: string): Promise<{ archive: Archive; bytes: Buffer }> {
  const { readArchive, ARCHIVE_BYTES_MAX } = await import('../../snapshot/archive.ts')
  const { ArchiveError } = await import('../../snapshot/errors.ts')
  const bytes = await onDisk(
    async () => {
      const { size } = await stat(file)
      if (size > ARCHIVE_BYTES_MAX) throw new Error(`it is larger than ${ARCHIVE_BYTES_MAX} bytes`)
      return readFile(file)
    },
    'read',
    file,
  )
  try {
    return { archive: await readArchive(bytes), bytes }
  } catch (error) {
    if (!(error instanceof ArchiveError)) throw error
    throw new CliError('CLI_FAILED', `${printable(file)}: ${error.message}`, { cause: error })
  }
}

/** Work on a file; what the file system says becomes one line. */
async function onDisk<T>(work: () => Promise<T>, verb: 'read' | 'write', file: string): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    throw new CliError('CLI_FAILED', `cannot ${verb} ${printable(file)}: ${(cause as Error).message}`, {
      cause,
    })
  }
}

async function* oneChunk(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

/** Prints what an archive holds, below `sentence` if there is one. It was checked, so its checksums are right. */
function report(
  io: CliIo,
  options: { readonly json?: boolean },
  { meta, stateBytes }: Archive,
  sentence: string | null,
  fileBytes: number,
): void {
  const { index, term, created, cluster, clusterId, node, keys } = meta
  const fields = {
    index,
    term,
    created,
    cluster,
    clusterId,
    node,
    keys,
    bytes: stateBytes,
    fileBytes,
    checksum: 'ok',
  }
  if (options.json === true) {
    io.stdout.write(`${JSON.stringify(fields)}\n`)
    return
  }
  if (sentence !== null) io.stdout.write(`${sentence}\n`)
  const labels: Readonly<Record<string, string>> = { clusterId: 'cluster id', fileBytes: 'file bytes' }
  for (const [name, value] of Object.entries(fields)) {
    io.stdout.write(`${`${labels[name] ?? name}:`.padEnd(12)}${printable(cell(value))}\n`)
  }
}
