import { createHmac, timingSafeEqual } from 'node:crypto'

/** Version of the membership proof. Peers of another version are refused by name. */
export const PROOF_VERSION = 1
/** Bytes of the random challenge each side sends. */
export const NONCE_BYTES = 32
const TAG_BYTES = 32
/** Bytes of a hello: version, nonce, cluster tag. */
export const HELLO_BYTES = 1 + NONCE_BYTES + TAG_BYTES

/** First message of each side. */
export interface Hello {
  readonly version: number
  readonly nonce: Uint8Array
  /** Says which cluster is meant to those who know its name, and nothing to others. */
  readonly clusterTag: Uint8Array
}

/** Which side of the connection made a proof. In it, so that a proof cannot be sent back to its maker. */
export type ProofRole = 'initiator' | 'responder'

/** Everything a proof binds: a proof of one connection is worthless on any other. */
export interface ProofContext {
  readonly clusterName: string
  readonly initiator: { readonly peer: string; readonly nonce: Uint8Array }
  readonly responder: { readonly peer: string; readonly nonce: Uint8Array }
}

/** HMAC-SHA256 of the cluster name under the sender's own nonce: different each time, so it can be neither read nor replayed. */
export function clusterTag(nonce: Uint8Array, clusterName: string): Uint8Array {
  return createHmac('sha256', nonce).update(`constellation cluster\0${clusterName}`).digest()
}

/** Writes the first message of this side. */
export function encodeHello(nonce: Uint8Array, clusterName: string): Uint8Array {
  return Buffer.concat([Uint8Array.of(PROOF_VERSION), nonce, clusterTag(nonce, clusterName)])
}

/** Reads a first message; undefined when it cannot be one. Of another version only the version is known to be right. */
export function decodeHello(bytes: Uint8Array): Hello | undefined {
  const version = bytes[0]
  if (version === undefined || (version === PROOF_VERSION && bytes.length !== HELLO_BYTES)) return undefined
  return {
    version,
    nonce: bytes.slice(1, 1 + NONCE_BYTES),
    clusterTag: bytes.slice(1 + NONCE_BYTES, HELLO_BYTES),
  }
}

/** Whether a peer's hello names our cluster. */
export function sameCluster(hello: Hello, clusterName: string): boolean {
  const expected = clusterTag(hello.nonce, clusterName)
  return expected.length === hello.clusterTag.length && timingSafeEqual(expected, hello.clusterTag)
}

/** The bytes a proof signs. Every part carries its length, so that no two contexts share one text. */
export function proofInput(context: ProofContext, role: ProofRole): Uint8Array {
  const parts = [
    Buffer.from(`constellation membership proof ${PROOF_VERSION}`),
    Buffer.from(role),
    Buffer.from(context.initiator.peer),
    Buffer.from(context.responder.peer),
    context.initiator.nonce,
    context.responder.nonce,
    Buffer.from(context.clusterName),
  ]
  return Buffer.concat(
    parts.flatMap((part) => {
      const length = Buffer.alloc(4)
      length.writeUInt32BE(part.length)
      return [length, part]
    }),
  )
}
