import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { maskedCrc32c } from './crc32c.ts'
import { VarintReader } from './varint-reader.ts'
import { findDamage, readRecords } from './write-ahead-log.ts'

/** Fields of a version edit: `db/version_edit.cc` in LevelDB's sources. */
const COMPARATOR = 1
const LOG_NUMBER = 2
const NEXT_FILE = 3
const LAST_SEQUENCE = 4
const COMPACT_POINTER = 5
const DELETED_FILE = 6
const NEW_FILE = 7
const PREVIOUS_LOG = 9

/** Layout of a table: `doc/table_format.md` in LevelDB's sources. */
const FOOTER_BYTES = 48
const TRAILER_BYTES = 5

const SECOND_LOOK_MS = 200

/** What the manifest says is part of the database. */
interface LiveFiles {
  /** Size of every table by its number. */
  readonly tables: Map<number, number>
  /** Logs with a smaller number are in tables already. */
  logNumber: number
}

function applyEdit(live: LiveFiles, record: Uint8Array): void {
  const reader = new VarintReader(record)
  while (!reader.done) {
    const field = reader.number()
    if (field === COMPARATOR) reader.prefixed()
    else if (field === LOG_NUMBER) live.logNumber = reader.number()
    else if (field === NEXT_FILE || field === LAST_SEQUENCE || field === PREVIOUS_LOG) reader.number()
    else if (field === COMPACT_POINTER) {
      reader.number()
      reader.prefixed()
    } else if (field === DELETED_FILE) {
      reader.number()
      live.tables.delete(reader.number())
    } else if (field === NEW_FILE) {
      reader.number()
      live.tables.set(reader.number(), reader.number())
      reader.prefixed()
      reader.prefixed()
    } else throw new RangeError(`unknown field ${field}`)
  }
}

/** Null if LevelDB itself will say what is wrong with the manifest, whose checksums it does look at. */
async function readManifest(directory: string): Promise<LiveFiles | null> {
  const live: LiveFiles = { tables: new Map(), logNumber: 0 }
  try {
    const current = (await readFile(join(directory, 'CURRENT'), 'utf8')).trim()
    for (const record of readRecords(await readFile(join(directory, current)))) applyEdit(live, record)
    return live
  } catch {
    return null
  }
}

/** True if the block at `offset` is as it was written: content, type of compression, masked CRC32C of both. */
function isSoundBlock(table: Uint8Array, offset: number, size: number): boolean {
  const end = offset + size + TRAILER_BYTES
  if (end > table.length) return false
  const stored = new DataView(table.buffer, table.byteOffset + end - 4, 4).getUint32(0, true)
  return maskedCrc32c(table.subarray(offset, end - 4)) === stored
}

/** Content of a block without the array of restart points at its end. The database is written without compression. */
function entriesOf(block: Uint8Array): Uint8Array {
  const restarts = new DataView(block.buffer, block.byteOffset + block.length - 4, 4).getUint32(0, true)
  return block.subarray(0, block.length - 4 * (restarts + 1))
}

/** True if every block of a table is sound. */
export function isSoundTable(table: Uint8Array): boolean {
  if (table.length < FOOTER_BYTES) return false
  const magic = new DataView(table.buffer, table.byteOffset + table.length - 8, 8).getBigUint64(0, true)
  if (magic !== 0xdb4775248b80fb57n) return false
  try {
    const footer = new VarintReader(table, table.length - FOOTER_BYTES)
    const [metaOffset, metaSize, indexOffset, indexSize] = [
      footer.number(),
      footer.number(),
      footer.number(),
      footer.number(),
    ]
    if (!isSoundBlock(table, metaOffset, metaSize) || !isSoundBlock(table, indexOffset, indexSize))
      return false
    const index = new VarintReader(entriesOf(table.subarray(indexOffset, indexOffset + indexSize)))
    while (!index.done) {
      index.number()
      const unshared = index.number()
      const valueLength = index.number()
      index.bytes(unshared)
      const handle = new VarintReader(index.bytes(valueLength))
      if (!isSoundBlock(table, handle.number(), handle.number())) return false
    }
    return true
  } catch (error) {
    if (error instanceof RangeError) return false
    throw error
  }
}

function readIfThere(path: string): Promise<Uint8Array | null> {
  return readFile(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null
    throw error
  })
}

async function tableDamage(directory: string, number: number, size: number): Promise<string | null> {
  const name = `${String(number).padStart(6, '0')}.ldb`
  const table = await readIfThere(join(directory, name))
  if (table === null) return `${name} is missing`
  if (table.length !== size) return `${name} has ${table.length} bytes instead of ${size}`
  return isSoundTable(table) ? null : `${name} has a wrong checksum`
}

/** Looks once. Files may come and go meanwhile, if another process has the database open. */
async function lookForDamage(directory: string): Promise<string | null> {
  const live = await readManifest(directory)
  if (live === null) return null
  for (const [number, size] of live.tables) {
    const damage = await tableDamage(directory, number, size)
    if (damage !== null) return damage
  }
  for (const name of await readdir(directory)) {
    if (!name.endsWith('.log') || Number.parseInt(name, 10) < live.logNumber) continue
    const log = await readIfThere(join(directory, name))
    const offset = log === null ? null : findDamage(log)
    if (offset !== null) return `${name} has a damaged record at byte ${offset}, and sound ones behind it`
  }
  return null
}

/**
 * Reads every file of a LevelDB database that is not open and compares the checksums, which LevelDB itself does not do for
 * its tables: a flipped bit could make it find nothing where term and vote were (catalogue B23), or crash. Answers what is
 * damaged, null if nothing is. Damage stays where it is; what only looked like it, because another process works here, is
 * gone at the second look. @throws what reading the files throws
 */
export async function databaseDamage(directory: string): Promise<string | null> {
  const first = await lookForDamage(directory)
  if (first === null) return null
  await new Promise((resolve) => setTimeout(resolve, SECOND_LOOK_MS))
  return (await lookForDamage(directory)) === first ? first : null
}
