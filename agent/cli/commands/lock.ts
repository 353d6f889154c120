import { type Command, InvalidArgumentError, Option } from 'commander'
import { duration } from '../argument-values.ts'
import { type ClientOptions, clientCommand, connect } from '../client-command.ts'
import { CliError } from '../errors.ts'
import type { CliIo } from '../io.ts'

interface LockFlags extends ClientOptions {
  readonly ttl: number
  readonly lockDelay: number
  readonly killAfter: number
  readonly timeout?: number
  readonly try?: boolean
  readonly shell?: boolean
  readonly verbose?: boolean
}

/** `constellation lock`: a command that runs once in the cluster at a time. */
export function lockCommand(io: CliIo): Command {
  return clientCommand(
    'lock',
    'Run a command while holding a lock: of all that use the same name, on all hosts, one runs at a time.',
    [
      'constellation lock backup -- ./backup.sh /srv',
      'constellation lock --try backup -- ./backup.sh || [ $? -eq 75 ]     # not now is fine',
      "constellation lock --shell deploy -- 'git pull && make install'",
    ],
  )
    .argument('<name>', 'name of the lock', lockName)
    .argument('<command...>', 'program and arguments, after --')
    .option('--try', 'do not wait: end with 75 if somebody else holds it')
    .option('--timeout <duration>', 'wait no longer than this, then end with 75', duration('1ms', '24h'))
    .addOption(
      new Option(
        '--ttl <duration>',
        'how long the lock stays taken when its holder vanished; up to twice as long',
      )
        .argParser(duration('1s', '24h'))
        .default(15_000, '15s'),
    )
    .addOption(
      new Option('--lock-delay <duration>', 'how long nobody gets the lock after its holder was lost')
        .argParser(duration('0s', '60s'))
        .default(15_000, '15s'),
    )
    .addOption(
      new Option('--kill-after <duration>', 'time to stop for a command that lost the lock')
        .argParser(duration('0s', '1h'))
        .default(5000, '5s'),
    )
    .option('--shell', 'hand the command to sh -c')
    .option('--verbose', 'say on standard error who holds it, when it is taken and given back')
    .addHelpText('after', HELP)
    .action(async (name: string, command: readonly string[], options: LockFlags) => {
      if (options.try === true && options.timeout !== undefined) {
        throw new CliError('CLI_USAGE', '--try and --timeout exclude each other')
      }
      const { runLock } = await import('../lock/run-lock.ts')
      const { MONOTONIC_CLOCK } = await import('../lock/clock.ts')
      io.exitCode = await runLock(
        {
          name,
          command: options.shell === true ? ['sh', '-c', command.join(' ')] : command,
          ttlMs: options.ttl,
          lockDelayMs: options.lockDelay,
          killAfterMs: options.killAfter,
          timeoutMs: options.timeout ?? null,
          tryOnce: options.try === true,
          verbose: options.verbose === true,
        },
        { api: await connect(options, io), io, clock: MONOTONIC_CLOCK },
      )
    })
}

const HELP = `
The command finds in its environment:
  CONSTELLATION_FENCING_TOKEN   a number, larger for each later holder of this lock
  CONSTELLATION_LOCK_KEY        key of the lock, NAME/.lock, which \`consul lock NAME\` takes as well
  CONSTELLATION_LOCK_SESSION    session that holds it
  CONSTELLATION_LOCK_INDEX      LockIndex of the key

If the lock is lost, the command and all it started get SIGTERM, and SIGKILL after --kill-after, at the latest one TTL after
the last renewal: before anybody else can get the lock. It runs in a session of its own, without a controlling terminal; Ctrl-C
and SIGTERM are passed on to it.

Exit codes: that of the command, 128+n if signal n ended it, 127 or 126 if it could not be started; 75 if the lock was not to be
had (--try, --timeout); 1 if the lock was lost or the agent does not answer; 64 usage.`

/** Consul's client cleans a name like a path; one that it would change would be another lock there than here. */
function lockName(value: string): string {
  const name = value.replace(/^\/+|\/+$/g, '')
  if (name.split('/').some((part) => part === '' || part === '.' || part === '..')) {
    throw new InvalidArgumentError('It must be a name such as backup or jobs/backup.')
  }
  return name
}
