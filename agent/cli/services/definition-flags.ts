import { type Command, InvalidArgumentError } from 'commander'
import { formatGoDuration } from '../../../discovery/health/duration.ts'
import { duration, nonEmpty } from '../argument-values.ts'
import type { Fields } from '../client-command.ts'
import { CliError } from '../errors.ts'

/** The flags that describe one service. */
export interface DefinitionFlags {
  readonly name?: string
  readonly id?: string
  readonly port?: number
  readonly address?: string
  readonly tag?: readonly string[]
  readonly meta?: Readonly<Record<string, string>>
  readonly checkHttp?: string
  readonly checkTcp?: string
  readonly checkUdp?: string
  readonly checkGrpc?: string
  readonly checkH2ping?: string
  readonly checkTtl?: number
  readonly interval?: number
  readonly timeout?: number
  readonly deregisterAfter?: number
}

const DEFAULT_INTERVAL_MS = 10_000
/** Flag, its option, and the field of the check. */
const POLLED = [
  ['--check-http', 'checkHttp', 'HTTP'],
  ['--check-tcp', 'checkTcp', 'TCP'],
  ['--check-udp', 'checkUdp', 'UDP'],
  ['--check-grpc', 'checkGrpc', 'GRPC'],
  ['--check-h2ping', 'checkH2ping', 'H2PING'],
] as const

/** Adds the flags to a command. */
export function withDefinitionFlags(command: Command): Command {
  return command
    .option('--name <name>', 'name of the service', nonEmpty)
    .option('--id <id>', 'unique on its node (default: the name)', nonEmpty)
    .option('--port <port>', 'port it listens on', port)
    .option('--address <address>', 'where it is reached (default: the address of the node)', nonEmpty)
    .option('--tag <tag>', 'a tag, such as a label for Traefik; may be repeated', repeated)
    .option('--meta <key=value>', 'a pair to keep with it; may be repeated', pairs)
    .option('--check-http <url>', 'check: answers 2xx', nonEmpty)
    .option('--check-tcp <host:port>', 'check: accepts connections', nonEmpty)
    .option('--check-udp <host:port>', 'check: does not refuse datagrams', nonEmpty)
    .option('--check-grpc <host:port/service>', 'check: says SERVING', nonEmpty)
    .option('--check-h2ping <host:port>', 'check: answers pings over HTTP/2 with TLS', nonEmpty)
    .option('--check-ttl <duration>', 'check: it reports itself this often', duration('1s', '8760h'))
    .option('--interval <duration>', 'how often the checks run (default: 10s)', duration('1s', '8760h'))
    .option('--timeout <duration>', 'how long a check may take (default: 10s)', duration('1ms', '24h'))
    .option(
      '--deregister-after <duration>',
      'it goes when a check has been critical for so long (default: never)',
      duration('1s', '8760h'),
    )
}

/**
 * The registration the flags describe; null if there are none.
 * @throws CliError `CLI_USAGE` for flags without a name, or about checks without a check.
 */
export function definitionFromFlags(flags: DefinitionFlags): Fields | null {
  const { name, id, address, tag, meta } = flags
  const checks = checksFromFlags(flags)
  const given = [name, id, flags.port, address, tag, meta].some((value) => value !== undefined)
  if (!given && checks.length === 0) return null
  if (name === undefined) throw new CliError('CLI_USAGE', 'give the service a --name, or name a file')
  return {
    Name: name,
    ...(id === undefined ? {} : { ID: id }),
    ...(flags.port === undefined ? {} : { Port: flags.port }),
    ...(address === undefined ? {} : { Address: address }),
    ...(tag === undefined ? {} : { Tags: tag }),
    ...(meta === undefined ? {} : { Meta: meta }),
    ...(checks.length === 0 ? {} : { Checks: checks }),
  }
}

function checksFromFlags(flags: DefinitionFlags): readonly Fields[] {
  const { interval, timeout, deregisterAfter, checkTtl } = flags
  const after =
    deregisterAfter === undefined ? {} : { DeregisterCriticalServiceAfter: formatGoDuration(deregisterAfter) }
  const polled = POLLED.filter(([, option]) => flags[option] !== undefined).map(([, option, field]) => ({
    [field]: flags[option],
    Interval: formatGoDuration(interval ?? DEFAULT_INTERVAL_MS),
    ...(timeout === undefined ? {} : { Timeout: formatGoDuration(timeout) }),
    ...after,
  }))
  if (polled.length === 0 && (interval !== undefined || timeout !== undefined)) {
    throw new CliError(
      'CLI_USAGE',
      '--interval and --timeout are about a check; give one, such as --check-http',
    )
  }
  const ttl = checkTtl === undefined ? [] : [{ TTL: formatGoDuration(checkTtl), ...after }]
  if (polled.length + ttl.length === 0 && deregisterAfter !== undefined) {
    throw new CliError('CLI_USAGE', '--deregister-after is about a check; give one, such as --check-http')
  }
  return [...polled, ...ttl]
}

function port(value: string): number {
  const number = Number(value)
  if (!/^\d{1,5}$/.test(value) || number < 1 || number > 65_535) {
    throw new InvalidArgumentError('It must be a port, 1-65535.')
  }
  return number
}

function repeated(value: string, previous: readonly string[] = []): readonly string[] {
  return [...previous, value]
}

function pairs(value: string, previous: Readonly<Record<string, string>> = {}): Record<string, string> {
  const at = value.indexOf('=')
  if (at < 1) throw new InvalidArgumentError('It must be KEY=VALUE.')
  return { ...previous, [value.slice(0, at)]: value.slice(at + 1) }
}
