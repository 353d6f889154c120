import { existsSync } from 'node:fs'
import t from 'tap'
import { RUN_MS, runThirty } from './short-run.ts'

t.test(
  'eight agents: join, change, kill -9, short pauses, leave; all agree and nobody is wrongly called dead',
  { skip: existsSync('/proc/net/tcp') ? false : 'needs /proc to tell connections apart', timeout: RUN_MS },
  async (t) => {
    const only = 'change,kill,pause,leave'
    const result = await runThirty(t, ['--nodes', '8', '--network', 'loopback', '--only', only])
    t.strictSame([result.problems, result.falseDeaths], [[], []])
    t.equal(result.measured['killed: failed at a node']?.length, 7, 'every survivor knew')
    t.equal(result.measured['all agree']?.length, 1)
  },
)
