import t from 'tap'
import { acknowledgements, doublePrimaries, type Line, lostRows } from './verdict.ts'

function primary(member: string, timeline: number, from: number, to: number): Line {
  return { kind: 'primary', member, timeline, from, to }
}

function acknowledged(member: string, timeline: number, from: number, to: number): Line {
  return { kind: 'acknowledged', member, timeline, id: `${member}-${from}`, from, to }
}

t.test('one primary after the other is well', async (t) => {
  const lines = [
    primary('m1', 1, 0, 1),
    acknowledged('m1', 1, 1, 2),
    primary('m2', 2, 10, 11),
    acknowledged('m2', 2, 12, 30),
    primary('m1', 3, 40, 41),
  ]
  t.strictSame(doublePrimaries(lines), [])
  t.strictSame(doublePrimaries(lines.toReversed()), [], 'in any order')
})

t.test('answers that overlap prove nothing', async (t) => {
  t.strictSame(doublePrimaries([acknowledged('m1', 1, 0, 20), primary('m2', 2, 10, 15)]), [])
})

t.test('an old primary that is asked after the new one answered', async (t) => {
  t.strictSame(doublePrimaries([primary('m2', 2, 10, 11), primary('m1', 1, 12, 13)]), [
    'm1 was primary on timeline 1 after m2 was primary on 2',
  ])
  t.strictSame(doublePrimaries([acknowledged('m1', 1, 12, 13), primary('m2', 2, 10, 11)]), [
    'm1 took a row on timeline 1 after m2 was primary on 2',
  ])
})

t.test('two primaries on one timeline', async (t) => {
  t.strictSame(doublePrimaries([acknowledged('m1', 2, 0, 1), acknowledged('m2', 2, 0, 1)]), [
    'm1 and m2 were both primary on timeline 2',
  ])
})

t.test('a row that was acknowledged and is gone is lost, one of unknown outcome is not', async (t) => {
  const unknown: Line = { kind: 'unknown', member: 'm1', id: 'm1-9', from: 9, to: 10, why: 'gone' }
  const lines = [acknowledged('m1', 1, 1, 2), acknowledged('m1', 1, 3, 4), unknown]
  t.strictSame(lostRows(lines, new Set(['m1-1'])), ['m1-3'])
  t.strictSame(lostRows(lines, new Set(['m1-1', 'm1-3', 'm1-9'])), [])
})

t.test('the longest time without an acknowledgement has a beginning and an end', async (t) => {
  const lines = [10, 20, 60, 70].map((at) => acknowledged('m1', 1, at - 1, at))
  t.strictSame(acknowledgements(lines, 15, 75), { rows: 3, gapMs: 40 })
  t.strictSame(acknowledgements(lines, 0, 200), { rows: 4, gapMs: 130 })
  t.strictSame(acknowledgements(lines, 100, 130), { rows: 0, gapMs: 30 })
})
