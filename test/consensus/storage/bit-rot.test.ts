import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { crc32c } from '../../../consensus/storage/crc32c.ts'
import { LevelStore } from '../../../consensus/storage/level-store.ts'
import type { StoredState } from '../../../consensus/storage/log-store.ts'
import { findDamage } from '../../../consensus/storage/write-ahead-log.ts'
import { MEMORY_DIR } from '../../memory-dir.ts'
import { bytes, entriesOf } from '../raft/harness.ts'

const META = {
  index: 1,
  term: 1,
  configuration: { voters: ['a'], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false },
}
const LAST = 12
/** Every position would take minutes; a prime reaches every part of a record. */
const STEP = 31

async function folder(t: Test): Promise<string> {
  const path = await mkdtemp(join(MEMORY_DIR, 'bit-rot-'))
  t.teardown(() => rm(path, { recursive: true, force: true }))
  return path
}

/** A store with entries up to LAST, one synced write each, which is still open: all of it is in the write-ahead log. */
async function written(t: Test, directory: string): Promise<LevelStore> {
  const store = new LevelStore(directory)
  t.teardown(() => store.close())
  await store.open()
  await store.initialise({ nodeId: 'a', clusterId: 'home' }, META, [bytes('first')], {
    term: 1,
    vote: '',
    commit: 1,
  })
  for (let index = 2; index <= LAST; index++) {
    const hardState = { term: 1, vote: 'a', commit: index - 1 }
    await store.write({ hardState, entries: entriesOf([1], index), sync: true })
  }
  return store
}

async function fileOf(directory: string, ending: string): Promise<string> {
  const name = (await readdir(directory)).find((file) => file.endsWith(ending))
  if (name === undefined) throw new Error(`no ${ending} in ${directory}`)
  return name
}

/** What a store finds when `name` holds `content` and every other file what it held; the code of its error otherwise. */
async function openWith(
  directory: string,
  name: string,
  content: Uint8Array,
): Promise<{ state: StoredState; records: string[] } | string> {
  const copy = `${directory}-copy`
  await rm(copy, { recursive: true, force: true })
  await cp(directory, copy, { recursive: true, filter: (path) => !path.endsWith('LOCK') })
  await writeFile(join(copy, name), content)
  const store = new LevelStore(copy)
  try {
    const state = await store.open()
    const records: string[] = []
    for await (const record of store.readSnapshot()?.records ?? [])
      records.push(new TextDecoder().decode(record))
    return { state, records }
  } catch (error) {
    return String((error as { code?: unknown }).code)
  } finally {
    await store.close()
    await rm(copy, { recursive: true, force: true })
  }
}

function flipped(content: Uint8Array, position: number): Uint8Array {
  const copy = Uint8Array.from(content)
  copy[position] = (copy[position] ?? 0) ^ 0x10
  return copy
}

function lastIndexOf(result: Awaited<ReturnType<typeof openWith>>): number {
  return typeof result === 'string' ? Number.NaN : (result.state.entries.at(-1)?.index ?? 0)
}

t.test('the checksum is CRC32C', async (t) => {
  t.equal(crc32c(bytes('123456789')), 0xe3069283)
})

t.test('B23: a flipped bit before the last write of the log refuses to start', async (t) => {
  const directory = join(await folder(t), 'raft')
  await written(t, directory)
  const name = await fileOf(directory, '.log')
  const content = await readFile(join(directory, name))
  const outcomes = { refused: 0, lastLost: 0 }
  for (let position = 0; position < content.length; position += STEP) {
    const result = await openWith(directory, name, flipped(content, position))
    if (result === 'CST_LOG_DAMAGED') outcomes.refused++
    else if (lastIndexOf(result) === LAST - 1) outcomes.lastLost++
    else t.fail(`byte ${position} of ${content.length}: ${JSON.stringify(result)}`)
  }
  t.ok(outcomes.refused > 5 * outcomes.lastLost, JSON.stringify(outcomes))
  t.ok(outcomes.lastLost > 0, 'the last write cannot be told from a torn one')
})

t.test('a log that ends torn starts with what is whole', async (t) => {
  const directory = join(await folder(t), 'raft')
  await written(t, directory)
  const name = await fileOf(directory, '.log')
  const content = await readFile(join(directory, name))
  let before = LAST
  for (let length = content.length; length > content.length / 2; length -= STEP) {
    const last = lastIndexOf(await openWith(directory, name, content.subarray(0, length)))
    t.ok(last === before || last === before - 1, `cut at ${length}: entries up to ${last}`)
    before = last
  }
  t.ok(before < LAST - 3, 'several writes were cut off')
  const zeros = Buffer.concat([content, Buffer.alloc(5000)])
  t.equal(
    lastIndexOf(await openWith(directory, name, zeros)),
    LAST,
    'a file that was extended and never written',
  )
})

t.test('B23: a flipped bit in a table is found, or does no harm', async (t) => {
  const directory = join(await folder(t), 'raft')
  await (await written(t, directory)).close()
  // Opening moves what is in the log to a table.
  const again = new LevelStore(directory)
  const sound = await again.open()
  await again.close()
  const name = await fileOf(directory, '.ldb')
  const content = await readFile(join(directory, name))
  const outcomes = { refused: 0, same: 0 }
  for (let position = 0; position < content.length; position += STEP) {
    const result = await openWith(directory, name, flipped(content, position))
    if (typeof result === 'string') {
      t.match(result, /^CST_(LOG_DAMAGED|STORAGE_FAILED)$/, `byte ${position}`)
      outcomes.refused++
    } else {
      t.same(result, { state: sound, records: ['first'] }, `byte ${position} of ${content.length}`)
      outcomes.same++
    }
  }
  t.ok(outcomes.refused > 0, JSON.stringify(outcomes))
})

t.test('damage is found across blocks, and a batch cut in fragments is no damage', async (t) => {
  const directory = join(await folder(t), 'raft')
  const store = new LevelStore(directory)
  t.teardown(() => store.close())
  await store.open()
  await store.initialise({ nodeId: 'a', clusterId: 'home' }, META, [], { term: 1, vote: '', commit: 1 })
  for (let index = 2; index <= 4; index++) {
    const entry = { index, term: 1, type: 'normal', data: new Uint8Array(100_000).fill(index) } as const
    await store.write({ hardState: null, entries: [entry], sync: true })
  }
  const content = await readFile(join(directory, await fileOf(directory, '.log')))
  t.equal(findDamage(content), null)
  t.not(findDamage(flipped(content, 150_000)), null, 'in the second of three batches')
  t.equal(findDamage(flipped(content, 250_000)), null, 'in the last batch, of several fragments')
  t.equal(findDamage(content.subarray(0, 250_000)), null)
  t.equal(findDamage(new Uint8Array(0)), null)
  t.equal(findDamage(new Uint8Array(100_000).fill(0xff)), null, 'nothing sound in it at all')
})
