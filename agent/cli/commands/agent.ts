import { Command } from 'commander'
import { examplesText } from '../client-command.ts'
import { addConfigOptions, type ConfigOptions, configLoader } from '../config-options.ts'
import type { CliIo } from '../io.ts'

/** How long a stopped agent may keep the process alive, with a timer or socket it forgot. */
const LINGER_MS = 3000

/** `constellation agent`: the daemon. */
export function agentCommand(io: CliIo): Command {
  const command = new Command('agent')
    .description('Run the agent of this host until SIGTERM or SIGINT. SIGHUP reloads the configuration.')
    .option('--config <file>', 'YAML configuration (env CONSTELLATION_CONFIG)')
  return addConfigOptions(command)
    .addHelpText(
      'after',
      examplesText([
        'constellation agent --config /etc/constellation/constellation.yaml',
        'constellation agent --data-dir /tmp/c1',
        'constellation agent --mesh 10.0.0.2:7946 --join 10.0.0.1:7946 --cluster-key-file cluster.key',
      ]),
    )
    .action(async (options: ConfigOptions) => {
      const fromEnv = io.env.CONSTELLATION_CONFIG
      const file = options.config ?? (fromEnv === undefined || fromEnv === '' ? null : fromEnv)
      const load = await configLoader(options, file, io)
      const config = load()
      if (io.env.CONSTELLATION_PARENT_PIPE === '1') stopWithParent(io)
      const { runAgent } = await import('../../run.ts')
      io.exitCode = await runAgent(config, { reload: load })
      setTimeout(() => process.exit(io.exitCode), LINGER_MS).unref()
    })
}

/**
 * The other end of standard input is held by the process that started this one. When it ends, however it ends, so does
 * this agent, as gracefully as after a signal.
 */
function stopWithParent(io: CliIo): void {
  let stopped = false
  const stop = (): void => {
    if (!stopped) process.kill(process.pid, 'SIGTERM')
    stopped = true
  }
  io.stdin.on('end', stop).on('error', stop).resume()
  if ('unref' in io.stdin && typeof io.stdin.unref === 'function') io.stdin.unref()
}
