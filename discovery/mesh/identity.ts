import { mkdir, open, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import {
  generateKeyPair,
  generateKeyPairFromSeed,
  privateKeyFromProtobuf,
  privateKeyToProtobuf,
} from '@libp2p/crypto/keys'
import type { Ed25519PrivateKey } from '@libp2p/interface'
import { MeshError } from './errors.ts'

/** Name of the file in the data directory that holds the private key of the node. */
export const IDENTITY_FILE = 'identity.key'

const SEED_BYTES = 32

/**
 * Reads the Ed25519 private key of this node from `<dataDir>/identity.key`, or makes one on the first start. The file
 * holds one line: the base64 of the libp2p PrivateKey message (libp2p specs, `peer-ids`). It is written to a temporary
 * file, synced and renamed, so a crash leaves either no key or a whole one.
 *
 * @throws MeshError `MSH_IDENTITY` when the file is damaged or cannot be read or written. A damaged key is never
 *   replaced: the node would come back as a stranger and its old name would stay in the cluster as a dead member.
 */
export async function loadIdentity(dataDir: string): Promise<Ed25519PrivateKey> {
  const path = join(dataDir, IDENTITY_FILE)
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return await createIdentity(dataDir, path)
    throw new MeshError('MSH_IDENTITY', `cannot read the node identity ${path}: ${messageOf(cause)}`, {
      cause,
    })
  }
  return await parseIdentity(text, path)
}

async function parseIdentity(text: string, path: string): Promise<Ed25519PrivateKey> {
  const damaged = (cause?: unknown) =>
    new MeshError(
      'MSH_IDENTITY',
      `the node identity ${path} is damaged. Restore it from a backup, or delete it to join as a new node`,
      { cause },
    )
  const line = text.trim()
  const bytes = Buffer.from(line, 'base64')
  if (bytes.toString('base64') !== line) throw damaged()
  let key: ReturnType<typeof privateKeyFromProtobuf>
  try {
    key = privateKeyFromProtobuf(bytes)
  } catch (cause) {
    throw damaged(cause)
  }
  if (key.type !== 'Ed25519') throw damaged()
  // The file holds the seed and the public key. One flipped bit in either makes a key that signs for nobody.
  const expected = await generateKeyPairFromSeed('Ed25519', key.raw.subarray(0, SEED_BYTES))
  if (!expected.publicKey.equals(key.publicKey)) throw damaged()
  return key
}

async function createIdentity(dataDir: string, path: string): Promise<Ed25519PrivateKey> {
  const key = await generateKeyPair('Ed25519')
  const temporary = `${path}.tmp`
  try {
    await mkdir(dataDir, { recursive: true })
    await rm(temporary, { force: true })
    const file = await open(temporary, 'wx', 0o600)
    try {
      await file.writeFile(`${Buffer.from(privateKeyToProtobuf(key)).toString('base64')}\n`)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, path)
    const directory = await open(dataDir, 'r')
    try {
      await directory.sync()
    } finally {
      await directory.close()
    }
  } catch (cause) {
    throw new MeshError('MSH_IDENTITY', `cannot write the node identity ${path}: ${messageOf(cause)}`, {
      cause,
    })
  }
  return key
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
