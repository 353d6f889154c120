import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { replaceFile } from '../membership/kept-file.ts'
import { KeyringError } from './errors.ts'
import { type Ring, ringDigest } from './ring.ts'
import { parseRing, ringJson } from './ring-codec.ts'

const FILE = 'keyring.json'
const FORMAT = 1
const MODE_OTHERS = 0o007
const FILE_BYTES_MAX = 64 * 1024

/** `<dataDir>/keyring.json`: the keys of the cluster in clear text, for this process and its user only. */
export class RingFile {
  readonly path: string

  constructor(options: { readonly dataDir: string }) {
    this.path = join(options.dataDir, FILE)
  }

  /**
   * The ring that was written last; null if none ever was.
   * @throws KeyringError `KRG_FILE` if it is open to others, damaged, or cannot be read.
   */
  async load(): Promise<Ring | null> {
    let text: string
    try {
      const { mode, size } = await stat(this.path)
      if ((mode & MODE_OTHERS) !== 0) {
        const octal = (mode & 0o777).toString(8)
        throw this.#error(
          `is open to every user of this machine (mode ${octal}): run chmod 600 ${this.path}, and change the cluster key if somebody may have read it`,
        )
      }
      if (size > FILE_BYTES_MAX) throw this.#damaged()
      text = await readFile(this.path, 'utf8')
    } catch (cause) {
      if (cause instanceof KeyringError) throw cause
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return null
      throw this.#error(`cannot be read: ${(cause as Error).message}`, cause)
    }
    return this.#decode(text)
  }

  /** Replaces the file; after a crash at any point it holds the old ring or the new one. @throws KeyringError `KRG_FILE` */
  async save(ring: Ring): Promise<void> {
    const text = JSON.stringify({ format: FORMAT, digest: ringDigest(ring), ...ringJson(ring) }, null, 2)
    try {
      await replaceFile(this.path, `${text}\n`)
    } catch (cause) {
      throw this.#error(`cannot be written: ${(cause as Error).message}`, cause)
    }
  }

  #decode(text: string): Ring {
    try {
      const value = JSON.parse(text)
      const ring = parseRing(value)
      if (value.format !== FORMAT || value.digest !== ringDigest(ring)) throw this.#damaged()
      return ring
    } catch {
      // The cause of a failed JSON.parse quotes the text, and with it a key.
      throw this.#damaged()
    }
  }

  #damaged(): KeyringError {
    return this.#error(
      'is damaged. Put the primary key of the cluster into cluster.key_file and remove this file: the node gets the other keys from the members it joins',
    )
  }

  #error(what: string, cause?: unknown): KeyringError {
    return new KeyringError('KRG_FILE', `the keyring ${this.path} ${what}`, { cause })
  }
}
