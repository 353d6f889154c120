import { damaged } from './errors.ts'

const BLOCK_BYTES = 512
/** Two empty blocks end an archive (POSIX pax, ustar format). */
export const TAR_END = new Uint8Array(2 * BLOCK_BYTES)

/** Positions of the header fields that are used (POSIX pax, ustar format). */
const FIELD = {
  name: 0,
  mode: 100,
  uid: 108,
  gid: 116,
  size: 124,
  mtime: 136,
  checksum: 148,
  type: 156,
  magic: 257,
}

/** The header of one regular file, readable by its owner only. `size` in bytes, `mtime` in Unix seconds. */
export function tarHeader(name: string, size: number, mtime: number): Uint8Array {
  const header = Buffer.alloc(BLOCK_BYTES)
  const octal = (value: number, at: number, length: number) =>
    header.write(value.toString(8).padStart(length - 1, '0'), at, 'latin1')
  header.write(name, FIELD.name, 'latin1')
  octal(0o600, FIELD.mode, 8)
  octal(0, FIELD.uid, 8)
  octal(0, FIELD.gid, 8)
  octal(size, FIELD.size, 12)
  octal(mtime, FIELD.mtime, 12)
  header.write('0', FIELD.type, 'latin1')
  header.write('ustar\x0000', FIELD.magic, 'latin1')
  octal(checksumOf(header), FIELD.checksum, 7)
  return header
}

/** What follows the bytes of a file, to the next block. */
export function tarPadding(size: number): Uint8Array {
  return new Uint8Array((BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES)
}

/** Sum of the header's bytes with its checksum field taken as spaces. */
function checksumOf(header: Uint8Array): number {
  let sum = 0
  for (let i = 0; i < BLOCK_BYTES; i++) {
    const inside = i >= FIELD.checksum && i < FIELD.checksum + 8
    sum += inside ? 0x20 : (header[i] ?? 0)
  }
  return sum
}

/**
 * The regular files of an archive, by name, in order; a leading "./" is left out. Their bytes are not copied.
 * @throws ArchiveError unless it is a whole archive of at most `filesMax` regular files with different names.
 */
export function readTar(archive: Buffer, filesMax: number): ReadonlyMap<string, Buffer> {
  const files = new Map<string, Buffer>()
  for (let at = 0; ; ) {
    if (at + BLOCK_BYTES > archive.length) throw damaged('the archive is cut short')
    const header = archive.subarray(at, at + BLOCK_BYTES)
    if (header.every((byte) => byte === 0)) return files
    const field = (start: number, length: number) =>
      header.toString('latin1', start, start + length).replace(/[\0 ].*$/s, '')
    const octal = (start: number, length: number) => {
      const digits = field(start, length)
      return /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : Number.NaN
    }
    if (octal(FIELD.checksum, 8) !== checksumOf(header))
      throw damaged('the archive is no tar, or its header is wrong')
    const name = field(FIELD.name, 100).replace(/^\.\//, '')
    const size = octal(FIELD.size, 12)
    const type = field(FIELD.type, 1)
    if (type !== '' && type !== '0')
      throw damaged(`${JSON.stringify(name)} in the archive is no regular file`)
    const start = at + BLOCK_BYTES
    if (!Number.isSafeInteger(size) || start + size > archive.length)
      throw damaged('the archive is cut short')
    if (files.has(name)) throw damaged(`${JSON.stringify(name)} is in the archive twice`)
    if (files.size >= filesMax) throw damaged('the archive holds other files')
    files.set(name, archive.subarray(start, start + size))
    at = start + size + tarPadding(size).length
  }
}
