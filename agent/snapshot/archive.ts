import { createHash } from 'node:crypto'
import { pipeline, Readable } from 'node:stream'
import { promisify } from 'node:util'
import { createGzip, gunzip } from 'node:zlib'
import type { KeyRecord } from '../../consensus/client.ts'
import { ArchiveError, damaged, foreign } from './errors.ts'
import { decodeKeys, encodeKeys, keysSize } from './key-codec.ts'
import { readTar, TAR_END, tarHeader, tarPadding } from './tar.ts'

/** Largest archive that is read, packed or unpacked: what a restore may bring, and a little for the container. */
export const ARCHIVE_BYTES_MAX = 260 << 20

const FORMAT = 'constellation-keys'
const FORMAT_VERSION = 1
const META = 'meta.json'
const STATE = 'state.bin'
const SUMS = 'SHA256SUMS'
const FILES = [META, STATE, SUMS]
/** How much is hashed or decoded between two turns of the event loop, which has heartbeats to answer. */
const TURN_BYTES = 4 << 20
const CHUNK_BYTES = 64 << 10

/** What an archive says about itself. */
export interface ArchiveMeta {
  /** Last log entry its keys include. */
  readonly index: number
  readonly term: number
  /** When it was made, ISO 8601. */
  readonly created: string
  readonly clusterId: string | null
  /** Name of the cluster. */
  readonly cluster: string
  /** Name of the node that made it. */
  readonly node: string
  readonly keys: number
  /** ModifyIndex of the key changed last; 0 without keys. */
  readonly modifyIndex: number
}

/** An archive that was read and found whole. */
export interface Archive {
  readonly meta: ArchiveMeta
  /** Bytes of keys, values and flags, unpacked. */
  readonly stateBytes: number
  /** May be iterated more than once. */
  readonly records: Iterable<KeyRecord>
}

/**
 * A gzip'd tar of meta.json, state.bin and SHA256SUMS: the container of Consul's snapshots (`consul snapshot save` checks
 * names, sums and the size in meta.json), with a state.bin of our own. Errors destroy the stream.
 */
export function writeArchive(meta: Omit<ArchiveMeta, 'keys'>, records: readonly KeyRecord[]): Readable {
  return pipeline(Readable.from(tarOf(meta, records), { objectMode: false }), createGzip(), () => {
    // Whoever reads the stream sees its error.
  })
}

async function* tarOf(
  about: Omit<ArchiveMeta, 'keys'>,
  records: readonly KeyRecord[],
): AsyncGenerator<Buffer> {
  const size = keysSize(records)
  const mtime = Math.floor(Date.parse(about.created) / 1000)
  const meta = Buffer.from(`${JSON.stringify(metaJson({ ...about, keys: records.length }, size))}\n`)
  yield* entry(META, meta, mtime)
  yield Buffer.from(tarHeader(STATE, size, mtime))
  const hash = createHash('sha256')
  for (const chunk of chunked(encodeKeys(records))) {
    hash.update(chunk)
    yield chunk
  }
  yield Buffer.from(tarPadding(size))
  const sums = `${sha256(meta)}  ${META}\n${hash.digest('hex')}  ${STATE}\n`
  yield* entry(SUMS, Buffer.from(sums), mtime)
  yield Buffer.from(TAR_END)
}

function* entry(name: string, bytes: Buffer, mtime: number): Generator<Buffer> {
  yield Buffer.concat([tarHeader(name, bytes.length, mtime), bytes, tarPadding(bytes.length)])
}

