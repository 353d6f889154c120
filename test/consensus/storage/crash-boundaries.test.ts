/**
 * One step of the store, cut off at every call it makes to the database: whatever is found afterwards is the state before
 * the step or the state behind it, never a part (catalogue B5, B6, B10, B12, B22).
 */
import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { ClassicLevel } from 'classic-level'
import t from 'tap'
import { LevelStore } from '../../../consensus/storage/level-store.ts'
import type { LogStore } from '../../../consensus/storage/log-store.ts'
import { MEMORY_DIR } from '../../memory-dir.ts'
import { bytes, entriesOf } from '../raft/harness.ts'

/** How a node ends: with the process, the kernel keeps what it was given; with the power, only what was synced stays. */
type Death = 'process' | 'power'

interface Call {
  readonly synced: boolean
}

type Method = (this: unknown, ...args: unknown[]) => Promise<unknown>
type Methods = Record<'batch' | 'clear' | 'put', Method>

const CONFIGURATION = { voters: ['a'], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false }
const META = { index: 1, term: 1, configuration: CONFIGURATION }
const IDENTITY = { nodeId: 'a', clusterId: 'home' }
/** Several batches of snapshot records. */
const LARGE = ['x', 'y', 'z'].map((text) => bytes(text.repeat(700_000)))

/** Steps on a store that holds entries 2 to 6 of term 1. */
const STEPS: Readonly<Record<string, (store: LogStore) => Promise<void>>> = {
  'a write of a new term, a vote and entries that replace others': (store) =>
    store.write({ hardState: { term: 2, vote: 'b', commit: 3 }, entries: entriesOf([2], 4), sync: true }),
  'a write of a vote': (store) =>
    store.write({ hardState: { term: 3, vote: 'c', commit: 1 }, entries: [], sync: true }),
  'a snapshot of its own': (store) => store.saveSnapshot({ ...META, index: 4 }, LARGE, 3),
  'a snapshot of the leader': (store) =>
    store.installSnapshot({ ...META, index: 9, term: 2 }, LARGE, { term: 2, vote: '', commit: 9 }),
  'a pledge': (store) => store.setPledge({ attempt: 'x', proposer: 'a', founders: ['a', 'b'] }),
}

const root = await mkdtemp(join(MEMORY_DIR, 'crash-boundaries-'))
const database = ClassicLevel.prototype as unknown as Methods
t.teardown(() => rm(root, { recursive: true, force: true }))

let directories = 0

function fresh(): string {
  return join(root, `${directories++}`)
}

/** Calls of the database from here on go through `each`, until what is answered is called. */
function tap(each: (call: Call, run: () => Promise<unknown>) => Promise<unknown>): () => void {
  for (const name of ['batch', 'clear', 'put'] as const) {
    const original = database[name]
    database[name] = function (...args) {
      const options = args.at(-1) as { sync?: boolean } | undefined
      return each({ synced: options?.sync === true }, () => original.apply(this, args))
    }
  }
  return () => {
    for (const name of ['batch', 'clear', 'put'] as const) delete (database as Partial<Methods>)[name]
  }
}

/** What is found in a directory by whoever opens it next. */
async function found(directory: string): Promise<string> {
  const copy = fresh()
  await mkdir(copy)
  await cp(directory, copy, { recursive: true, filter: (path) => !path.endsWith('LOCK') })
  const store = new LevelStore(copy)
  const { entries, ...state } = await store.open()
  const records: number[] = []
  for await (const record of store.readSnapshot()?.records ?? []) records.push(record.length)
  await store.close()
  await rm(copy, { recursive: true })
  return JSON.stringify({ ...state, entries: entries.map(({ index, term }) => [index, term]), records })
}

/** Does `step` in a store that dies before call number `dies`. Answers what is found then, and the calls that were made. */
async function cutOff(
  step: (store: LogStore) => Promise<void>,
  dies: number,
  lost: number,
): Promise<{ state: string; calls: Call[]; failed: boolean }> {
  const directory = fresh()
  const store = new LevelStore(directory)
  await store.open()
  await store.initialise(IDENTITY, META, [bytes('first')], { term: 1, vote: '', commit: 1 })
  await store.write({ hardState: null, entries: entriesOf([1, 1, 1, 1, 1], 2), sync: true })
  const calls: Call[] = []
  const untap = tap(async (call, run) => {
    if (calls.length >= dies) throw new Error('dead')
    calls.push(call)
    // What the power takes away is never written: it comes to the same.
    return calls.length > lost ? undefined : run()
  })
  let failed = false
  try {
    await step(store)
  } catch {
    failed = true
  } finally {
    untap()
  }
  const state = await found(directory)
  await store.close()
  await rm(directory, { recursive: true })
  return { state, calls, failed }
}

/** How many of the first `count` calls are surely on the disk when the power fails. */
function durable(calls: readonly Call[], count: number): number {
  return calls.slice(0, count).findLastIndex(({ synced }) => synced) + 1
}

for (const [name, step] of Object.entries(STEPS)) {
  t.test(`B5, B6, B10, B12, B22: ${name} is there as a whole or not at all`, async (t) => {
    const none = await cutOff(step, 0, 0)
    const whole = await cutOff(step, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY)
    t.ok(none.failed)
    t.notOk(whole.failed)
    t.not(whole.state, none.state, 'the step does something')
    for (const death of ['process', 'power'] satisfies Death[]) {
      let done = false
      for (let dies = 0; dies <= whole.calls.length; dies++) {
        const kept = death === 'process' ? dies : durable(whole.calls, dies)
        const { state, failed } = await cutOff(step, dies, kept)
        const about = `${death} dies before call ${dies + 1} of ${whole.calls.length}`
        t.ok(state === none.state || state === whole.state, about, { state })
        t.ok(!done || state === whole.state, `${about}: it does not go back`)
        done = state === whole.state
        if (!failed) t.ok(done, `${about}: what was answered is there`)
      }
    }
  })
}
