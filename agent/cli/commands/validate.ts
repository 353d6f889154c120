import { Command } from 'commander'
import { examplesText } from '../client-command.ts'
import { addConfigOptions, type ConfigOptions, configLoader } from '../config-options.ts'
import type { CliIo } from '../io.ts'

/** `constellation validate`: what `agent` would say about a configuration, without starting anything. */
export function validateCommand(io: CliIo): Command {
  const command = new Command('validate')
    .description('Check a configuration file together with the environment and these flags.')
    .argument('<file>', 'YAML configuration')
  return addConfigOptions(command)
    .addHelpText(
      'after',
      examplesText([
        'constellation validate /etc/constellation/constellation.yaml',
        'constellation validate new.yaml --cluster-key-file /etc/constellation/cluster.key',
      ]),
    )
    .action(async (file: string, options: ConfigOptions) => {
      const load = await configLoader(options, file, io)
      load()
      io.stdout.write(`ok: ${file}\n`)
    })
}
