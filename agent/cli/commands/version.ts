import { Command } from 'commander'
import { examplesText } from '../client-command.ts'
import type { CliIo } from '../io.ts'
import { VERSION } from '../version.ts'

/** `constellation version`: what this program is. */
export function versionCommand(io: CliIo): Command {
  return new Command('version')
    .description('Print the version of this program.')
    .option('--json', 'print it as JSON')
    .addHelpText('after', examplesText(['constellation version', 'constellation version --json']))
    .action((options: { json?: boolean }) => {
      const versions = { version: VERSION, node: process.version }
      io.stdout.write(
        options.json === true
          ? `${JSON.stringify(versions)}\n`
          : `constellation ${versions.version} (Node.js ${versions.node})\n`,
      )
    })
}
