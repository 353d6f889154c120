import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { generateClusterKey } from '../../../discovery/mesh/cluster-key.ts'
import { CliError } from '../errors.ts'

/** Where the development cluster keeps its state. */
export interface DevFolder {
  readonly path: string
  /** True if a development cluster ran here before. */
  readonly reused: boolean
  /** How many nodes made the cluster at its first start. */
  readonly firstNodes: number
  /** How many nodes run this time. */
  readonly nodes: number
  /** Removes what is not to be kept. */
  close(): void
}

interface Recorded {
  readonly firstNodes: number
  readonly nodes: number
}

/**
 * Opens a kept folder, or makes a temporary one if `path` is null. `nodes` null = as many as before, 3 at first. Every file is
 * written aside and renamed, so a folder left by a crash at any moment opens again.
 * @throws CliError when there would be fewer nodes than before (the missing ones may be needed for a quorum), or
 *   when the folder holds something else.
 */
export function openFolder(path: string | null, nodes: number | null): DevFolder {
  const folder = path === null ? mkdtempSync(join(tmpdir(), 'constellation-dev-')) : resolve(path)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const recorded = readRecord(join(folder, 'dev.json'))
  const count = nodes ?? recorded?.nodes ?? 3
  if (recorded !== null && count < recorded.nodes) {
    throw new CliError(
      'CLI_USAGE',
      `${folder} holds a cluster of ${recorded.nodes} nodes; --nodes may grow, but not shrink to ${count}`,
    )
  }
  const keyFile = join(folder, 'cluster.key')
  if (!existsSync(keyFile)) writeAside(keyFile, `${generateClusterKey()}\n`)
  const firstNodes = recorded?.firstNodes ?? count
  writeAside(join(folder, 'dev.json'), `${JSON.stringify({ firstNodes, nodes: count })}\n`)
  return {
    path: folder,
    reused: recorded !== null,
    firstNodes,
    nodes: count,
    close() {
      if (path === null) rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
    },
  }
}

function readRecord(file: string): Recorded | null {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
  try {
    const { firstNodes, nodes } = JSON.parse(text) as Partial<Recorded>
    if (isCount(firstNodes) && isCount(nodes) && firstNodes <= nodes) return { firstNodes, nodes }
  } catch {
    // Falls through to the same refusal: not ours.
  }
  throw new CliError('CLI_FAILED', `${file} was not written by constellation dev; choose another --data-dir`)
}

function isCount(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) >= 1
}

function writeAside(file: string, content: string): void {
  writeFileSync(`${file}.tmp`, content, { mode: 0o600 })
  renameSync(`${file}.tmp`, file)
}
