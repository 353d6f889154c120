import type { ByteKey } from '../../consensus/client.ts'
import { keyToText, textToKey } from '../../consensus/state/keys.ts'

/**
 * What is declared about nodes lives in keys below this prefix, one for each node, service and check, so that it is in the log,
 * in snapshots and in backups, and is watched like any key. Names and ids are percent-encoded, so that a slash cannot part them.
 */
export const DECLARED_PREFIX = 'constellation/catalog/'

/** What a key below the prefix is about. */
export type DeclaredKey =
  | { readonly kind: 'node'; readonly node: string }
  | { readonly kind: 'service' | 'check'; readonly node: string; readonly id: string }

/** The key of a declared node. @throws URIError if the name is not well-formed Unicode */
export function nodeKey(node: string): ByteKey {
  return textToKey(`${DECLARED_PREFIX}node/${encodeURIComponent(node)}`)
}

/** The key of a declared service or check. @throws URIError if a name is not well-formed Unicode */
export function partKey(kind: 'service' | 'check', node: string, id: string): ByteKey {
  return textToKey(`${DECLARED_PREFIX}${kind}/${encodeURIComponent(node)}/${encodeURIComponent(id)}`)
}

/** Below it are all declared services, or checks, of one node. @throws URIError as `nodeKey` */
export function partPrefix(kind: 'service' | 'check', node: string): ByteKey {
  return textToKey(`${DECLARED_PREFIX}${kind}/${encodeURIComponent(node)}/`)
}

/** What a key is about; null for one that no declaration wrote. */
export function parseDeclaredKey(key: ByteKey): DeclaredKey | null {
  const [kind, ...encoded] = keyToText(key).slice(DECLARED_PREFIX.length).split('/')
  const [node, id] = encoded.map(decode)
  if (kind === 'node' && encoded.length === 1 && node) return { kind, node }
  if ((kind === 'service' || kind === 'check') && encoded.length === 2 && node && id)
    return { kind, node, id }
  return null
}

function decode(part: string): string | null {
  try {
    return decodeURIComponent(part)
  } catch {
    return null
  }
}
