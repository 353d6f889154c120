import { encodeRecord } from './codec.ts'
import { crc32 } from './crc32.ts'
import type { ByteKey, KeyRecord } from './types.ts'

/** A staging that took no part for this long, by the clock of the log, is dropped. */
export const RESTORE_IDLE_MS = 60_000
/** Bytes of keys and values a restore may bring; it waits in the memory of every node until its commit. */
export const RESTORE_BYTES_MAX = 256 << 20
/** Approximate bytes of a staged record beside its key and value. */
const RECORD_OVERHEAD_BYTES = 64

/** Where a restore stands, in a snapshot of the state. Its parts follow in records of their own. */
export interface StagingHead {
  readonly id: string
  /** Log time of the last part, Unix milliseconds. */
  readonly at: number
  readonly bytes: number
  readonly crc: number
}

interface Staging {
  readonly id: string
  readonly parts: (readonly KeyRecord[])[]
  at: number
  bytes: number
  crc: number
}

/** Checksum of the parts of a restore, `seed` being that of the parts before. The proposer and every node agree on it. */
export function restoreCrc(records: readonly KeyRecord[], seed: number): number {
  return crc32(encodeRecord(records), seed)
}

/** Bytes a record counts against `RESTORE_BYTES_MAX`. */
export function recordBytes(record: KeyRecord): number {
  return record.key.length + record.value.length + RECORD_OVERHEAD_BYTES
}

/**
 * What a restore has brought so far. It is part of the replicated state, but nobody sees it before the commit, which
 * hands all of it over at once. There is one at a time: a newer one replaces it.
 */
export class RestoreStaging {
  #current: Staging | null = null

  /** Bytes staged, 0 when there is no restore. */
  get bytes(): number {
    return this.#current?.bytes ?? 0
  }

  begin(id: string, at: number): true {
    this.#current = { id, parts: [], at, bytes: 0, crc: 0 }
    return true
  }

  /** Takes part `number` (the first is 0). Answers true, or why not. */
  add(id: string, number: number, records: readonly KeyRecord[], at: number): true | string {
    const staging = this.#current
    if (staging?.id !== id) return noSuchRestore(id)
    if (number !== staging.parts.length)
      return `restore ${id} expects part ${staging.parts.length}, not ${number}`
    const bytes = records.reduce((sum, record) => sum + recordBytes(record), staging.bytes)
    if (bytes > RESTORE_BYTES_MAX) {
      this.#current = null
      return `the restore is larger than ${RESTORE_BYTES_MAX} bytes`
    }
    staging.parts.push(records)
    staging.at = at
    staging.bytes = bytes
    staging.crc = restoreCrc(records, staging.crc)
    return true
  }

  /** Ends the restore and hands its keys over, if it is whole; else answers why not. */
  take(id: string, parts: number, crc: number): ReadonlyMap<ByteKey, KeyRecord> | string {
    const staging = this.#current
    if (staging?.id !== id) return noSuchRestore(id)
    this.#current = null
    if (staging.parts.length !== parts) return `restore ${id} has ${staging.parts.length} of ${parts} parts`
    if (staging.crc !== crc) return `restore ${id} has a wrong checksum`
    return new Map(staging.parts.flat().map((record) => [record.key, record]))
  }

  /** Drops a restore whose proposer fell silent. `at`: log time. */
  expire(at: number): void {
    if (this.#current !== null && at - this.#current.at > RESTORE_IDLE_MS) this.#current = null
  }

  /** The restore under way as of now, for a snapshot; later parts do not show in it. Null if there is none. */
  freeze(): { readonly head: StagingHead; readonly parts: readonly (readonly KeyRecord[])[] } | null {
    if (this.#current === null) return null
    const { id, at, bytes, crc, parts } = this.#current
    return { head: { id, at, bytes, crc }, parts: [...parts] }
  }

  /** The head out of a snapshot; its parts follow through `restorePart`. */
  restoreHead(head: StagingHead): void {
    this.#current = { ...head, parts: [] }
  }

  restorePart(records: readonly KeyRecord[]): void {
    this.#current?.parts.push(records)
  }
}

function noSuchRestore(id: string): string {
  return `restore ${id} is not under way: a newer one replaced it, or it brought nothing for too long`
}
