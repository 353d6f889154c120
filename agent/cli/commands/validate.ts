import { Command } from 'commander'
import type { Config } from '../../config/types.ts'
import { examplesText } from '../client-command.ts'
import { addConfigOptions, type ConfigOptions, configLoader } from '../config-options.ts'
import type { CliIo } from '../io.ts'

/** `constellation validate`: what `agent` would say about a configuration and its service files, without starting anything. */
export function validateCommand(io: CliIo): Command {
  const command = new Command('validate')
    .description(
      'Check a configuration file together with the environment and these flags, and the service files it points to.',
    )
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
      const { providers, checks } = load()
      io.stdout.write(`ok: ${file}\n`)
      if (providers.files !== null) await checkServiceFiles(providers.files.directory, checks, io)
    })
}

/** A bad service file keeps no agent from starting, so it is a failure and no bad configuration. */
async function checkServiceFiles(directory: string, checks: Config['checks'], io: CliIo): Promise<void> {
  const { checkFolder } = await import('../../../providers/files/content.ts')
  const { parseFileService } = await import('../../service-files/definition.ts')
  const { files, problems } = await checkFolder(directory, (definition, source) =>
    parseFileService(definition, source, checks),
  )
  for (const line of problems) io.stderr.write(`${line}\n`)
  if (problems.length > 0) io.exitCode = 1
  else io.stdout.write(`ok: ${directory} (${files} ${files === 1 ? 'file' : 'files'})\n`)
}
