import { type Command, InvalidArgumentError } from 'commander'
import { CLUSTER_EVENT_TYPES, isClusterEventType } from '../../cluster-events/event-types.ts'
import { suggest } from '../../config/suggest.ts'
import { type ClientOptions, clientCommand, connect, record } from '../client-command.ts'
import type { CliIo } from '../io.ts'
import { cell, printable } from '../table.ts'

const RECENT = '20'
/** Fields that every line shows in its own place. */
const PLACED: ReadonlySet<string> = new Set(['time', 'id'])

/** `constellation events`: what happens in the cluster, as it happens. */
export function eventsCommand(io: CliIo): Command {
  return clientCommand(
    'events',
    'Follow what happens to nodes, services, leases and the leader until Ctrl-C, after the latest of what is remembered.',
    [
      'constellation events',
      'constellation events --recent 0 --type node-failed --type service-down',
      'constellation events --json | jq \'select(.event == "lease-moved")\'',
    ],
  )
    .option('--recent <n>', 'begin with so many events that are remembered', RECENT)
    .option('--type <type>', 'only events of this type; repeatable', eventType, [])
    .option('--json', 'print each event as one line of JSON')
    .action((options: ClientOptions & { readonly recent: string; readonly type: readonly string[] }) =>
      followEvents(io, options),
    )
}

/** One more type of event. @throws InvalidArgumentError for one that never comes */
function eventType(value: string, previous: readonly string[]): readonly string[] {
  if (isClusterEventType(value)) return [...previous, value]
  const better = suggest(value, CLUSTER_EVENT_TYPES)
  const hint = better === null ? '' : ` Did you mean ${better}?`
  throw new InvalidArgumentError(
    `There is no such event.${hint} There are ${CLUSTER_EVENT_TYPES.join(', ')}.`,
  )
}

async function followEvents(
  io: CliIo,
  options: ClientOptions & { readonly recent: string; readonly type: readonly string[] },
): Promise<void> {
  const { follow } = await import('../watch/follow.ts')
  const { untilSignal } = await import('../watch/until-signal.ts')
  const api = await connect(options, io)
  const query = new URLSearchParams([
    ['recent', options.recent],
    ...options.type.map((type) => ['type', type]),
  ])
  const note = (line: string): void => void io.stderr.write(`${line}\n`)
  const listener = {
    begin() {},
    note,
    events(events: readonly { readonly type: string; readonly data: string }[]) {
      for (const { type, data } of events) {
        if (type === 'ready') continue
        const fields = record(JSON.parse(data))
        if (type === 'reset') note(printable(cell(fields.reason)))
        else if (options.json === true) io.stdout.write(`${JSON.stringify({ event: type, ...fields })}\n`)
        else io.stdout.write(`${eventLine(type, fields)}\n`)
      }
    },
  }
  await untilSignal(({ signal }) => follow(api, `/api/v1/events?${query}`, listener, signal))
}

/** An event as a line for people: time, what, and what is known of it. */
function eventLine(type: string, fields: Readonly<Record<string, unknown>>): string {
  const details = Object.entries(fields)
    .filter(([name]) => !PLACED.has(name))
    .map(([name, value]) => `${name}=${cell(value)}`)
  return printable([cell(fields.time), type.padEnd(15), ...details].join('  '))
}
