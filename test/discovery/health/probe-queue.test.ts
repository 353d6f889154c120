import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { type ProbeJob, ProbeQueue } from '../../../discovery/health/probe-queue.ts'
import { FakeTimers } from './fixtures.ts'

/** A job that runs until it is told to end. */
class Job implements ProbeJob {
  readonly target: string
  runs = 0
  #end: (() => void) | null = null

  constructor(target: string) {
    this.target = target
  }

  get running(): boolean {
    return this.#end !== null
  }

  run(): Promise<void> {
    this.runs += 1
    return new Promise((resolve) => {
      this.#end = resolve
    })
  }

  async end(): Promise<void> {
    this.#end?.()
    this.#end = null
    await turn()
  }
}

function setup(quickMax: number, slowMax: number) {
  const timers = new FakeTimers()
  const queue = new ProbeQueue({ quickMax, slowMax, slowAfterMs: 500 }, { timers })
  const jobs = (count: number, target: (i: number) => string) =>
    Array.from({ length: count }, (_, i) => new Job(target(i)))
  return { timers, queue, jobs }
}
const runningOf = (jobs: readonly Job[]) => jobs.filter(({ running }) => running).length

t.test('runs as many as there are places, in the order of arrival', async (t) => {
  const { queue, jobs } = setup(3, 3)
  const all = jobs(5, String)
  for (const job of all) queue.add(job)
  t.same(
    all.map(({ running }) => running),
    [true, true, true, false, false],
  )
  t.equal(queue.running, 3)
  t.equal(queue.waiting, 2)
  await all[1]?.end()
  t.equal(all[3]?.running, true)
  t.equal(all[4]?.running, false)
})

t.test('hanging jobs give the quick places back and wait for each other alone', async (t) => {
  const { timers, queue, jobs } = setup(4, 8)
  const hanging = jobs(8, (i) => `hang${i}`)
  for (const job of hanging) queue.add(job)
  t.equal(runningOf(hanging), 4)
  timers.advance(500)
  t.equal(runningOf(hanging), 8, 'the first four moved on')
  timers.advance(500)
  t.equal(queue.slow, 8)

  const quick = jobs(4, (i) => `quick${i}`)
  for (const job of quick) queue.add(job)
  t.equal(runningOf(quick), 4, 'all quick places are free')
  for (const job of [...hanging, ...quick]) await job.end()

  for (const job of hanging) queue.add(job)
  t.equal(queue.slow, 8, 'what was slow begins as slow')
  for (const job of quick) queue.add(job)
  t.equal(runningOf(quick), 4)
  await hanging[0]?.end()
  const again = hanging[0]
  if (again !== undefined) queue.add(again)
  t.equal(queue.slow, 7, 'one that was quick this time begins as quick')
})

t.test('with no slow place left a slow job keeps the place it has', async (t) => {
  const { timers, queue, jobs } = setup(4, 2)
  const hanging = jobs(8, (i) => `hang${i}`)
  for (const job of hanging) queue.add(job)
  timers.advance(5_000)
  t.equal(queue.running, 6, 'never more than both lanes have')
  t.equal(queue.waiting, 2)
})

t.test('one target gets a quarter of the places', async (t) => {
  const { queue, jobs } = setup(8, 8)
  const same = jobs(6, () => 'one')
  const others = jobs(5, (i) => `other${i}`)
  for (const job of [...same, ...others]) queue.add(job)
  t.equal(runningOf(same), 2)
  t.equal(runningOf(others), 5, 'those behind it do not wait for it')
  await same[0]?.end()
  t.equal(runningOf(same), 2)
  t.equal(same[2]?.running, true)
})

t.test('a job that is taken out while it waits does not run', async (t) => {
  const { queue, jobs } = setup(1, 1)
  const all = jobs(2, String)
  for (const job of all) queue.add(job)
  const [first, second] = all
  if (second !== undefined) queue.remove(second)
  await first?.end()
  t.equal(second?.runs, 0)
  t.equal(queue.running, 0)
})
