import { randomBytes } from 'node:crypto'
import { cp, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { connect } from 'node:net'
import { join, resolve } from 'node:path'
import { ConsensusError } from '../consensus/errors.ts'
import { examine, lostNodes, type Recovered, recover, type Survivor } from '../consensus/recovery.ts'
import { LevelStore } from '../consensus/storage/level-store.ts'
import { parseHostPort } from './config/host-port.ts'
import { BACKUP_FOLDER } from './recovery-backup.ts'

const DIAL_MS = 1000
const ADDRESSES_MAX = 64

/** What `raft recover` found in a data directory. */
export interface Finding extends Survivor {
  readonly dataDir: string
  /** Ids of the other nodes of the last configuration. */
  readonly lost: readonly string[]
  /** Addresses of other members at which something accepts connections now. */
  readonly answering: readonly string[]
}

/** What `raft recover --confirm` did. */
export interface RecoveryDone extends Finding {
  readonly recovered: Recovered
  readonly backup: string
}

function refuse(why: string): ConsensusError {
  return new ConsensusError('CST_RECOVERY_REFUSED', why)
}

/** Reads the stopped data directory of a survivor; changes nothing. @throws ConsensusError with a sentence for the operator */
export async function inspectSurvivor(dataDir: string): Promise<Finding> {
  const path = resolve(dataDir)
  await checkFolder(path)
  const survivor = await withStore(path, examine)
  return { ...survivor, dataDir: path, lost: lostNodes(survivor), answering: await answering(path) }
}

/**
 * Makes a new cluster of what the survivor has. `clusterId` is what the operator confirmed. `force`: although other
 * members answer. @throws ConsensusError with a sentence for the operator; the data is then as before.
 */
export async function recoverSurvivor(
  dataDir: string,
  options: { readonly clusterId: string; readonly force: boolean },
): Promise<RecoveryDone> {
  const finding = await inspectSurvivor(dataDir)
  const { dataDir: path, clusterId, answering } = finding
  if (options.clusterId !== clusterId)
    throw refuse(`the data in ${path} is of cluster ${clusterId}, not ${options.clusterId}`)
  if (answering.length > 0 && !options.force) {
    throw refuse(
      `other members answer at ${answering.join(', ')}: if they are of this cluster, stop them first or let them form a ` +
        'quorum again; if they are not, repeat this with --force',
    )
  }
  const backup = join(path, BACKUP_FOLDER)
  await copyAside(join(path, 'raft'), backup)
  try {
    const random = randomBytes(4).toString('hex')
    const recovered = await withStore(path, (store) => recover(store, finding, random))
    return { ...finding, recovered, backup }
  } catch (error) {
    await rm(backup, { recursive: true, force: true })
    throw error
  }
}

async function withStore<T>(dataDir: string, use: (store: LevelStore) => Promise<T>): Promise<T> {
  const store = new LevelStore(join(dataDir, 'raft'))
  try {
    return await use(store)
  } finally {
    await store.close()
  }
}

/** Refuses what is no data directory, before anything could be made in it by opening it. */
async function checkFolder(path: string): Promise<void> {
  const found = await stat(join(path, 'raft', 'CURRENT')).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return null
    throw refuse(`cannot look into ${path}: ${error.message}`)
  })
  if (found === null) throw refuse(`${path} is not the data directory of an agent: there is no log in it`)
  const uid = process.getuid?.()
  if (uid !== undefined && uid !== found.uid) {
    throw refuse(
      `${path} belongs to the user with id ${found.uid}: run this as that user, or its agent could not open what this ` +
        'writes, for example with "sudo -u constellation"',
    )
  }
  if ((await readdir(path)).includes(BACKUP_FOLDER)) {
    throw refuse(
      `${path} was recovered already and its agent has not led since: start it, or put ${BACKUP_FOLDER} back in the place of raft`,
    )
  }
}

/** A copy that is whole or not there at all. */
async function copyAside(from: string, to: string): Promise<void> {
  const temporary = `${to}.tmp`
  await rm(temporary, { recursive: true, force: true })
  await cp(from, temporary, { recursive: true, filter: (path) => !path.endsWith('/LOCK') })
  for (const name of [...(await readdir(temporary)).map((file) => join(temporary, file)), temporary]) {
    const file = await open(name, 'r')
    await file.sync()
    await file.close()
  }
  await rename(temporary, to)
}

/** Which of the addresses the membership remembers accept a connection. */
async function answering(dataDir: string): Promise<string[]> {
  let peers: unknown
  try {
    peers = (JSON.parse(await readFile(join(dataDir, 'membership.json'), 'utf8')) as { peers?: unknown })
      .peers
  } catch {
    return []
  }
  const known = Array.isArray(peers)
    ? peers.filter((peer) => typeof peer === 'string').slice(0, ADDRESSES_MAX)
    : []
  const answers = await Promise.all(known.map(accepts))
  return known.filter((_, i) => answers[i]).sort()
}

function accepts(address: string): Promise<boolean> {
  return new Promise((resolve) => {
    try {
      const { host, port } = parseHostPort(address)
      const socket = connect({ host, port })
      const end = (answer: boolean) => {
        socket.destroy()
        resolve(answer)
      }
      socket.setTimeout(DIAL_MS, () => end(false))
      socket.once('connect', () => end(true)).once('error', () => end(false))
    } catch {
      resolve(false)
    }
  })
}
