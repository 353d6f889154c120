import { Command, InvalidArgumentError, Option } from 'commander'
import { examplesText } from '../client-command.ts'
import type { CliIo } from '../io.ts'

interface DevFlags {
  readonly nodes?: number
  readonly dataDir?: string
  readonly httpPort: number
  readonly logLevel: string
}

/** `constellation dev`: a cluster of several agents on this machine, to try things with. */
export function devCommand(io: CliIo): Command {
  return new Command('dev')
    .description('Run a cluster of agents on loopback until Ctrl-C, each in a process of its own.')
    .option('--nodes <n>', 'how many nodes (default: 3, or as many as the folder holds)', wholeNumber(1, 100))
    .option('--data-dir <folder>', 'keep state and logs here (default: a temporary folder)')
    .option(
      '--http-port <port>',
      'HTTP port of n1; n2 has 10 more, and so on. Mesh and DNS ports move along',
      wholeNumber(1, 65535),
      8500,
    )
    .addOption(
      new Option('--log-level <level>', 'what the log files of the nodes hold')
        .choices(['fatal', 'error', 'warn', 'info', 'debug', 'trace'])
        .default('warn'),
    )
    .addHelpText(
      'after',
      examplesText([
        'constellation dev',
        'constellation dev --nodes 5 --http-port 18500',
        'constellation dev --data-dir ./cluster --log-level info',
      ]),
    )
    .action(async (flags: DevFlags) => {
      const { runDev } = await import('../dev/cluster.ts')
      const { ownProgram } = await import('../dev/node-process.ts')
      const stop = new AbortController()
      const kill = new AbortController()
      // The second Ctrl-C means: do not wait any longer.
      const onSignal = (): void => (stop.signal.aborted ? kill : stop).abort()
      const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
      for (const signal of signals) process.on(signal, onSignal)
      try {
        io.exitCode = await runDev(
          {
            nodes: flags.nodes ?? null,
            dataDir: flags.dataDir ?? null,
            httpPort: flags.httpPort,
            logLevel: flags.logLevel,
          },
          {
            program: ownProgram(),
            print: (text) => io.stdout.write(`${text}\n`),
            stop: stop.signal,
            kill: kill.signal,
          },
        )
      } finally {
        for (const signal of signals) process.off(signal, onSignal)
      }
    })
}

function wholeNumber(min: number, max: number): (value: string) => number {
  return (value) => {
    const number = Number(value)
    if (!/^\d+$/.test(value) || number < min || number > max) {
      throw new InvalidArgumentError(`It must be a whole number ${min}-${max}.`)
    }
    return number
  }
}
