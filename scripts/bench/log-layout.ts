import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ClassicLevel } from 'classic-level'
import type { Entry } from '../../consensus/raft/types.ts'
import { encodeEntry } from '../../consensus/storage/entry-codec.ts'

/**
 * How the log is laid out in LevelDB: one record for each entry, as LevelStore does it, against one record for each batch.
 * Both write the same entries with the same sync; the layouts take turns, so that a busy disk is busy for both.
 * `node scripts/bench/log-layout.ts [--json]`
 */
type Layout = 'per-entry' | 'per-batch'
const LAYOUTS: readonly Layout[] = ['per-entry', 'per-batch']
const BATCHES: readonly number[] = [1, 8, 64, 512]
const VALUE_BYTES = 256
const ROUNDS = 8
const ROUND_MS = 250

type Database = ClassicLevel<Uint8Array, Uint8Array>

function key(prefix: number, index: number): Uint8Array {
  const bytes = new Uint8Array(9)
  bytes[0] = prefix
  new DataView(bytes.buffer).setBigUint64(1, BigInt(index))
  return bytes
}

function entries(first: number, count: number): Entry[] {
  return Array.from({ length: count }, (_, i) => ({
    index: first + i,
    term: 1,
    type: 'normal',
    data: new Uint8Array(VALUE_BYTES).fill(first + i),
  }))
}

function operations(layout: Layout, batch: readonly Entry[]) {
  const [first] = batch
  if (first === undefined) return []
  const put = (index: number, value: Uint8Array) => ({ type: 'put' as const, key: key(0x4c, index), value })
  if (layout === 'per-entry') return batch.map((entry) => put(entry.index, encodeEntry(entry)))
  return [put(first.index, Buffer.concat(batch.map(encodeEntry)))]
}

/** Writes batches of `size` for a while. Answers entries per second. */
async function round(db: Database, layout: Layout, size: number, from: number, sync: boolean) {
  const started = performance.now()
  let next = from
  while (performance.now() - started < ROUND_MS) {
    await db.batch(operations(layout, entries(next, size)), { sync })
    next += size
  }
  return { next, perSecond: ((next - from) * 1000) / (performance.now() - started) }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? 0
}

async function compare(root: string, size: number, sync: boolean) {
  const rates: Record<Layout, number[]> = { 'per-entry': [], 'per-batch': [] }
  const next: Record<Layout, number> = { 'per-entry': 1, 'per-batch': 1 }
  const open = async (layout: Layout) => {
    const db: Database = new ClassicLevel(join(root, `${layout}-${size}-${sync}`), {
      keyEncoding: 'view',
      valueEncoding: 'view',
    })
    await db.open()
    return db
  }
  const databases = { 'per-entry': await open('per-entry'), 'per-batch': await open('per-batch') }
  for (let i = 0; i < ROUNDS; i++) {
    for (const layout of i % 2 === 0 ? LAYOUTS : [...LAYOUTS].reverse()) {
      const result = await round(databases[layout], layout, size, next[layout], sync)
      next[layout] = result.next
      rates[layout].push(result.perSecond)
    }
  }
  for (const layout of LAYOUTS) await databases[layout].close()
  const perEntry = median(rates['per-entry'])
  const perBatch = median(rates['per-batch'])
  return { batch: size, sync, perEntry, perBatch, ratio: perBatch / perEntry }
}

const root = await mkdtemp(join(tmpdir(), 'log-layout-'))
const rows = []
try {
  for (const sync of [true, false]) for (const size of BATCHES) rows.push(await compare(root, size, sync))
} finally {
  await rm(root, { recursive: true })
}
if (process.argv.includes('--json')) process.stdout.write(`${JSON.stringify(rows, null, 2)}\n`)
else {
  process.stdout.write('batch  sync   per entry/s  per batch/s  ratio\n')
  for (const { batch, sync, perEntry, perBatch, ratio } of rows) {
    const cells = [
      `${batch}`.padStart(5),
      `${sync}`.padEnd(5),
      ...[perEntry, perBatch].map((v) => v.toFixed(0).padStart(11)),
    ]
    process.stdout.write(`${cells.join('  ')}  ${ratio.toFixed(2).padStart(5)}\n`)
  }
}
