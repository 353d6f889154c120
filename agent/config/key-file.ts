import { readFileSync, statSync } from 'node:fs'
import { parseClusterKey } from '../../discovery/mesh/cluster-key.ts'
import { fileReason } from './errors.ts'

const MODE_OTHERS = 0o007
const FILE_BYTES_MAX = 4096

/**
 * Checks that a cluster key file holds a key and is closed to other users, by the rules of the mesh that will read it.
 * Synchronous, because a reload has to be accepted or refused at once. The key itself never leaves this function.
 * @throws Error with a sentence naming the file.
 */
export function checkKeyFile(file: string): void {
  const shown = JSON.stringify(file)
  let content: string
  try {
    const status = statSync(file)
    if (status.isDirectory()) throw new Error('it is a folder')
    if ((status.mode & MODE_OTHERS) !== 0) {
      const mode = (status.mode & 0o777).toString(8)
      throw new Error(`every user of this machine can open it (mode ${mode}); run chmod 600 ${file}`)
    }
    if (status.size > FILE_BYTES_MAX) throw new Error('it is too large for a cluster key')
    content = readFileSync(file, 'utf8')
  } catch (error) {
    throw new Error(`${shown} cannot be used: ${fileReason(error)}`)
  }
  try {
    parseClusterKey(content)
  } catch (error) {
    throw new Error(`${shown} holds no cluster key: ${(error as Error).message}`)
  }
}
