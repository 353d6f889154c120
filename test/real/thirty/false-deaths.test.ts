import t from 'tap'
import { Excuses } from './false-deaths.ts'
import { type Verdict, verdictOf } from './verdicts.ts'

const failed = (observer: string, member: string, at: number): Verdict => ({
  observer,
  member,
  what: 'failed',
  at,
})
const alive = (observer: string, member: string, at: number): Verdict => ({
  observer,
  member,
  what: 'alive',
  at,
})

t.test('a verdict on a node that runs and can be reached is a false death', async (t) => {
  const excuses = new Excuses()
  const verdict = failed('n1', 'n2', 5000)
  t.strictSame(excuses.falseDeaths([alive('n1', 'n2', 10), verdict]), [verdict])
})

t.test(
  'one on a node that does not run is none, nor what was on its way when the node came back',
  async (t) => {
    const excuses = new Excuses()
    const end = excuses.begin('n2', null, 1000)
    t.strictSame(excuses.falseDeaths([failed('n1', 'n2', 1000), failed('n3', 'n2', 900_000)]), [])
    end(10_000)
    const late = failed('n3', 'n2', 12_001)
    t.strictSame(excuses.falseDeaths([failed('n1', 'n2', 12_000), late]), [late])
    const early = failed('n1', 'n2', 999)
    t.strictSame(excuses.falseDeaths([early]), [early])
  },
)

t.test('across a cut only the other side has reason', async (t) => {
  const excuses = new Excuses()
  excuses.begin('n1', new Set(['n2']), 1000)
  const sameSide = failed('n3', 'n1', 2000)
  t.strictSame(excuses.falseDeaths([failed('n2', 'n1', 2000), sameSide]), [sameSide])
})

t.test('a node that has just started may repeat what it is told first, and only that', async (t) => {
  const excuses = new Excuses()
  excuses.begin('n2', null, 1000)(2000)
  excuses.started('n1', 3000)
  const first = failed('n1', 'n2', 6000)
  const second = failed('n1', 'n2', 8000)
  t.strictSame(excuses.falseDeaths([first, alive('n1', 'n2', 7000), second]), [second])
  const muchLater = failed('n1', 'n2', 40_000)
  t.strictSame(excuses.falseDeaths([muchLater]), [muchLater])
})

t.test('verdicts are read from the log of an agent', async (t) => {
  const line = (msg: string) =>
    JSON.stringify({ level: 40, time: '2026-11-21T12:00:00.250Z', member: 'n2', msg })
  const at = Date.parse('2026-11-21T12:00:00.250Z')
  t.strictSame(verdictOf('n1', line('member n2 failed')), failed('n1', 'n2', at))
  t.strictSame(verdictOf('n1', line('member n2 is alive')), alive('n1', 'n2', at))
  t.strictSame(
    verdictOf('n1', line('member n2 is alive, after 1 changes that were not told')),
    alive('n1', 'n2', at),
    'of one that flapped as well',
  )
  t.equal(verdictOf('n1', line('members changed')), null)
  t.equal(verdictOf('n1', 'Error: member n2 failed'), null)
})
