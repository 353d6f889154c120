import { Command } from 'commander'
import { examplesText } from '../client-command.ts'
import type { CliIo } from '../io.ts'

/** `constellation keygen`: a new cluster key on standard output. */
export function keygenCommand(io: CliIo): Command {
  return new Command('keygen')
    .description('Print a new cluster key. Every node of a cluster needs the same one.')
    .addHelpText(
      'after',
      examplesText([
        '(umask 077; constellation keygen > /etc/constellation/cluster.key)',
        'constellation agent --cluster-key-file /etc/constellation/cluster.key --bootstrap-expect 3 …',
      ]),
    )
    .action(async () => {
      const { generateClusterKey } = await import('../../../discovery/mesh/cluster-key.ts')
      io.stdout.write(`${generateClusterKey()}\n`)
    })
}
