import { access, constants, mkdir, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'

/** A data directory that cannot be used; the message names it and the setting. */
export class DataDirError extends Error {
  readonly code = 'CST_DATA_DIR'

  constructor(path: string, why: string, options?: { cause: unknown }) {
    super(`cannot keep data in ${path}: ${why}; choose another with --data-dir or data_dir`, options)
    this.name = 'DataDirError'
  }
}

/**
 * Makes the data directory and its parts, readable by this user only, and checks that it can be written. One level at a
 * time: on file systems that take no new directories (`/proc`) Node's recursive `mkdir` never comes back.
 * @throws DataDirError
 */
export async function prepareDataDir(dataDir: string): Promise<void> {
  const path = resolve(dataDir)
  try {
    await makeDirectory(path)
    await makeDirectory(join(path, 'raft'))
    await access(path, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch (error) {
    throw new DataDirError(path, (error as Error).message, { cause: error })
  }
}

/** Makes a directory with mode 700, and those above it that are missing. @throws Error when it cannot or a file is there. */
export async function makeDirectory(path: string): Promise<void> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null
    throw error
  })
  if (found?.isDirectory()) return
  if (found !== null) throw new Error(`${path} is not a directory`)
  if (dirname(path) !== path) await makeDirectory(dirname(path))
  await mkdir(path, { mode: 0o700 })
}
