import type { Mesh, PeerId } from '../mesh/types.ts'
import { CatalogError } from './errors.ts'
import { LIMITS } from './limits.ts'
import { type Fields, readText, readVersion } from './shapes.ts'
import type { RecordVersion } from './types.ts'

/**
 * What the owner of a record signs, once for each version: its id, the version and a digest of everything in the record. The
 * same stamp goes with the step to this version, with its announcement, and with every copy of the record that others relay.
 */
export interface Stamp extends RecordVersion {
  readonly id: PeerId
  /** Of the whole record, SHA-256 in hex. */
  readonly digest: string
  /** Of the owner, base64. */
  readonly signature: string
}

/** What stamps are signed for, so that no signature of another kind is ever taken for one. */
export const STAMP_CONTEXT = 'catalog record'

const DIGEST = /^[0-9a-f]{64}$/
// 64 bytes, in the one way to write them.
const SIGNATURE = /^[A-Za-z0-9+/]{85}[AQgw]==$/

/** Signs a version of this node's record. */
export function signStamp(mesh: Pick<Mesh, 'id' | 'sign'>, version: RecordVersion, digest: string): Stamp {
  const { incarnation, sequence } = version
  const signature = mesh.sign(STAMP_CONTEXT, input({ id: mesh.id, incarnation, sequence, digest }))
  return Object.freeze({
    id: mesh.id,
    incarnation,
    sequence,
    digest,
    signature: Buffer.from(signature).toString('base64'),
  })
}

/** Whether the node it names has signed it. */
export function verifyStamp(mesh: Pick<Mesh, 'verify'>, stamp: Stamp): boolean {
  return mesh.verify(stamp.id, STAMP_CONTEXT, input(stamp), Buffer.from(stamp.signature, 'base64'))
}

/** Reads a stamp, whose signature is not looked at. @throws CatalogError `CAT_INVALID` */
export function readStamp(fields: Fields): Stamp {
  const { incarnation, sequence } = readVersion(fields)
  const digest = readText(fields.digest, 64, 64, 'digest')
  const signature = readText(fields.signature, 88, 88, 'signature')
  if (!DIGEST.test(digest)) throw new CatalogError('CAT_INVALID', 'digest is no digest')
  if (!SIGNATURE.test(signature)) throw new CatalogError('CAT_INVALID', 'signature is no signature')
  const id = readText(fields.id, 1, LIMITS.peerIdChars, 'id')
  return Object.freeze({ id, incarnation, sequence, digest, signature })
}

function input({ id, incarnation, sequence, digest }: Omit<Stamp, 'signature'>): Uint8Array {
  return Buffer.from(JSON.stringify([1, id, incarnation, sequence, digest]))
}
