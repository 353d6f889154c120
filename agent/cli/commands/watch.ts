import { type Command, Option } from 'commander'
import { nonEmpty, repeated } from '../argument-values.ts'
import { type ClientOptions, clientCommand, connect } from '../client-command.ts'
import type { CliIo } from '../io.ts'
import { WATCH_TYPES, type WatchFilters, type WatchType, watchQuery } from '../watch/queries.ts'

const STATES = ['any', 'passing', 'warning', 'critical']

/** `constellation watch`: follows what a blocking query answers, as `consul watch` does. */
export function watchCommand(io: CliIo): Command {
  return clientCommand(
    'watch',
    'Follow a key, a service, nodes, checks or user events until Ctrl-C: one line of JSON for what there is, then one each ' +
      'time it changed. With a command, run it with that line on standard input instead.',
    [
      'constellation watch --type service --service web --passing-only',
      'constellation watch --type key --key app/config -- ./reload.sh',
      'constellation watch --type nodes | jq --unbuffered -r \'map(.Node) | join(" ")\'',
      'constellation watch --type event --name deploy --new-only -- ./deploy.sh',
    ],
  )
    .argument('[command...]', 'program and arguments to run, after --')
    .addOption(new Option('--type <type>', 'what to follow').choices([...WATCH_TYPES]).makeOptionMandatory())
    .option('--key <key>', 'key: the entry, or null while there is none', nonEmpty)
    .option('--prefix <prefix>', "keyprefix: the entries that begin so; '' for all")
    .option(
      '--service <name>',
      'service: its instances with their checks; checks: those of its instances',
      nonEmpty,
    )
    .option('--tag <tag>', 'service: only instances with this tag; may be repeated', repeated)
    .option('--passing-only', 'service: only instances whose checks all pass')
    .addOption(new Option('--state <state>', 'checks: only those in this state').choices(STATES))
    .option('--name <name>', 'event: only those of this name', nonEmpty)
    .option('--new-only', 'event: not those that are remembered at the start')
    .option('--filter <expression>', 'services, nodes, service, checks: as ?filter of the API', nonEmpty)
    .addHelpText(
      'after',
      '\nThe JSON is that of the API: /v1/kv, /v1/catalog/services, /v1/catalog/nodes, /v1/health/service, /v1/health/checks,\n' +
        '/v1/health/state and /v1/event/list. Indexes alone are no change. Of events, only those that were not told yet.\n' +
        'An agent that is away is asked again, after up to 10 s, and so is one that cannot answer; what changed meanwhile is\n' +
        'told as one change. The command never runs twice at a time: what changes while it runs, or within 0.1 s, is told at\n' +
        'once. It finds the index in CONSUL_INDEX. Ctrl-C and SIGTERM end the watch with 0.',
    )
    .action(
      async (
        command: readonly string[],
        options: ClientOptions & WatchFilters & { readonly type: WatchType },
      ) => {
        const { watchWith } = await import('../watch/watch-query.ts')
        const { type, httpAddr: _, ...filters } = options
        const query = watchQuery(type, filters)
        await watchWith(query, command, { api: await connect(options, io), io })
      },
    )
}
