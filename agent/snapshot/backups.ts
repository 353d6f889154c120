import type { Readable } from 'node:stream'
import type { Consistency, KeyBackup } from '../../consensus/client.ts'
import { type ArchiveMeta, readArchive, writeArchive } from './archive.ts'

/** An archive about to be written out. */
export interface SavedArchive {
  readonly meta: ArchiveMeta
  /** The bytes of the archive. It must be read or destroyed. */
  open(): Readable
  readonly knownLeader: boolean
  readonly lastContactMs: number
}

/** Archives of all keys: made of what this cluster holds, and put back into it. */
export class Backups {
  readonly #about: { readonly cluster: string; readonly node: string }
  readonly #keys: KeyBackup
  readonly #wall: () => number

  /** `about`: names of the cluster and of this node. `wall`: Unix milliseconds. */
  constructor(
    about: { readonly cluster: string; readonly node: string },
    collaborators: { readonly keys: KeyBackup; readonly wall: () => number },
  ) {
    this.#about = about
    this.#keys = collaborators.keys
    this.#wall = collaborators.wall
  }

  /** The keys of this moment, as an archive. @throws ConsensusError as `KeyBackup.read` */
  async save(
    consistency: Consistency,
    options: { readonly signal?: AbortSignal; readonly timeoutMs?: number } = {},
  ): Promise<SavedArchive> {
    const saved = await this.#keys.read(consistency, options)
    const { index, term, clusterId, modifyIndex, records, knownLeader, lastContactMs } = saved
    const created = new Date(this.#wall()).toISOString()
    const meta = { index, term, created, clusterId, ...this.#about, modifyIndex }
    return {
      meta: { ...meta, keys: records.length },
      open: () => writeArchive(meta, records),
      knownLeader,
      lastContactMs,
    }
  }

  /**
   * Replaces the keys by those of an archive, once all of it was checked. Answers what the archive says about itself.
   * @throws ArchiveError (nothing changed), ConsensusError as `KeyBackup.restore`
   */
  async restore(bytes: Uint8Array, signal?: AbortSignal): Promise<ArchiveMeta> {
    const { meta, records } = await readArchive(bytes)
    await this.#keys.restore(records, signal)
    return meta
  }
}
