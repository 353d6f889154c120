import { constants, type Stats } from 'node:fs'
import { open, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { FILE_BYTES_MAX } from './documents.ts'
import { ServiceFileError } from './errors.ts'

const FILES_MAX = 1_024
const NAME = /^[^.].*\.(?:ya?ml|json)$/i

/** A file that is there. */
export interface FoundFile {
  readonly path: string
  readonly name: string
  /** Changes with the content: identity, size and time of the last write. Null if it cannot be looked at. */
  readonly signature: string | null
  /** When it was written last, on the wall clock, in ms. */
  readonly writtenMs: number
}

/** What a folder holds. */
export interface Listing {
  /** Sorted by name. */
  readonly files: readonly FoundFile[]
  /** How many more there are than are looked at. */
  readonly tooMany: number
  /** Changes when another folder takes the place of this one. */
  readonly identity: string
}

/**
 * The service files of a folder: `*.yaml`, `*.yml` and `*.json` but hidden ones, links followed.
 * @throws the error of the file system when the folder cannot be read
 */
export async function listFolder(directory: string): Promise<Listing> {
  const { dev, ino } = await stat(directory)
  const names = (await readdir(directory)).filter((name) => NAME.test(name)).toSorted()
  const files: FoundFile[] = []
  for (const name of names.slice(0, FILES_MAX)) {
    const path = join(directory, name)
    try {
      const stats = await stat(path)
      // A pipe or a device would be read for ever.
      if (stats.isFile()) files.push({ path, name, signature: signatureOf(stats), writtenMs: stats.mtimeMs })
    } catch (error) {
      // Gone between the list and the look, or a link to nowhere: the one is no file any more, the other is not one yet.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
        files.push({ path, name, signature: null, writtenMs: 0 })
      }
    }
  }
  return { files, tooMany: Math.max(0, names.length - FILES_MAX), identity: `${dev}:${ino}` }
}

/** The text of a file. @throws ServiceFileError `FIL_UNREADABLE`, `FIL_TOO_LARGE`, `FIL_SYNTAX` unless it is UTF-8 */
export async function readText(path: string): Promise<string> {
  let bytes: Buffer
  try {
    // Not blocking, should it have become a pipe.
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
    try {
      if ((await file.stat()).size > FILE_BYTES_MAX) {
        throw new ServiceFileError('FIL_TOO_LARGE', `it has more than ${FILE_BYTES_MAX} bytes`)
      }
      bytes = await file.readFile()
    } finally {
      await file.close()
    }
  } catch (cause) {
    if (cause instanceof ServiceFileError) throw cause
    const { code, message } = cause as NodeJS.ErrnoException
    throw new ServiceFileError('FIL_UNREADABLE', `it cannot be read: ${code ?? message}`, { cause })
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new ServiceFileError('FIL_SYNTAX', 'it is not UTF-8 text', { cause })
  }
}

function signatureOf({ dev, ino, size, mtimeMs, ctimeMs }: Stats): string {
  return [dev, ino, size, mtimeMs, ctimeMs].join(':')
}
