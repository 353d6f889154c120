import t from 'tap'
import { FlapDamper, type MemberEvent } from '../../../discovery/membership/core/flap-damper.ts'
import type { MemberState } from '../../../discovery/membership/core/types.ts'
import { member } from './sim.ts'

/** Feeds statuses of one member at times in seconds, and answers what is told, with its time. */
function told(changes: readonly (readonly [atS: number, status: MemberState])[], untilS: number) {
  const damper = new FlapDamper()
  const out: string[] = []
  let previous: MemberState | undefined
  const say = (atMs: number, events: readonly (MemberEvent | null)[]) => {
    for (const event of events) {
      if (event)
        out.push(`${atMs / 1000} ${event.type}${event.coalesced > 0 ? ` after ${event.coalesced}` : ''}`)
    }
  }
  const settle = (ms: number) => {
    while (damper.deadline <= ms) {
      const at = damper.deadline
      say(at, damper.due(at))
    }
  }
  for (const [atS, status] of changes) {
    settle(atS * 1000)
    const before = previous === undefined ? undefined : member('a', { status: previous })
    say(atS * 1000, [damper.changed(member('a', { status }), before, atS * 1000)])
    previous = status
  }
  settle(untilS * 1000)
  return { out, damper }
}

t.test('a member that comes, dies or leaves is told at once', async (t) => {
  const { out, damper } = told(
    [
      [0, 'alive'],
      [100, 'suspect'],
      [101, 'failed'],
      [300, 'alive'],
      [400, 'left'],
    ],
    1000,
  )
  t.same(out, ['0 joined', '101 failed', '300 back', '400 left'])
  t.equal(damper.coalesced, 0)
  t.equal(damper.flaps, 0, 'away for minutes is no flap')
  t.equal(damper.deadline, Number.POSITIVE_INFINITY, 'nothing is kept of who is quiet')
})

t.test('changes that undo each other are not told', async (t) => {
  const { out, damper } = told(
    [
      [0, 'alive'],
      [50, 'failed'],
      [51, 'alive'],
      [51.5, 'failed'],
      [52, 'alive'],
      [52.5, 'failed'],
    ],
    300,
  )
  t.same(out, ['0 joined', '50 failed'])
  t.equal(damper.coalesced, 4)
  t.equal(damper.flaps, 2)
})

t.test('a restart is told twice, the second time when it has been quiet', async (t) => {
  const { out } = told(
    [
      [0, 'alive'],
      [50, 'failed'],
      [51, 'alive'],
    ],
    300,
  )
  t.same(out, ['0 joined', '50 failed', '55 back after 1'], 'a flap doubles the two seconds')
})

t.test('a member that flaps for ever is told at most twice a minute', async (t) => {
  const changes = Array.from({ length: 240 }, (_, i) => [i * 2.5, i % 2 === 0 ? 'alive' : 'failed'] as const)
  const { out, damper } = told(changes, 900)
  t.ok(out.length <= 22, `${out.length} lines in ten minutes: ${out.join(', ')}`)
  t.ok(out.length >= 8, `${out.length} lines: it is not silenced for good`)
  t.ok(damper.coalesced > 200)
  t.match(out.at(-1), / failed/, 'the last word is what is so')
  t.same(damper.flapping(900_000), [], 'and it is forgotten in the end')
})
