import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import t, { type Test } from 'tap'
import { runCommand } from '../command.ts'
import { executable } from '../executable.ts'
import { namespacesUnavailable } from './namespaces.ts'
import type { RunResult } from './run.ts'

const MAIN = resolve(import.meta.dirname, 'main.ts')
const RUN_MS = 110_000

/** Runs the command as a user does. */
async function run(t: Test, args: readonly string[]): Promise<RunResult> {
  const flags = ['--json', '--repeat', '1', '--patience', '60', '--executable', await executable(), ...args]
  const { code, out, err } = await runCommand(process.execPath, [MAIN, ...flags], { timeoutMs: RUN_MS })
  t.comment(err)
  t.equal(code, 0)
  return JSON.parse(out) as RunResult
}

t.test(
  'eight agents: join, change, kill -9, short pauses, leave; all agree and nobody is wrongly called dead',
  { skip: existsSync('/proc/net/tcp') ? false : 'needs /proc to tell connections apart', timeout: RUN_MS },
  async (t) => {
    const only = 'change,kill,pause,leave'
    const result = await run(t, ['--nodes', '8', '--network', 'loopback', '--only', only])
    t.strictSame([result.problems, result.falseDeaths], [[], []])
    t.equal(result.measured['killed: failed at a node']?.length, 7, 'every survivor knew')
    t.equal(result.measured['all agree']?.length, 1)
  },
)

t.test(
  'five agents that lose one packet in twenty: kill -9, short pauses',
  { skip: namespacesUnavailable() ?? false, timeout: RUN_MS },
  async (t) => {
    const only = 'kill,pause'
    const result = await run(t, ['--nodes', '5', '--network', 'namespaces', '--loss', '5', '--only', only])
    t.strictSame([result.problems, result.falseDeaths], [[], []])
    t.ok(result.packetsLost > 20, `${result.packetsLost} packets were lost`)
  },
)
