import fc from 'fast-check'
import t from 'tap'
import { isCommand } from '../../../consensus/state/command-check.ts'
import { StateMachine } from '../../../consensus/state/state-machine.ts'
import type { Command } from '../../../consensus/state/types.ts'
import { Machine, SESSION, snapshotBytes } from './machine.ts'

const key = fc.constantFrom('a', 'a/b', 'a/c', 'b', '\xff', '')
const session = fc.constantFrom('s1', 's2', 's3')
const value = fc.uint8Array({ maxLength: 3 })
const flags = fc.constantFrom(0n, 1n, 2n ** 64n - 1n)
const cas = fc.option(fc.nat(20), { nil: undefined })
const optional = <T extends { cas: number | undefined }>(command: T): Omit<T, 'cas'> => {
  const { cas: index, ...rest } = command
  return index === undefined ? rest : command
}

const command: fc.Arbitrary<Command> = fc.oneof(
  fc.record({ type: fc.constant('kv.set' as const), key, value, flags, cas }).map(optional),
  fc.record({
    type: fc.constantFrom('kv.acquire' as const, 'kv.release' as const),
    key,
    value,
    flags,
    session,
  }),
  fc.record({ type: fc.constant('kv.delete' as const), key, cas }).map(optional),
  fc.record({ type: fc.constant('kv.deleteTree' as const), prefix: key }),
  fc
    .record({
      id: session,
      behavior: fc.constantFrom('release' as const, 'delete' as const),
      lockDelayMs: fc.constantFrom(0, 500),
    })
    .map((spec) => ({ type: 'session.create' as const, session: { ...SESSION, ...spec } })),
  fc.record({ type: fc.constant('session.destroy' as const), id: session }),
)
const step = fc.record({
  command,
  later: fc.nat(300),
  origin: fc.constantFrom('o1', 'o2', 'o3'),
  sequence: fc.integer({ min: 1, max: 12 }),
  acknowledged: fc.integer({ min: 0, max: 12 }),
})
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

function run(m: Machine, steps: readonly Step[]): void {
  for (const { command, later, ...stamp } of steps) {
    m.at += later
    m.apply(command, { ...stamp, acknowledged: Math.min(stamp.acknowledged, stamp.sequence) })
  }
}

t.test(
  'the same log gives the same snapshot, byte for byte, also from a snapshot in the middle',
  async (t) => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), fc.nat(40), async (steps, cut) => {
        const whole = new Machine()
        run(whole, steps)
        const again = new Machine()
        run(again, steps)
        const resumed = new Machine()
        run(resumed, steps.slice(0, cut))
        resumed.state = await StateMachine.restore(resumed.state.snapshot())
        run(resumed, steps.slice(cut))
        return (
          snapshotBytes(again.state) === snapshotBytes(whole.state) &&
          snapshotBytes(resumed.state) === snapshotBytes(whole.state)
        )
      }),
      { numRuns: 300 },
    )
    t.pass()
  },
)

t.test('every locked key is held by a session that lives', async (t) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const m = new Machine()
      run(m, steps)
      return m.state
        .kvList('')
        .every(({ session }) => session === null || m.state.session(session) !== undefined)
    }),
    { numRuns: 200 },
  )
  t.pass()
})

t.test('a snapshot shows the state of its moment, whatever is applied while it is written', async (t) => {
  const m = new Machine()
  m.session('s')
  m.lock('acquire', 'k', 's')
  for (let i = 0; i < 100; i++) m.set(`n/${i}`, `${i}`)
  const expected = snapshotBytes(m.state)
  const records = m.state.snapshot()
  const read = [records.next().value as Uint8Array]
  for (let i = 0; i < 100; i++) m.set(`n/${i}`, 'changed')
  m.delete('n/5')
  m.destroy('s')
  for (const record of records) read.push(record)
  t.equal(Buffer.concat(read).toString('base64'), expected)
})

t.test('a snapshot that was cut short or has more than its end is refused', async (t) => {
  const m = new Machine()
  m.set('k', 'v')
  m.session('s')
  const records = [...m.state.snapshot()]
  await t.rejects(StateMachine.restore(records.slice(0, -1)), { code: 'CST_CODEC', message: /cut short/ })
  await t.rejects(StateMachine.restore(records.toSpliced(1, 1)), { code: 'CST_CODEC', message: /records/ })
  await t.rejects(StateMachine.restore([...records, ...records]), {
    code: 'CST_CODEC',
    message: /behind its end/,
  })
})

t.test('isCommand takes every command and nothing that could not be applied', async (t) => {
  fc.assert(fc.property(command, (value) => isCommand(value)))
  fc.assert(
    fc.property(command, fc.anything(), fc.nat(10), (value, junk, at) => {
      const names = Object.keys(value)
      const broken = { ...value, [names[at % names.length] ?? 'type']: junk }
      if (!isCommand(broken)) return true
      // Accepted, so applying it must work.
      new Machine().apply(broken)
      return true
    }),
    { numRuns: 1000 },
  )
  for (const junk of [null, 1, 'kv.set', {}, { type: 'kv.unknown' }, { type: 'kv.set', key: 'k' }])
    t.equal(isCommand(junk), false)
})
