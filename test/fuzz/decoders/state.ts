import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { CodecError, decodeLogRecord, encodeLogRecord } from '../../../consensus/state/codec.ts'
import { isCommand } from '../../../consensus/state/command-check.ts'
import { StateMachine } from '../../../consensus/state/state-machine.ts'
import type { Command, KvEntry, KvOperation } from '../../../consensus/state/types.ts'
import { SESSION, snapshotBytes } from '../../consensus/state/machine.ts'
import { command, operationOn, spoiled } from './commands.ts'
import type { NamedProperty } from './property.ts'

const ONE = Uint8Array.of(1)
const TWO = Uint8Array.of(2)

/** What a node does with a command of its log: the state after it was applied to each of two copies. */
function apply(state: StateMachine, index: number, next: Command): void {
  const payload = encodeLogRecord({
    at: index,
    origin: 'o',
    sequence: index,
    acknowledged: index,
    command: next,
  })
  state.apply(index, decodeLogRecord(payload))
}

function fresh(): StateMachine {
  const state = new StateMachine()
  apply(state, 1, { type: 'session.create', session: { ...SESSION, id: 's1' } })
  apply(state, 2, { type: 'session.create', session: { ...SESSION, id: 's2' } })
  return state
}

async function survivesSnapshot(state: StateMachine): Promise<boolean> {
  return snapshotBytes(await StateMachine.restore(state.snapshot())) === snapshotBytes(state)
}

function isByteKey(key: string): boolean {
  return [...key].every((each) => each <= '\xff')
}

/** The command that does alone what an operation of a transaction does; null for one that only looks. */
function alone(each: KvOperation): Command | null {
  const { verb, key } = each
  switch (verb) {
    case 'set':
      return { type: 'kv.set', key, value: each.value, flags: each.flags }
    case 'lock':
      return { type: 'kv.acquire', key, value: each.value, flags: each.flags, session: each.session }
    case 'unlock':
      return { type: 'kv.release', key, value: each.value, flags: each.flags, session: each.session }
    case 'delete':
      return { type: 'kv.delete', key }
    case 'delete-tree':
      return { type: 'kv.deleteTree', prefix: key }
    default:
      return null
  }
}

/** What is the same however many log entries it took. */
function content({ key, value, flags, session, lockIndex }: KvEntry): unknown {
  return { key, value: Buffer.from(value).toString('hex'), flags, session, lockIndex }
}

/** What the state machine takes from its log. */
export const STATE_PROPERTIES: readonly NamedProperty[] = [
  {
    name: 'every command there is passes the check, the codec and a snapshot, and the same log gives the same state',
    property: fc.asyncProperty(fc.array(command, { maxLength: 12 }), async (commands) => {
      const [one, other] = [fresh(), fresh()]
      for (const [i, each] of commands.entries()) {
        if (!isCommand(each)) return false
        apply(one, i + 3, each)
        apply(other, i + 3, each)
      }
      return snapshotBytes(one) === snapshotBytes(other) && (await survivesSnapshot(one))
    }),
  },
  {
    name: 'a spoiled command is refused, or does no harm',
    property: fc.asyncProperty(
      fc.array(command, { maxLength: 4 }),
      spoiled(command),
      async (before, last) => {
        if (!isCommand(last)) return true
        const state = fresh()
        for (const [i, each] of before.entries()) apply(state, i + 3, each)
        apply(state, before.length + 3, last)
        const keys = state.kvList('').map(({ key }) => key)
        const checks = state.sessions().flatMap(({ serviceChecks }) => serviceChecks ?? [])
        return (
          keys.every(isByteKey) &&
          checks.every((check) => typeof check?.id === 'string' && typeof check.namespace === 'string') &&
          (await survivesSnapshot(state))
        )
      },
    ),
  },
  {
    name: 'damaged entries of the log are told as such',
    property: fc.property(
      command,
      fc.nat(),
      fc.uint8Array({ maxLength: 8 }),
      fc.nat({ max: 8 }),
      (good, at, put, cut) => {
        const bytes = encodeLogRecord({ at: 1, origin: 'o', sequence: 1, acknowledged: 0, command: good })
        const place = at % (bytes.length + 1)
        const damaged = Buffer.concat([bytes.subarray(0, place), put, bytes.subarray(place + cut)])
        try {
          decodeLogRecord(damaged)
          return true
        } catch (error) {
          return error instanceof CodecError
        }
      },
    ),
  },
  {
    name: 'a transaction does what its operations do one by one, and answers what is there afterwards',
    property: fc.property(
      fc.array(command, { maxLength: 3 }),
      // On one key or its children, mostly with one value, so that operations meet and some change nothing.
      fc.array(operationOn(fc.constantFrom('a', 'a', 'a/b'), fc.constantFrom(ONE, ONE, TWO)), {
        minLength: 1,
        maxLength: 5,
      }),
      (others, operations) => {
        const before: Command[] = [{ type: 'kv.set', key: 'a', value: ONE, flags: 0n }, ...others]
        const [whole, single] = [fresh(), fresh()]
        for (const [i, each] of before.entries()) {
          apply(whole, i + 3, each)
          apply(single, i + 3, each)
        }
        const index = before.length + 3
        const unchanged = snapshotBytes(whole)
        const { result } = whole.apply(index, {
          ...{ at: index, origin: 't', sequence: 1, acknowledged: 0 },
          command: { type: 'kv.txn', operations },
        })
        const keys = (state: StateMachine): unknown => state.kvList('').map(content)
        if (!result.ok) {
          const copy = fresh()
          for (const [i, each] of before.entries()) apply(copy, i + 3, each)
          return snapshotBytes(copy) === unchanged && isDeepStrictEqual(keys(copy), keys(whole))
        }
        // Comparisons with an index mean something within the transaction only.
        if (operations.some(({ verb }) => verb === 'cas' || verb === 'delete-cas')) return true
        for (const [i, each] of operations.entries()) {
          const next = alone(each)
          if (next !== null) apply(single, index + i, next)
        }
        const answered = new Map((result.transaction?.results ?? []).map((entry) => [entry.key, entry]))
        const last = new Map(operations.map((each) => [each.key, each]))
        const isTold = [...answered.values()].every((entry) => {
          const verb = last.get(entry.key)?.verb
          if (verb !== 'set' && verb !== 'lock' && verb !== 'unlock') return true
          const found = whole.kvGet(entry.key)
          // A later delete-tree may have taken it.
          if (found === undefined) return true
          return found.modifyIndex === entry.modifyIndex && found.createIndex === entry.createIndex
        })
        return isTold && isDeepStrictEqual(keys(single), keys(whole))
      },
    ),
  },
]
