import type { MemberMeta } from '../membership/types.ts'
import { installed, isUntouched, type Ring } from './ring.ts'

/** Key of the member meta that holds an {@link announcement}. */
export const KEYS_META = 'keys'

// Enough to tell the few keys of a cluster apart; the meta of a member has 512 bytes for everything.
const CHARS = 8
const FORMAT = /^[0-9a-f]{8}(?:\.[0-9a-f]{8}){0,7}$/

/** What a member last said of its keys. Fingerprints are cut to 8 digits. */
export interface AnnouncedKeys {
  readonly primary: string
  readonly keys: readonly string[]
}

/**
 * What a node tells along with its membership, so that others know which keys it has on disk even when it is down. Null
 * while nothing was ever changed.
 */
export function announcement(ring: Ring | null): string | null {
  if (ring === null || isUntouched(ring)) return null
  return installed(ring)
    .map(({ fingerprint }) => shortFingerprint(fingerprint))
    .join('.')
}

/** Reads an announcement out of a member's meta; null if there is none. */
export function readAnnouncement(meta: MemberMeta): AnnouncedKeys | null {
  const text = meta[KEYS_META]
  if (text === undefined || !FORMAT.test(text)) return null
  const keys = text.split('.')
  return { primary: keys[0] ?? '', keys }
}

/** A fingerprint as announcements have it. */
export function shortFingerprint(fingerprint: string): string {
  return fingerprint.slice(0, CHARS)
}
