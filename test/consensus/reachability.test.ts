import t from 'tap'
import { Reachability } from '../../consensus/reachability.ts'

const SILENT = 2000
const SETTLE = 2000

function bench() {
  const reachability = new Reachability({
    silentMs: SILENT,
    settleMs: SETTLE,
    settleMsMax: 100_000,
    windowMs: 600_000,
  })
  let now = 1000
  /** It answers ten times a second for this long. */
  const answers = (id: string, forMs: number) => {
    for (const end = now + forMs; now < end; now += 100) reachability.heard(id, now)
  }
  const pass = (ms: number) => {
    now += ms
  }
  return {
    reachability,
    answers,
    pass,
    isSettled: (id: string) => reachability.isSettled(id, now),
    flaps: (id: string) => reachability.flaps(id, now),
    silentMs: (id: string) => reachability.silentMs(id, now),
    isFlapping: (id: string) => reachability.isFlapping(id, now),
    retain: (...ids: string[]) => reachability.retain(new Set(ids), now),
    now: () => now,
  }
}

/** How long a node must answer before it is settled, in tenths of a second. */
function settleMs(b: ReturnType<typeof bench>, id: string): number {
  const start = b.now()
  while (!b.isSettled(id)) {
    if (b.now() - start > 1_000_000) throw new Error('it never settles')
    b.answers(id, 100)
  }
  return b.now() - start
}

t.test('a node settles after it has answered for a while without a break', async (t) => {
  const b = bench()
  t.equal(b.isSettled('x'), false, 'nothing is known of it')
  t.equal(settleMs(b, 'x'), SETTLE)
  t.equal(b.isFlapping('x'), false)
  b.pass(SILENT + 1)
  t.equal(b.isSettled('x'), false, 'it is silent')
  t.equal(b.silentMs('x'), SILENT + 101)
})

t.test('each return makes it wait longer, up to a bound, and is forgotten after the window', async (t) => {
  const b = bench()
  settleMs(b, 'x')
  const waits: number[] = []
  for (let i = 0; i < 5; i++) {
    b.pass(SILENT + 200)
    waits.push(settleMs(b, 'x'))
    t.equal(b.isFlapping('x'), false, 'once it has settled it is trusted')
  }
  t.same(waits, [8000, 32_000, 100_000, 100_000, 100_000])
  t.equal(b.flaps('x'), 5)
  b.answers('x', 600_000)
  t.equal(b.flaps('x'), 0)
  b.pass(SILENT + 200)
  t.equal(settleMs(b, 'x'), 8000)
})

t.test('a broken connection counts, however short, and once', async (t) => {
  const b = bench()
  b.reachability.lost('x')
  b.answers('x', 100)
  t.equal(b.flaps('x'), 0, 'one that was never heard cannot be lost')
  settleMs(b, 'x')
  b.reachability.lost('x')
  t.equal(b.isSettled('x'), false)
  b.reachability.lost('x')
  b.pass(SILENT * 2)
  b.answers('x', 100)
  t.equal(b.flaps('x'), 1)
  t.equal(b.isFlapping('x'), true)
})

t.test('a new leader judges nobody by what it heard before, but remembers who flaps', async (t) => {
  const b = bench()
  settleMs(b, 'x')
  b.pass(SILENT + 200)
  settleMs(b, 'x')
  b.reachability.restart()
  b.pass(60_000)
  t.equal(b.silentMs('x'), 0)
  t.equal(b.isSettled('x'), false)
  t.equal(b.flaps('x'), 1)
  t.equal(settleMs(b, 'x'), 8000)
  t.equal(b.flaps('x'), 1, 'the gap was no return')
})

t.test('it remembers those that left while that matters, and never too many', async (t) => {
  const b = bench()
  for (const id of ['x', 'y']) settleMs(b, id)
  b.pass(SILENT + 200)
  b.answers('x', 100)
  b.retain()
  t.equal(b.reachability.size, 1, 'nothing bad is known of y')
  t.equal(b.flaps('x'), 1)
  b.pass(600_000)
  b.retain()
  t.equal(b.reachability.size, 0)
  for (let i = 0; i < 200; i++) {
    b.answers(`n${i}`, 100)
    b.reachability.lost(`n${i}`)
    b.answers(`n${i}`, 100)
  }
  b.retain('n0')
  t.equal(b.reachability.size, 65)
  t.equal(b.flaps('n199'), 1, 'the latest')
  const flaps = (id: string) => b.reachability.flaps(id, b.now())
  for (let i = 0; i < 20; i++) {
    b.reachability.lost('n0')
    b.answers('n0', 100)
  }
  t.ok(flaps('n0') <= 8)
})

t.test('how long a node must have answered can be asked for', async (t) => {
  const b = bench()
  b.answers('x', 5000)
  const settledFor = (ms: number) => b.reachability.isSettled('x', b.now(), ms)
  t.equal(settledFor(5000), true)
  t.equal(settledFor(5001), false)
  t.equal(settledFor(0), true)
  b.answers('x', 195_000)
  t.equal(settledFor(200_000), true, 'also for longer than is ever asked of one that flaps')
  t.equal(settledFor(200_001), false)
})
