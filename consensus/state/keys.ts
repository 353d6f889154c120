import type { ByteKey } from './types.ts'

/** Keys of leases in the KV store. */
export const LEASE_PREFIX = 'constellation/lease/'

/** Keys by which nodes say that they could use a lease, each held with a session of its node. */
export const CLAIM_PREFIX = 'constellation/claim/'

/**
 * Cordons are keys of the store, one below this prefix for each cordoned node, named by its id. So a cordon is a decision
 * like any other: in the log, in every snapshot, watched like a key (`{kind: 'prefix'}`), and it outlives restarts of
 * the node and changes of its address. It ends only when somebody lifts it.
 */
export const CORDON_PREFIX = 'constellation/cordon/'

/** How the leader looks after the servers is a key as well, for the same reasons. */
export const AUTOPILOT_KEY = 'constellation/autopilot'

/** True for keys that are about this cluster and its nodes: a backup of the keys does not hold them, a restore leaves them. */
export function isOfCluster(key: ByteKey): boolean {
  const prefixes = [LEASE_PREFIX, CLAIM_PREFIX, CORDON_PREFIX]
  return prefixes.some((prefix) => key.startsWith(prefix)) || key === AUTOPILOT_KEY
}

const CHUNK = 8192

/** A key from its bytes. */
export function bytesToKey(bytes: Uint8Array): ByteKey {
  let key = ''
  for (let i = 0; i < bytes.length; i += CHUNK) key += String.fromCharCode(...bytes.subarray(i, i + CHUNK))
  return key
}

/** The bytes of a key. */
export function keyToBytes(key: ByteKey): Uint8Array {
  const bytes = new Uint8Array(key.length)
  for (let i = 0; i < key.length; i++) bytes[i] = key.charCodeAt(i)
  return bytes
}

/** A key from text, encoded as UTF-8. */
export function textToKey(text: string): ByteKey {
  return bytesToKey(new TextEncoder().encode(text))
}

/** A key as text; bytes that are not UTF-8 become U+FFFD. */
export function keyToText(key: ByteKey): string {
  return new TextDecoder().decode(keyToBytes(key))
}

/** Smallest key that is larger than every key with this prefix, or undefined if there is none. */
export function prefixEnd(prefix: ByteKey): ByteKey | undefined {
  for (let i = prefix.length - 1; i >= 0; i--) {
    const code = prefix.charCodeAt(i)
    if (code < 0xff) return prefix.slice(0, i) + String.fromCharCode(code + 1)
  }
  return undefined
}
