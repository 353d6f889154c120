import type { Command } from 'commander'
import { type ClientOptions, clientCommand, connect } from '../client-command.ts'
import { inputName, readInput, utf8Text } from '../input.ts'
import type { CliIo } from '../io.ts'
import { printable } from '../table.ts'

const PROGRESS_EVERY_MS = 2000
/** How many keys a message names. */
const NAMES_MAX = 5

/** `constellation kv export`: all keys below a prefix as JSON. */
export function exportCommand(io: CliIo): Command {
  return clientCommand(
    'export',
    'Print all keys below a prefix as a JSON array of {"key","flags","value"}, the value in base64. ' +
      'The format of `consul kv export`. Locks are not part of it.',
    [
      'constellation kv export > keys.json',
      'constellation kv export app/ > app.json',
      'constellation kv export --http-addr 10.0.0.2:8500 | constellation kv import -',
    ],
  )
    .argument('[prefix]', 'beginning of the keys', '')
    .addHelpText(
      'after',
      '\nKeys below constellation/lease/, constellation/claim/ and constellation/cordon/, and constellation/autopilot, belong to\n' +
        'the cluster and are left out, and so are keys with a TTL. Keys that are not UTF-8 cannot be written as JSON: they are named and left\n' +
        'out, and the exit code is 1 (`snapshot save` keeps them).',
    )
    .action(async (prefix: string, options: ClientOptions) => {
      const { exportEntries } = await import('../transfer/export.ts')
      const { renderEntry } = await import('../transfer/entries.ts')
      const { entries, ofCluster, unnameable, withTtl } = await exportEntries(
        await connect(options, io),
        prefix,
      )
      for (const [i, entry] of entries.entries())
        io.stdout.write(`${i === 0 ? '[' : ','}\n${renderEntry(entry)}`)
      io.stdout.write(entries.length === 0 ? '[]\n' : '\n]\n')
      if (ofCluster > 0)
        io.stderr.write(`left out: ${ofCluster} keys that the agents keep about this cluster\n`)
      if (withTtl > 0) io.stderr.write(`left out: ${withTtl} keys that go by themselves (TTL)\n`)
      if (unnameable.length === 0) return
      const names = unnameable.slice(0, NAMES_MAX).map(printable).join(', ')
      const more = unnameable.length > NAMES_MAX ? ', …' : ''
      io.stderr.write(
        `constellation: left out: ${unnameable.length} keys that are not UTF-8 (${names}${more}); \`constellation snapshot save\` keeps them\n`,
      )
      io.exitCode = 1
    })
}

/** `constellation kv import`: the way back. */
export function importCommand(io: CliIo): Command {
  return clientCommand(
    'import',
    'Write the keys of a file that `kv export` or `consul kv export` made. The whole file is checked before the first ' +
      'write. Keys that are not in the file stay.',
    [
      'constellation kv import keys.json',
      'constellation kv import --prefix copy/ app.json      # app/x becomes copy/app/x',
      'consul kv export | constellation kv import -',
    ],
  )
    .argument('<file>', 'FILE or @FILE; - reads standard input')
    .option('--prefix <text>', 'put this before each key as it is', '')
    .option('--json', 'print how many keys were written as JSON')
    .addHelpText(
      'after',
      '\nEach key is one write; others see them one after the other. An import that stopped half way says how many keys are\n' +
        'written; run it again. `constellation txn` writes several keys at once.',
    )
    .action(async (file: string, options: ClientOptions & { prefix: string }) => {
      const { isOfCluster, parseEntries } = await import('../transfer/entries.ts')
      const { importEntries } = await import('../transfer/import.ts')
      const { ProgressLines } = await import('../transfer/progress.ts')
      const read = parseEntries(utf8Text(await readInput(file, io), file), inputName(file))
      const named = read.map((entry) => ({ ...entry, key: `${options.prefix}${entry.key}` }))
      const entries = named.filter(({ key }) => !isOfCluster(key))
      const leftOut = named.length - entries.length
      const progress = new ProgressLines({
        everyMs: PROGRESS_EVERY_MS,
        now: () => performance.now(),
        print: (line) => io.stderr.write(`${line}\n`),
      })
      await importEntries(await connect(options, io), entries, (written) =>
        progress.at(`${written} of ${entries.length} keys written`),
      )
      if (leftOut > 0) io.stderr.write(`left out: ${leftOut} keys that belong to the agents of a cluster\n`)
      io.stdout.write(
        options.json === true
          ? `${JSON.stringify({ written: entries.length, leftOut })}\n`
          : `imported: ${entries.length} keys\n`,
      )
    })
}