/** Joins small pieces, which would cost a call of the compressor each. */
function* chunked(pieces: Iterable<Buffer>): Generator<Buffer> {
  let chunk: Buffer[] = []
  let bytes = 0
  for (const piece of pieces) {
    chunk.push(piece)
    bytes += piece.length
    if (bytes < CHUNK_BYTES) continue
    yield Buffer.concat(chunk)
    chunk = []
    bytes = 0
  }
  if (bytes > 0) yield Buffer.concat(chunk)
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** The fields Consul's tools look at, then ours. */
function metaJson(meta: ArchiveMeta, size: number): Record<string, unknown> {
  return {
    Version: 1,
    ID: `${meta.term}-${meta.index}-${Date.parse(meta.created)}`,
    Index: meta.index,
    Term: meta.term,
    Peers: '',
    Configuration: { Servers: [] },
    ConfigurationIndex: 0,
    Size: size,
    Format: FORMAT,
    FormatVersion: FORMAT_VERSION,
    Created: meta.created,
    ClusterID: meta.clusterId,
    Cluster: meta.cluster,
    Node: meta.node,
    Keys: meta.keys,
    ModifyIndex: meta.modifyIndex,
  }
}

/**
 * Reads an archive and checks all of it: sums, sizes, every record. Nothing of it is to be used unless this returns.
 * @throws ArchiveError
 */
export async function readArchive(bytes: Uint8Array): Promise<Archive> {
  const files = readTar(await unpack(bytes), FILES.length)
  const [meta, state, sums] = FILES.map((name) => files.get(name))
  if (meta === undefined || state === undefined || sums === undefined) {
    throw foreign(`it does not hold ${FILES.join(', ')}`)
  }
  const expected = `${sha256(meta)}  ${META}\n${await sha256Paced(state)}  ${STATE}\n`
  if (sortedLines(sums.toString('latin1')) !== sortedLines(expected)) {
    throw damaged('its checksums are wrong')
  }
  const parsed = parseMeta(meta.toString('utf8'), state.length)
  const records = { [Symbol.iterator]: () => decodeKeys(state) }
  const keys = await countPaced(records)
  if (keys !== parsed.keys) throw damaged(`it holds ${keys} of ${parsed.keys} keys`)
  return { meta: parsed, stateBytes: state.length, records }
}

async function unpack(bytes: Uint8Array): Promise<Buffer> {
  if (bytes.length > ARCHIVE_BYTES_MAX) throw tooLarge()
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) throw foreign('it is not compressed with gzip')
  try {
    return await promisify(gunzip)(bytes, { maxOutputLength: ARCHIVE_BYTES_MAX })
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge()
    throw damaged(code === 'Z_BUF_ERROR' ? 'it is cut short' : message, error)
  }
}

function tooLarge(): ArchiveError {
  return new ArchiveError('SNP_TOO_LARGE', `the snapshot is larger than ${ARCHIVE_BYTES_MAX} bytes`)
}

function sortedLines(text: string): string {
  return text.trimEnd().split('\n').toSorted().join('\n')
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

async function sha256Paced(bytes: Buffer): Promise<string> {
  const hash = createHash('sha256')
  for (let at = 0; at < bytes.length; at += TURN_BYTES) {
    hash.update(bytes.subarray(at, at + TURN_BYTES))
    await turn()
  }
  return hash.digest('hex')
}

async function countPaced(records: Iterable<KeyRecord>): Promise<number> {
  let count = 0
  for (const _ of records) {
    count++
    if (count % 1000 === 0) await turn()
  }
  return count
}

function parseMeta(text: string, stateBytes: number): ArchiveMeta {
  let value: Readonly<Record<string, unknown>>
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw damaged('meta.json cannot be read', error)
  }
  if (value?.Format !== FORMAT) {
    throw foreign(value?.Version === 1 ? 'it looks like one of Consul' : 'meta.json names another format')
  }
  if (value.FormatVersion !== FORMAT_VERSION) {
    throw foreign(`it has version ${String(value.FormatVersion)}, this program knows ${FORMAT_VERSION}`)
  }
  if (value.Size !== stateBytes) throw damaged(`state.bin has ${stateBytes} of ${String(value.Size)} bytes`)
  const number = (name: string): number => {
    const found = value[name]
    if (typeof found !== 'number' || !Number.isSafeInteger(found) || found < 0) {
      throw damaged(`meta.json has no ${name}`)
    }
    return found
  }
  const textOf = (name: string): string => {
    const found = value[name]
    if (typeof found !== 'string') throw damaged(`meta.json has no ${name}`)
    return found
  }
  return {
    index: number('Index'),
    term: number('Term'),
    created: textOf('Created'),
    clusterId: value.ClusterID === null ? null : textOf('ClusterID'),
    cluster: textOf('Cluster'),
    node: textOf('Node'),
    keys: number('Keys'),
    modifyIndex: number('ModifyIndex'),
  }
}
