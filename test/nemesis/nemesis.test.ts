import { existsSync } from 'node:fs'
import t from 'tap'
import { executable } from '../real/executable.ts'
import { FAULTS } from './faults.ts'
import { endEverything, runNemesis } from './run.ts'

const NAMES = ['kill-leader', 'pause-leader', 'partition-leader']

const skip = existsSync('/proc/net/tcp') ? false : 'needs /proc to tell connections apart'

process.on('exit', endEverything)

t.test(
  'three nodes lose their leader in three ways and clients see one register',
  { skip, timeout: 110_000 },
  async (t) => {
    const stop = new AbortController()
    t.teardown(() => stop.abort())
    const result = await runNemesis({
      nodes: 3,
      faults: FAULTS.filter(({ name }) => NAMES.includes(name)),
      program: { path: await executable(), args: [] },
      seed: 1,
      // Every fault once.
      ms: 0,
      tell: (line) => t.comment(line),
      signal: stop.signal,
    })
    t.strictSame(result.problems, [])
    for (const name of NAMES) {
      const count = result.faults.find((fault) => fault.name === name)
      t.ok((count?.seen ?? 0) > 0, `${name} had its effect: ${count?.last}`)
    }
    const { operations, keys, watchAnswers, leases, locks } = result
    t.ok(operations.ok > 200, `${operations.ok} operations succeeded`)
    t.ok(keys > 10, `${keys} keys were checked`)
    t.ok(watchAnswers > 20, `${watchAnswers} answers to watchers`)
    t.ok(leases.looks > 100 && leases.tokens > 1, `${leases.looks} looks at leases, ${leases.tokens} tokens`)
    // How many there are depends on the machine; that each kind of thing was done, and judged, does not.
    const did = [locks.acquired > NAMES.length, locks.writes > 0, locks.abandoned > 0, locks.judged > 0]
    t.strictSame(did, [true, true, true, true], `locks: ${JSON.stringify(locks)}`)
    t.equal(result.folder, null, 'nothing is left behind')
  },
)
