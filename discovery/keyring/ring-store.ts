import type { Logger } from 'pino'
import { keyFingerprint } from '../mesh/cluster-key.ts'
import { firstRing, installed, mergeRings, type Ring, ringDigest } from './ring.ts'
import { RingFile } from './ring-file.ts'

/** Where the keys of this node come from. */
export interface RingStoreOptions {
  readonly dataDir: string
  /** The key of `cluster.key_file`; null without one. */
  readonly fileKey: Uint8Array | null
}

type Listener = (ring: Ring) => void

/**
 * The keyring of this node. It begins as the key of the key file; from the first change on it is kept in the data directory
 * and wins over that file, so that a key that was removed stays removed.
 */
export class RingStore {
  readonly #file: RingFile
  readonly #log: Logger
  readonly #listeners = new Set<Listener>()
  #ring: Ring | null
  #merging: Promise<unknown> = Promise.resolve()

  private constructor(ring: Ring | null, file: RingFile, log: Logger) {
    this.#ring = ring
    this.#file = file
    this.#log = log
  }

  /** Reads the ring. Warns if the key file holds a key that is not in it. @throws KeyringError `KRG_FILE` */
  static async open(options: RingStoreOptions, collaborators: { readonly log: Logger }): Promise<RingStore> {
    const { dataDir, fileKey } = options
    const file = new RingFile({ dataDir })
    const kept = await file.load()
    const first = fileKey === null ? null : firstRing(fileKey)
    if (kept !== null && fileKey !== null) {
      const fingerprint = keyFingerprint(fileKey)
      const keys = installed(kept)
      if (!keys.some((entry) => entry.fingerprint === fingerprint)) {
        collaborators.log.warn(
          { fingerprint, primary: keys[0]?.fingerprint, file: file.path },
          `the key in cluster.key_file (${fingerprint}) is not in the keyring of this node and is not used; ` +
            `put the primary key (${keys[0]?.fingerprint}) into that file. Only to give this node another cluster's key, remove ${file.path}`,
        )
      }
    }
    return new RingStore(kept ?? first, file, collaborators.log)
  }

  /** Null on a node without any cluster key. */
  get ring(): Ring | null {
    return this.#ring
  }

  /** The keys in use, the primary first; empty without any. */
  keys(): readonly Uint8Array[] {
    return this.#ring === null ? [] : installed(this.#ring).map(({ key }) => key)
  }

  /**
   * Takes in what `ring` says; answers the ring of this node once it is on disk and in use. One merge runs at a time.
   * @throws KeyringError `KRG_FILE`; then nothing has changed.
   */
  merge(ring: Ring): Promise<Ring> {
    return this.#inTurn(() => ring)
  }

  /**
   * As `merge`, with what `say` answers when no other merge can come between any more. It may throw: then nothing has changed.
   * @throws KeyringError `KRG_FILE`, and whatever `say` throws
   */
  change(say: () => Ring): Promise<Ring> {
    return this.#inTurn(say)
  }

  #inTurn(news: () => Ring): Promise<Ring> {
    const done = this.#merging.then(() => this.#merge(news()))
    this.#merging = done.catch(() => undefined)
    return done
  }

  async #merge(other: Ring): Promise<Ring> {
    const before = this.#ring
    const after = before === null ? other : mergeRings(before, other)
    if (before !== null && ringDigest(before) === ringDigest(after)) return before
    // On disk before it counts: a key that others believe to be here must survive a crash.
    await this.#file.save(after)
    this.#ring = after
    const [primary, ...others] = installed(after).map(({ fingerprint }) => fingerprint)
    this.#log.info({ primary, others }, 'the cluster keys have changed')
    for (const listener of [...this.#listeners]) listener(after)
    return after
  }

  /** Fires after each change. Returns the way to stop. */
  onChange(listener: Listener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
}
