import { lstat, open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'

/** What a file is called while it is being written. */
export const UNFINISHED_SUFFIX = '.tmp'

/** True if there is anything at this path. */
export async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
}

/**
 * Writes a file so that there is either all of it, on the disk, or none: to `<path>.tmp`, synced, then renamed. Readable
 * by its owner only. Answers its size in bytes. @throws what the source or the file system throws; nothing is left then.
 */
export async function writeDurably(path: string, source: AsyncIterable<Uint8Array>): Promise<number> {
  const unfinished = `${path}${UNFINISHED_SUFFIX}`
  await rm(unfinished, { force: true })
  let bytes = 0
  try {
    const file = await open(unfinished, 'wx', 0o600)
    try {
      for await (const chunk of source) {
        await file.appendFile(chunk)
        bytes += chunk.length
      }
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(unfinished, path)
  } catch (error) {
    await rm(unfinished, { force: true }).catch(() => {
      // The first error tells what is wrong.
    })
    throw error
  }
  await syncDirectory(dirname(path))
  return bytes
}

/** Makes the new name itself durable. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}
