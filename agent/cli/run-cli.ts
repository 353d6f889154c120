import { Command, CommanderError } from 'commander'
import { examplesText } from './client-command.ts'
import { agentCommand } from './commands/agent.ts'
import { composeCommand } from './commands/compose.ts'
import { cordonCommand, uncordonCommand } from './commands/cordon.ts'
import { devCommand } from './commands/dev.ts'
import { dockerCommand } from './commands/docker.ts'
import { drainCommand } from './commands/drain.ts'
import { eventCommand } from './commands/event.ts'
import { eventsCommand } from './commands/events.ts'
import { keygenCommand } from './commands/keygen.ts'
import { keyringCommand } from './commands/keyring.ts'
import { kvCommand } from './commands/kv.ts'
import { leasesCommand } from './commands/leases.ts'
import { forceLeaveCommand, leaveCommand } from './commands/leave.ts'
import { lockCommand } from './commands/lock.ts'
import { maintCommand } from './commands/maint.ts'
import { membersCommand } from './commands/members.ts'
import { raftCommand } from './commands/raft.ts'
import { resolveCommand } from './commands/resolve.ts'
import { rttCommand } from './commands/rtt.ts'
import { servicesCommand } from './commands/services.ts'
import { sessionCommand } from './commands/session.ts'
import { snapshotCommand } from './commands/snapshot.ts'
import { traefikCommand } from './commands/traefik.ts'
import { txnCommand } from './commands/txn.ts'
import { validateCommand } from './commands/validate.ts'
import { versionCommand } from './commands/version.ts'
import { watchCommand } from './commands/watch.ts'
import type { CliIo } from './io.ts'
import { VERSION } from './version.ts'

const EXIT_FAILED = 1
const EXIT_USAGE = 64

/**
 * Runs one command line (without the program's own name) and answers the exit code: 0 ok, 1 failed, 64 usage,
 * 75 a lock somebody else holds, 78 bad configuration; `lock` answers that of its command. Never throws and never ends the process.
 */
export async function runCli(args: readonly string[], io: CliIo): Promise<number> {
  const program = buildProgram(io)
  try {
    await program.parseAsync(withoutHelpCommand(program, args), { from: 'user' })
    return io.exitCode
  } catch (error) {
    return report(error, io)
  }
}

function buildProgram(io: CliIo): Command {
  const program = new Command('constellation')
    .description('A cluster agent: membership, key-value store, locks, service discovery and leases.')
    .version(VERSION, '--version', 'print the version')
    .addHelpText(
      'after',
      examplesText([
        'constellation dev                      # a cluster of three on this machine',
        'constellation agent --config /etc/constellation/constellation.yaml',
        'constellation kv put greeting hello',
      ]),
    )
    .addCommand(agentCommand(io))
    .addCommand(devCommand(io))
    .addCommand(membersCommand(io))
    .addCommand(rttCommand(io))
    .addCommand(leaveCommand(io))
    .addCommand(forceLeaveCommand(io))
    .addCommand(cordonCommand(io))
    .addCommand(uncordonCommand(io))
    .addCommand(drainCommand(io))
    .addCommand(eventsCommand(io))
    .addCommand(eventCommand(io))
    .addCommand(watchCommand(io))
    .addCommand(kvCommand(io))
    .addCommand(txnCommand(io))
    .addCommand(sessionCommand(io))
    .addCommand(lockCommand(io))
    .addCommand(servicesCommand(io))
    .addCommand(maintCommand(io))
    .addCommand(resolveCommand(io))
    .addCommand(dockerCommand(io))
    .addCommand(leasesCommand(io))
    .addCommand(raftCommand(io))
    .addCommand(snapshotCommand(io))
    .addCommand(traefikCommand(io))
    .addCommand(composeCommand(io))
    .addCommand(validateCommand(io))
    .addCommand(keygenCommand(io))
    .addCommand(keyringCommand(io))
    .addCommand(versionCommand(io))
  configure(program, io, [])
  return program
}

/** `help kv put` is `kv put --help`. @throws CommanderError if there is no such command */
function withoutHelpCommand(program: Command, args: readonly string[]): readonly string[] {
  const [first, ...path] = args
  if (first !== 'help') return args
  let command = program
  for (const name of path) {
    if (name.startsWith('-')) continue
    const child = command.commands.find((each) => each.name() === name || each.aliases().includes(name))
    if (child === undefined) command.error(`error: unknown command '${name}'`)
    else command = child
  }
  return [...path, '--help']
}

/** Commander would end the process and print as it likes; each command gets the same manners instead. */
function configure(command: Command, io: CliIo, parents: readonly string[]): void {
  const path = [...parents, command.name()]
  command
    .exitOverride()
    .helpCommand(false)
    .helpOption('-h, --help', 'show this help')
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
      outputError: (text) => {
        const line = text
          .trim()
          .replace(/^error: /, '')
          .replace(/\s*\n\s*/g, ' ')
        io.stderr.write(`constellation: ${line}\nSee: ${path.join(' ')} --help\n`)
      },
    })
  for (const child of command.commands) configure(child, io, path)
}

function report(error: unknown, io: CliIo): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE
  if (!(error instanceof Error)) {
    io.stderr.write(`constellation: ${String(error)}\n`)
    return EXIT_FAILED
  }
  // A configuration error is a list of lines that begin with the place to change.
  if ('problems' in error && Array.isArray(error.problems)) {
    for (const line of error.problems) io.stderr.write(`${line}\n`)
    return exitCodeOf(error)
  }
  // Errors with a code are expected and speak for themselves; anything else is a defect, and its stack is the report.
  const text = 'code' in error ? error.message.replace(/\s*\n\s*/g, ' ') : (error.stack ?? error.message)
  io.stderr.write(`constellation: ${text}\n`)
  return exitCodeOf(error)
}

function exitCodeOf(error: Error): number {
  return 'exitCode' in error && typeof error.exitCode === 'number' ? error.exitCode : EXIT_FAILED
}
