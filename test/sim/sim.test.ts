import t from 'tap'
import { EventQueue } from './event-queue.ts'
import { Random } from './random.ts'
import { failureReport, runSeeds } from './run-seeds.ts'
import { simulate } from './simulation.ts'

const SEEDS = 200

/** A run without these was too easy to mean anything. */
const REQUIRED = [
  'leader elected',
  'leader stepped down',
  'leader crashed',
  'follower crashed',
  'all crashed',
  'crash while writing',
  'unsynced write lost',
  'unsynced write torn',
  'unsynced write whole',
  'torn write recognised',
  'write error',
  'disk slow',
  'disk full',
  'disk has room again',
  'snapshot refused: disk full',
  'not started: disk full',
  'leader with a hanging disk gave up',
  'leader paused',
  'follower paused',
  'clock skewed',
  'wall clock set',
  'leader partitioned',
  'slow leader cut off',
  'read by lease',
  'symmetric partition',
  'one-way partition',
  'ring connectivity',
  'star connectivity',
  'link clogged',
  'connection lost',
  'message lost',
  'message duplicated',
  'message reordered',
  'unlucky message',
  'dead transfer',
  'true hint',
  'false hint',
  'transfer begun',
  'change proposed',
  'change refused',
  'configuration applied',
  'joint change completed',
  'snapshot saved',
  'snapshot sent',
  'snapshot installed',
  'write repeated',
  'outcome unknown',
  'core healed first',
  'deaf follower',
]

t.setTimeout(300_000)

t.test('clusters keep their promises under faults, and recover', async (t) => {
  t.setTimeout(280_000)
  const totals = await runSeeds({ first: 1, count: SEEDS, jobs: 1, onRun: () => true })
  for (const result of totals.failures) t.fail(failureReport(result, undefined))
  t.equal(totals.runs, SEEDS, 'every seed ran')
  for (const event of REQUIRED) {
    t.ok((totals.coverage.get(event) ?? 0) > 0, `${event}: ${totals.coverage.get(event) ?? 0}`)
  }
  t.ok(totals.acknowledgedWrites > 20 * SEEDS, `${totals.acknowledgedWrites} writes were acknowledged`)
  t.ok(totals.answeredReads > 5 * SEEDS, `${totals.answeredReads} reads were answered`)
})

t.test('a seed is a run', async (t) => {
  for (const seed of [3, 8, 21]) {
    const [first, second] = [await simulate(seed), await simulate(seed)]
    t.equal(first.hash, second.hash, `seed ${seed} twice`)
    t.equal(first.events, second.events)
    t.ok(first.events > 100)
  }
  const inThreads = new Map<number, string>()
  await runSeeds({
    first: 3,
    count: 4,
    jobs: 2,
    onRun: ({ seed, hash }) => inThreads.set(seed, hash).size > 0,
  })
  t.equal(inThreads.get(3), (await simulate(3)).hash, 'in a thread of its own too')
  t.same([...inThreads.keys()].sort(), [3, 4, 5, 6])
  const [one, other] = [await simulate(3), await simulate(4)]
  t.not(one.hash, other.hash, 'another seed is another run')
})

t.test('events come by time, and at one time in the order they were scheduled', async (t) => {
  const random = new Random(1)
  const queue = new EventQueue()
  const expected = Array.from({ length: 500 }, (_, i) => ({ at: random.below(50), i }))
  const seen: number[] = []
  for (const { at, i } of expected) queue.push(at, () => void seen.push(i))
  while (queue.size > 0) queue.pop()?.run()
  expected.sort((a, b) => a.at - b.at || a.i - b.i)
  t.same(
    seen,
    expected.map(({ i }) => i),
  )
})
