import t from 'tap'
import { namespacesUnavailable } from './namespaces.ts'
import { RUN_MS, runThirty } from './short-run.ts'

t.test(
  'five agents that lose one packet in twenty: kill -9, short pauses',
  { skip: namespacesUnavailable() ?? false, timeout: RUN_MS },
  async (t) => {
    const only = 'kill,pause'
    const result = await runThirty(t, [
      '--nodes',
      '5',
      '--network',
      'namespaces',
      '--loss',
      '5',
      '--only',
      only,
    ])
    t.strictSame([result.problems, result.falseDeaths], [[], []])
    t.ok(result.packetsLost > 20, `${result.packetsLost} packets were lost`)
  },
)
