import { randomBytes } from 'node:crypto'
import { parseAddress } from './address.ts'
import { RING_KEYS_MAX, SIGNATURE_BYTES } from './cluster-key.ts'

/** Which run of an agent speaks. Told along with its proof of membership. */
export interface RunNote {
  /** Drawn at the start of the process, in hexadecimal: two processes with one identity differ in it. */
  readonly run: string
  /** host:port that others are told to dial; '' if there was no room for it or it cannot be one. */
  readonly address: string
}

const RUN_BYTES = 16
const MAGIC = Buffer.from('run-note')
const HEAD_BYTES = MAGIC.length + RUN_BYTES + 1
const PROOF_BYTES_MAX = RING_KEYS_MAX * SIGNATURE_BYTES

/** A name for this run of the agent. */
export function drawRun(): string {
  return randomBytes(RUN_BYTES).toString('hex')
}

/**
 * Puts the note behind the signatures of a proof. It has the length of whole signatures: to an agent that knows no notes it
 * is one by a key that it does not hold. Such an agent reads eight signatures at most, so that the address is left out
 * beside seven of them, and the note beside eight.
 */
export function withNote(signatures: Uint8Array, note: RunNote): Uint8Array {
  const room = PROOF_BYTES_MAX - signatures.length
  if (room < HEAD_BYTES) return signatures
  const told = Buffer.from(note.address)
  const address = told.length <= Math.min(room - HEAD_BYTES, 255) ? told : Buffer.alloc(0)
  const bytes = [MAGIC, Buffer.from(note.run, 'hex'), Uint8Array.of(address.length), address]
  const padding = -(HEAD_BYTES + address.length) & (SIGNATURE_BYTES - 1)
  return Buffer.concat([signatures, ...bytes, new Uint8Array(padding)])
}

/** Takes a proof apart. The note is undefined where an agent told none, as older ones do. */
export function splitNote(proof: Uint8Array): {
  readonly signatures: Uint8Array
  readonly note: RunNote | undefined
} {
  const bytes = Buffer.from(proof.buffer, proof.byteOffset, proof.byteLength)
  for (let at = 0; at + SIGNATURE_BYTES <= bytes.length; at += SIGNATURE_BYTES) {
    if (!bytes.subarray(at, at + MAGIC.length).equals(MAGIC)) continue
    const run = bytes.subarray(at + MAGIC.length, at + HEAD_BYTES - 1).toString('hex')
    const start = at + HEAD_BYTES
    const address = bytes.subarray(start, start + (bytes[start - 1] ?? 0)).toString('latin1')
    const note = { run, address: isAddress(address) ? address : '' }
    return { signatures: proof.subarray(0, at), note }
  }
  return { signatures: proof, note: undefined }
}

function isAddress(text: string): boolean {
  // It ends up in the log.
  if (!/^[\x21-\x7e]+$/.test(text)) return false
  try {
    parseAddress(text)
    return true
  } catch {
    return false
  }
}
