import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto'
import type { Ed25519PrivateKey } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import type { PeerId } from './types.ts'

/** Bytes of a signature (Ed25519, RFC 8032). */
export const SIGNATURE_BYTES = 64

const SEED_BYTES = 32
// What stands before the 32 bytes of a key in PKCS #8 and SubjectPublicKeyInfo (RFC 8410).
const PRIVATE_KEY_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex')
const PUBLIC_KEY_PREFIX = Buffer.from('302a300506032b6570032100', 'hex')
/** Keys of peers kept ready, so that reading one is not paid for at each signature. */
const KEYS_MAX = 4_096
/** Longest text of a peer id that is looked at: those of Ed25519 keys have 52 characters. */
const PEER_ID_CHARS_MAX = 128

/**
 * Signatures of nodes. The peer id of a node is its public key, so that whoever knows the id can tell what it signed, and
 * no directory of keys is needed.
 *
 * What is signed names the cluster and a context, each with its length: a signature made for one purpose, or in one
 * cluster, is worth nothing for another.
 */
export class Signing {
  readonly #clusterName: string
  readonly #privateKey: KeyObject
  /** Null: an id that is no key. Oldest first. */
  readonly #publicKeys = new Map<PeerId, KeyObject | null>()

  constructor(options: { readonly clusterName: string; readonly privateKey: Ed25519PrivateKey }) {
    this.#clusterName = options.clusterName
    this.#privateKey = createPrivateKey({
      key: Buffer.concat([PRIVATE_KEY_PREFIX, options.privateKey.raw.subarray(0, SEED_BYTES)]),
      format: 'der',
      type: 'pkcs8',
    })
  }

  /** The signature of this node, of {@link SIGNATURE_BYTES}. */
  sign(context: string, payload: Uint8Array): Uint8Array {
    return sign(null, signedBytes(this.#clusterName, context, payload), this.#privateKey)
  }

  /** Whether `peer` has signed the payload for this context. False for whatever is no peer id or no signature. */
  verify(peer: PeerId, context: string, payload: Uint8Array, signature: Uint8Array): boolean {
    if (signature.length !== SIGNATURE_BYTES) return false
    const key = this.#publicKey(peer)
    return key !== null && verify(null, signedBytes(this.#clusterName, context, payload), key, signature)
  }

  #publicKey(peer: PeerId): KeyObject | null {
    const known = this.#publicKeys.get(peer)
    if (known !== undefined) return known
    if (peer.length > PEER_ID_CHARS_MAX) return null
    const key = publicKeyOf(peer)
    this.#publicKeys.set(peer, key)
    for (const oldest of this.#publicKeys.keys()) {
      if (this.#publicKeys.size <= KEYS_MAX) break
      this.#publicKeys.delete(oldest)
    }
    return key
  }
}

function signedBytes(clusterName: string, context: string, payload: Uint8Array): Uint8Array {
  const parts = ['constellation signature 1', clusterName, context].map((text) => Buffer.from(text))
  const head = parts.flatMap((part) => {
    const length = Buffer.alloc(4)
    length.writeUInt32BE(part.length)
    return [length, part]
  })
  return Buffer.concat([...head, payload])
}

function publicKeyOf(peer: PeerId): KeyObject | null {
  try {
    const id = peerIdFromString(peer)
    // One key has more than one text form; a node has exactly one id.
    if (id.type !== 'Ed25519' || id.toString() !== peer) return null
    return createPublicKey({
      key: Buffer.concat([PUBLIC_KEY_PREFIX, id.publicKey.raw]),
      format: 'der',
      type: 'spki',
    })
  } catch {
    return null
  }
}
