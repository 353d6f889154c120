import { setImmediate as turn } from 'node:timers/promises'
import { pino } from 'pino'
import t from 'tap'
import { StandBack } from '../../agent/stand-back.ts'

function fixture({ stops = async () => {} }: { readonly stops?: () => Promise<void> } = {}) {
  const calls: string[] = []
  const lines: string[] = []
  let now = 0
  const part = (name: string, stop: () => Promise<void>) => ({
    start: async () => void calls.push(`start ${name}`),
    stop: () => {
      calls.push(`stop ${name}`)
      return stop()
    },
  })
  const standBack = new StandBack([part('leases', stops), part('run-once', async () => {})], {
    log: pino({ level: 'info' }, { write: (line: string) => lines.push(line) }),
    now: () => now,
  })
  /** Checks once a second for so long. */
  const check = async (hasReason: boolean, seconds: number) => {
    for (let i = 0; i < seconds; i++) {
      standBack.check(hasReason)
      await turn()
      now += 1000
    }
  }
  return { standBack, calls, lines, check }
}

t.test(
  'what ended because of another cluster begins again when that is gone for half a minute',
  async (t) => {
    const { calls, lines, check } = fixture()
    await check(false, 5)
    t.strictSame(calls, [])
    await check(true, 5)
    t.strictSame(calls, ['stop leases', 'stop run-once'], 'once')
    await check(false, 20)
    await check(true, 1)
    await check(false, 29)
    t.equal(calls.length, 2, 'not as long as the other may still think otherwise')
    await check(false, 5)
    t.strictSame(calls.slice(2), ['start leases', 'start run-once'])
    t.match(lines.at(-1), /may hold leases again/)
  },
)

t.test('what is still ending is not begun before it has ended', async (t) => {
  const ended = Promise.withResolvers<void>()
  const { calls, check } = fixture({ stops: () => ended.promise })
  await check(true, 1)
  await check(false, 60)
  t.equal(calls.length, 2)
  ended.resolve()
  await turn()
  await check(false, 1)
  t.strictSame(calls.slice(2), ['start leases', 'start run-once'])
})

t.test('what cannot be ended does not keep the others, and is said', async (t) => {
  const { calls, lines, check } = fixture({ stops: () => Promise.reject(new Error('no')) })
  await check(true, 1)
  t.strictSame(calls, ['stop leases', 'stop run-once'])
  t.match(lines[0], /standing back failed/)
  await check(false, 31)
  t.equal(calls.length, 4)
})

t.test('a node on its way out begins nothing', async (t) => {
  const { standBack, calls, check } = fixture()
  await check(true, 1)
  await standBack.stop()
  await check(false, 60)
  t.equal(calls.length, 2)
})
