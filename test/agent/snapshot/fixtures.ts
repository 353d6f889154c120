import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { type ArchiveMeta, writeArchive } from '../../../agent/snapshot/archive.ts'
import type { KeyRecord } from '../../../consensus/client.ts'

export const META: Omit<ArchiveMeta, 'keys'> = {
  index: 45,
  term: 2,
  created: '2026-11-21T03:41:07.500Z',
  clusterId: 'c-1',
  cluster: 'home',
  node: 'n1',
  modifyIndex: 44,
}

/** Records with these keys; each value is the key twice. */
export function recordsOf(...keys: readonly string[]): KeyRecord[] {
  return keys.map((key, i) => ({ key, value: Buffer.from(key + key, 'latin1'), flags: BigInt(i) }))
}

/** Everything a stream gives. */
export async function collect(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of stream) chunks.push(chunk)
  return Buffer.concat(chunks)
}

/** An archive of these records. */
export function archiveOf(records: readonly KeyRecord[], meta = META): Promise<Buffer> {
  return collect(writeArchive(meta, records))
}

/** A folder that goes with the test. */
export async function folder(t: Test): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'snapshot-'))
  t.teardown(() => rm(path, { recursive: true, force: true }))
  return path
}
