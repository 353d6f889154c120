import { rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Logger } from 'pino'
import type { ConsensusClient } from '../consensus/client.ts'

/** What a recovery replaced, in `data_dir`, until the agent has led the recovered cluster. */
export const BACKUP_FOLDER = 'raft.before-recovery'

/** Removes what a recovery has set aside once this node leads, which shows that the recovered data is sound. */
export async function dropBackupOnceLeading(
  dataDir: string,
  { client, log }: { readonly client: ConsensusClient; readonly log: Logger },
): Promise<void> {
  const path = join(dataDir, BACKUP_FOLDER)
  const found = await stat(path).catch(() => null)
  if (found === null) return
  let stop = () => {}
  const look = () => {
    if (client.status().role !== 'leader') return
    stop()
    rm(path, { recursive: true, force: true }).then(
      () =>
        log.info({ path }, 'this node leads the recovered cluster; what the recovery replaced was removed'),
      (error: Error) => log.warn({ err: error, path }, 'what the recovery replaced could not be removed'),
    )
  }
  stop = client.onStatus(look)
  look()
}
