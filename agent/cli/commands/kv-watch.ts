import type { Command } from 'commander'
import { nonEmpty } from '../argument-values.ts'
import { type ClientOptions, clientCommand, connect } from '../client-command.ts'
import { CliError } from '../errors.ts'
import type { CliIo } from '../io.ts'

/** `constellation kv watch`: what happens to keys, as it happens. */
export function watchCommand(io: CliIo): Command {
  return clientCommand(
    'watch',
    'Follow the keys that begin with a prefix until Ctrl-C: one line for each key there is, then one for each change. ' +
      'With a command, run it for each batch of changes instead.',
    [
      'constellation kv watch app/',
      'constellation kv watch --json --key app/config',
      'constellation kv watch app/ -- ./reload.sh      # gets the changes as lines of JSON on standard input',
    ],
  )
    .argument('[prefix]', "beginning of the keys; '' follows all of them")
    .argument('[command...]', 'program and arguments to run, after --')
    .option('--key <key>', 'follow this key alone instead of a prefix', nonEmpty)
    .option('--json', 'print each change as one line of JSON: Event, and the entry as the API answers it')
    .addHelpText(
      'after',
      '\nA connection that breaks is made again to the same agent, and goes on where it ended. The command is run at the\n' +
        'start if there are keys, then when a value, its flags or its lock changed; changes within 0.1 s, or while it\n' +
        'runs, are one batch. It never runs twice at a time. Ctrl-C and SIGTERM end the watch with 0.',
    )
    .action(
      async (
        prefix: string | undefined,
        command: readonly string[],
        options: ClientOptions & { readonly key?: string },
      ) => {
        const { key } = options
        if (prefix === undefined && key === undefined) {
          throw new CliError('CLI_USAGE', "say which keys: a prefix ('' for all of them) or --key KEY")
        }
        const { watchKeys } = await import('../watch/watch-keys.ts')
        await watchKeys(
          {
            prefix: key ?? prefix ?? '',
            only: key ?? null,
            // With --key there is no prefix to tell from the command.
            command: key === undefined || prefix === undefined ? command : [prefix, ...command],
            json: options.json === true,
          },
          { api: await connect(options, io), io },
        )
      },
    )
}
