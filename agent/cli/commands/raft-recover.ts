import { Command } from 'commander'
import type { Finding, RecoveryDone } from '../../recover.ts'
import { examplesText } from '../client-command.ts'
import type { CliIo } from '../io.ts'

interface RecoverOptions {
  readonly dataDir: string
  readonly confirm?: string
  readonly force?: boolean
  readonly json?: boolean
}

/** `constellation raft recover`: a new cluster out of what one survivor has. Works on files, not on a running agent. */
export function recoverCommand(io: CliIo): Command {
  return new Command('recover')
    .description(
      'Make a new cluster out of the data of one node, after a majority of the voters was lost for good. ' +
        'Without --confirm it changes nothing and shows what would be kept and what lost.',
    )
    .requiredOption('--data-dir <folder>', 'data directory of a survivor whose agent is stopped')
    .option('--confirm <cluster-id>', 'do it; the id is that of the old cluster, as shown without this flag')
    .option('--force', 'do it although other members answer at their old addresses')
    .option('--json', 'print what was found, and done, as JSON')
    .addHelpText(
      'after',
      examplesText([
        'constellation raft recover --data-dir /var/lib/constellation',
        'constellation raft recover --data-dir /var/lib/constellation --confirm 5afd5d9f-7eac-4577-8801-3913de5b7a48',
      ]),
    )
    .action(async (options: RecoverOptions) => {
      const { inspectSurvivor, recoverSurvivor } = await import('../../recover.ts')
      const { dataDir, confirm, force = false } = options
      if (confirm === undefined) {
        const finding = await inspectSurvivor(dataDir)
        io.stdout.write(options.json === true ? json(finding) : `${found(finding)}\n${warnings(finding)}`)
        return
      }
      const done = await recoverSurvivor(dataDir, { clusterId: confirm, force })
      io.stdout.write(options.json === true ? json(done) : recovered(done))
    })
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`
}

function found(finding: Finding): string {
  const { configuration, nodeId } = finding
  const isJoint = configuration.votersOutgoing.length > 0
  const show = (ids: readonly string[]) =>
    ids.length === 0
      ? '-'
      : ids.map((id) => (id === nodeId ? `${id} (this node)` : id)).join(`\n${' '.repeat(18)}`)
  const fields: readonly (readonly [string, string])[] = [
    ['data directory', finding.dataDir],
    ['cluster', finding.clusterId],
    ['last entry', `term ${finding.lastTerm}, index ${finding.lastIndex}`],
    ['known committed', `index ${finding.commitIndex}`],
    ['snapshot', `term ${finding.snapshotTerm}, index ${finding.snapshotIndex}`],
    ['holds', `${finding.keys} keys, ${finding.sessions} sessions`],
    ['voters', show(configuration.voters)],
    ...(isJoint ? [['voters before', show(configuration.votersOutgoing)] as const] : []),
    ['learners', show([...configuration.learners, ...configuration.learnersNext])],
    [
      'others answer at',
      finding.answering.length === 0 ? 'none of the addresses they had' : finding.answering.join(', '),
    ],
  ]
  return fields.map(([label, value]) => `${`${label}:`.padEnd(18)}${value}\n`).join('')
}

function warnings({ clusterId, dataDir, lost, lastTerm, lastIndex }: Finding): string {
  return `Nothing was changed. Recovering makes a new cluster of this node alone, out of all its entries, committed or not.

- Only for when a majority of the voters is gone for good. If they can come back, wait for them: nothing is lost then.
- Do this with every survivor first and take the one with the highest term of the last entry (here ${lastTerm}), and of
  those with the same term the highest index (here ${lastIndex}). Writes that another survivor has beyond it, or that only
  the dead nodes had, are lost although they were confirmed.
- The ${lost.length} other ${lost.length === 1 ? 'node' : 'nodes'} of the old cluster cannot come back with what they have stored. Move their whole data
  directories away, identity.key included, and start them: they join as new nodes.

To do it: constellation raft recover --data-dir ${dataDir} --confirm ${clusterId}
`
}

function recovered({ recovered, backup, dataDir }: RecoveryDone): string {
  return `recovered: this node is the only voter of the new cluster ${recovered.clusterId}, whose log goes on at index ${recovered.index}.
What was replaced is in ${backup} until the agent leads.

1. Start the agent of this node with data_dir ${dataDir}.
2. On every other node move the whole data directory away, then start its agent with --join (cluster.join) naming this node.
`
}
