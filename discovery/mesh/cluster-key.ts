import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { MeshError } from './errors.ts'

/** Length of a cluster key in bytes. */
export const CLUSTER_KEY_BYTES = 32

const MODE_OTHERS = 0o007
const FILE_BYTES_MAX = 4_096

/** A new random cluster key as one line of base64, as it is kept in the key file. No newline at the end. */
export function generateClusterKey(): string {
  return randomBytes(CLUSTER_KEY_BYTES).toString('base64')
}

/**
 * Reads the text of a cluster key: 32 bytes in base64, white space around it is ignored.
 * @throws MeshError `MSH_KEY_FILE`. The text itself is never part of the message.
 */
export function parseClusterKey(text: string): Uint8Array {
  const line = text.trim()
  const bytes = Buffer.from(line, 'base64')
  if (bytes.length !== CLUSTER_KEY_BYTES || bytes.toString('base64') !== line) {
    throw new MeshError(
      'MSH_KEY_FILE',
      `a cluster key is ${CLUSTER_KEY_BYTES} bytes in base64 (44 characters on one line). "constellation keygen" makes one`,
    )
  }
  return new Uint8Array(bytes)
}

/**
 * Reads the cluster key from a file. Its owner and group may read it, others may not.
 * @throws MeshError `MSH_KEY_FILE` naming the file and what is allowed.
 */
export async function readClusterKey(path: string): Promise<Uint8Array> {
  let text: string
  try {
    const { mode, size } = await stat(path)
    if ((mode & MODE_OTHERS) !== 0) {
      throw new MeshError(
        'MSH_KEY_FILE',
        `the cluster key file ${path} is open to every user of this machine (mode ${(mode & 0o777).toString(8)}): run chmod 600 ${path}`,
      )
    }
    if (size > FILE_BYTES_MAX) throw new MeshError('MSH_KEY_FILE', `${path} is too large for a cluster key`)
    text = await readFile(path, 'utf8')
  } catch (cause) {
    if (cause instanceof MeshError) throw cause
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new MeshError('MSH_KEY_FILE', `cannot read the cluster key file ${path}: ${reason}`, { cause })
  }
  try {
    return parseClusterKey(text)
  } catch (cause) {
    throw new MeshError(
      'MSH_KEY_FILE',
      `${path}: ${cause instanceof Error ? cause.message : String(cause)}`,
      {
        cause,
      },
    )
  }
}

/** Keys of a ring that a proof can carry. */
export const RING_KEYS_MAX = 8

/** Bytes of one signature in a proof. */
export const SIGNATURE_BYTES = 32
const FINGERPRINT_CHARS = 16

/** Names a key without telling anything about it: 16 hexadecimal digits of a hash. For logs, answers and comparisons. */
export function keyFingerprint(key: Uint8Array): string {
  return createHash('sha256')
    .update('constellation cluster key fingerprint\0')
    .update(key)
    .digest('hex')
    .slice(0, FINGERPRINT_CHARS)
}

/**
 * The keys of a cluster that proofs are made and judged with. A proof carries one signature for every key, and one that
 * matches is enough: two nodes connect whenever they share any key, whichever of them is the primary of either.
 */
export class Keyring {
  #keys: readonly Uint8Array[] = []

  /** @throws MeshError `MSH_KEY_FILE` */
  constructor(keys: readonly Uint8Array[]) {
    this.replace(keys)
  }

  /** Proves and judges with these from now on, the primary first. Connections that stand are not touched. @throws MeshError `MSH_KEY_FILE` */
  replace(keys: readonly Uint8Array[]): void {
    for (const key of keys) {
      if (key.length !== CLUSTER_KEY_BYTES) {
        throw new MeshError('MSH_KEY_FILE', `a cluster key is ${CLUSTER_KEY_BYTES} bytes, not ${key.length}`)
      }
    }
    if (keys.length > RING_KEYS_MAX) {
      throw new MeshError(
        'MSH_KEY_FILE',
        `there are ${keys.length} cluster keys, the limit is ${RING_KEYS_MAX}`,
      )
    }
    this.#keys = keys.map((key) => Uint8Array.from(key))
  }

  /** False for a node without a cluster key. */
  get usable(): boolean {
    return this.#keys.length > 0
  }

  /** One HMAC-SHA256 of the data under each key, the primary first. @throws MeshError `MSH_NO_KEY` */
  sign(data: Uint8Array): Uint8Array {
    if (this.#keys.length === 0) throw new MeshError('MSH_NO_KEY', 'there is no cluster key to sign with')
    return Buffer.concat(this.#keys.map((key) => createHmac('sha256', key).update(data).digest()))
  }

  /** Whether any key made any of these signatures. Tries them all, in time that does not depend on where they differ. */
  verify(data: Uint8Array, signatures: Uint8Array): boolean {
    if (signatures.length % SIGNATURE_BYTES !== 0) return false
    if (signatures.length > RING_KEYS_MAX * SIGNATURE_BYTES) return false
    let found = false
    for (const key of this.#keys) {
      const expected = createHmac('sha256', key).update(data).digest()
      for (let at = 0; at < signatures.length; at += SIGNATURE_BYTES) {
        if (timingSafeEqual(expected, signatures.subarray(at, at + SIGNATURE_BYTES))) found = true
      }
    }
    return found
  }
}
