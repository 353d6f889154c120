import { crc32 as zlibCrc32 } from 'node:zlib'
import fc from 'fast-check'
import t from 'tap'
import { isCommand } from '../../../consensus/state/command-check.ts'
import { crc32 } from '../../../consensus/state/crc32.ts'
import { keyToText, textToKey } from '../../../consensus/state/keys.ts'
import { RESTORE_BYTES_MAX, RESTORE_IDLE_MS, restoreCrc } from '../../../consensus/state/restore.ts'
import { StateMachine } from '../../../consensus/state/state-machine.ts'
import type { CommandResult, KeyRecord } from '../../../consensus/state/types.ts'
import { bytes, Machine, snapshotBytes } from './machine.ts'

function record(key: string, value: string, flags = 0n): KeyRecord {
  return { key: textToKey(key), value: bytes(value), flags }
}

function begin(m: Machine, id = 'r'): CommandResult {
  return m.apply({ type: 'restore.begin', id })
}

function part(m: Machine, number: number, records: readonly KeyRecord[], id = 'r'): CommandResult {
  return m.apply({ type: 'restore.part', id, part: number, records })
}

function commit(m: Machine, parts: readonly (readonly KeyRecord[])[], id = 'r'): CommandResult {
  const crc = parts.reduce((seed, records) => restoreCrc(records, seed), 0)
  return m.apply({ type: 'restore.commit', id, parts: parts.length, crc })
}

/** A whole restore. Answers what its commit answered. */
function restore(m: Machine, ...parts: readonly (readonly KeyRecord[])[]): CommandResult {
  begin(m)
  parts.forEach((records, number) => {
    part(m, number, records)
  })
  return commit(m, parts)
}

/** Every key as `key=value`. */
function content(m: Machine): readonly string[] {
  return m.state.kvList('').map(({ key, value }) => `${keyToText(key)}=${new TextDecoder().decode(value)}`)
}

t.test('nothing shows before the commit; then all of it at one index', (t) => {
  const m = new Machine()
  m.set('same', '1')
  m.set('changed', '1')
  m.set('gone', '1')
  const same = m.get('same')
  const before = content(m)
  begin(m)
  part(m, 0, [record('same', '1'), record('changed', '2', 7n)])
  part(m, 1, [record('new', '3')])
  t.same(content(m), before)
  t.equal(m.changes.keys.size, 0)
  t.match(commit(m, [[record('same', '1'), record('changed', '2', 7n)], [record('new', '3')]]), { ok: true })
  t.same(content(m), ['changed=2', 'new=3', 'same=1'])
  t.same(m.get('same'), same, 'an unchanged key keeps its indexes')
  t.match(m.get('changed'), { flags: 7n, createIndex: 2, modifyIndex: m.index })
  t.match(m.get('new'), { createIndex: m.index, modifyIndex: m.index, lockIndex: 0 })
  t.same([...m.changes.keys].toSorted(), ['changed', 'gone', 'new'], 'only these wake their watchers')
  t.equal(m.state.kvPrefixIndex('gone'), m.index, 'a deleted key leaves a tombstone')
  t.end()
})

t.test('a restore of what is there changes nothing', (t) => {
  const m = new Machine()
  const records = [record('a', '1'), record('b', '2', 9n)]
  restore(m, records)
  const entries = m.state.kvList('')
  t.match(restore(m, records), { ok: true })
  t.same(m.state.kvList(''), entries)
  t.equal(m.changes.keys.size, 0)
  t.end()
})

t.test('locks, sessions, leases, cordons and autopilot are those of the moment, not of the backup', (t) => {
  const m = new Machine()
  m.session('s')
  m.session('other', { lockDelayMs: 5000 })
  m.lock('acquire', 'locked', 's', 'old')
  m.lock('acquire', 'absent', 's', 'kept')
  m.lock('acquire', 'constellation/lease/dns', 's', 'holder')
  m.set('constellation/cordon/n1', 'kept')
  m.set('constellation/autopilot', 'kept')
  m.lock('acquire', 'delayed', 'other', 'x')
  m.destroy('other')
  const lease = m.get('constellation/lease/dns')
  const { lockIndex } = m.get('locked') ?? {}
  const backup = [
    record('locked', 'new', 3n),
    record('constellation/lease/dns', 'thief'),
    record('constellation/cordon/n2', 'of another time'),
    record('constellation/autopilot', 'of another time'),
    record('delayed', 'y'),
  ]
  const foreign = record('constellation/lease/other', 'thief')
  t.match(restore(m, [...backup, foreign]), { ok: true })
  t.same(content(m), [
    'absent=kept',
    'constellation/autopilot=kept',
    'constellation/cordon/n1=kept',
    'constellation/lease/dns=holder',
    'delayed=y',
    'locked=new',
  ])
  t.match(m.get('locked'), { session: 's', lockIndex, flags: 3n })
  t.match(m.get('absent'), { session: 's' })
  t.same(m.get('constellation/lease/dns'), lease)
  t.equal(m.lock('acquire', 'delayed', 's').ok, false, 'a lock delay goes on')
  t.equal(m.state.sessions().length, 1)
  m.destroy('s')
  t.equal(m.get('locked')?.session, null, 'the session still owns the lock it held')
  t.end()
})

t.test('what is not whole is refused and changes nothing', (t) => {
  const m = new Machine()
  m.set('k', 'v')
  const one = [record('a', '1')]
  const refused = (result: CommandResult, error: RegExp) => {
    t.match(result, { ok: false, error })
    t.same(content(m), ['k=v'])
  }
  refused(part(m, 0, one), /not under way/)
  refused(commit(m, []), /not under way/)
  begin(m)
  refused(part(m, 1, one), /expects part 0, not 1/)
  part(m, 0, one)
  refused(part(m, 0, one), /expects part 1, not 0/)
  refused(commit(m, [one, one]), /1 of 2 parts/)
  refused(commit(m, [one]), /not under way/)
  begin(m)
  part(m, 0, one)
  refused(commit(m, [[record('a', '2')]]), /wrong checksum/)
  begin(m)
  part(m, 0, one)
  begin(m, 'newer')
  refused(part(m, 1, one), /replaced/)
  refused(commit(m, [one]), /replaced/)
  t.end()
})

t.test('a restore that was abandoned, or is too large, is dropped', (t) => {
  const m = new Machine()
  const one = [record('a', '1')]
  begin(m)
  m.at += RESTORE_IDLE_MS
  t.match(part(m, 0, one), { ok: true }, 'in time')
  m.at += RESTORE_IDLE_MS
  t.match(part(m, 1, one), { ok: true }, 'counted from the last part')
  m.at += RESTORE_IDLE_MS + 1
  m.set('x', '')
  t.match(part(m, 2, one), { ok: false, error: /not under way/ })
  t.notMatch(Buffer.concat([...m.state.snapshot()]).toString('latin1'), /restorePart/)

  const large = [{ key: 'k', value: new Uint8Array(64 << 20), flags: 0n }]
  begin(m)
  for (let i = 0; i < RESTORE_BYTES_MAX / (64 << 20) - 1; i++) t.match(part(m, i, large), { ok: true })
  t.match(part(m, 3, large), { ok: false, error: /larger than/ })
  t.match(part(m, 3, one), { ok: false, error: /not under way/ })
  t.end()
})

t.test('a node that takes over a snapshot in the middle of a restore goes on the same', async (t) => {
  const key = fc.constantFrom('a', 'b', 'c', 'constellation/lease/x', '\xff')
  const records = fc.array(fc.record({ key, value: fc.uint8Array({ maxLength: 2 }), flags: fc.constant(1n) }))
  const write = fc.record({ key, value: fc.uint8Array({ maxLength: 2 }), lock: fc.boolean() })
  const parts = fc.array(fc.record({ records, writes: fc.array(write, { maxLength: 4 }) }), { maxLength: 4 })
  await fc.assert(
    fc.asyncProperty(parts, fc.nat(5), async (steps, cut) => {
      const straight = new Machine()
      const resumed = new Machine()
      for (const m of [straight, resumed]) {
        m.session('s')
        begin(m)
        for (const [number, { records, writes }] of steps.entries()) {
          if (m === resumed && number === cut) m.state = await StateMachine.restore(m.state.snapshot())
          part(m, number, records)
          for (const { key, value, lock } of writes) {
            if (lock) m.apply({ type: 'kv.acquire', key, value, flags: 0n, session: 's' })
            else m.apply({ type: 'kv.set', key, value, flags: 0n })
          }
        }
        if (m === resumed && cut >= steps.length) m.state = await StateMachine.restore(m.state.snapshot())
        if (
          !commit(
            m,
            steps.map(({ records }) => records),
          ).ok
        )
          return false
      }
      return snapshotBytes(straight.state) === snapshotBytes(resumed.state)
    }),
    { numRuns: 200 },
  )
  t.pass()
})

t.test('a snapshot does not show parts that came after it', (t) => {
  const m = new Machine()
  begin(m)
  part(m, 0, [record('a', '1')])
  const expected = snapshotBytes(m.state)
  const records = m.state.snapshot()
  const first = records.next().value as Uint8Array
  part(m, 1, [record('b', '2')])
  t.equal(Buffer.concat([first, ...records]).toString('base64'), expected)
  t.end()
})

t.test('malformed commands are refused before they reach the log', (t) => {
  const records = [record('a', '1')]
  t.ok(isCommand({ type: 'restore.part', id: 'r', part: 0, records }))
  for (const bad of [
    { type: 'restore.begin' },
    { type: 'restore.part', id: 'r', part: -1, records },
    { type: 'restore.part', id: 'r', part: 0, records: [{ key: 'a', value: 'text', flags: 0n }] },
    { type: 'restore.part', id: 'r', part: 0, records: [null] },
    { type: 'restore.commit', id: 'r', parts: 1, crc: '0' },
  ]) {
    t.notOk(
      isCommand(bad),
      JSON.stringify(bad, (_, v) => (typeof v === 'bigint' ? `${v}` : v)),
    )
  }
  t.end()
})

t.test('the checksum is that of zlib', (t) => {
  fc.assert(
    fc.property(
      fc.uint8Array(),
      fc.nat(0xffffffff),
      (data, seed) => crc32(data, seed) === zlibCrc32(data, seed),
    ),
  )
  t.end()
})
