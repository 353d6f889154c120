/** A scheduled snapshot in its folder. */
export interface SnapshotFile {
  readonly name: string
  /** When it was made, Unix milliseconds. */
  readonly createdMs: number
  readonly index: number
}

const SUFFIX = '.tgz'

/** `constellation-n1-20261121T034107Z-45.tgz`: who made it, when (UTC), and the index of its last log entry. */
export function snapshotFileName(node: string, createdMs: number, index: number): string {
  const time = new Date(createdMs).toISOString().replace(/[-:]|\.\d+/g, '')
  return `${prefixOf(node)}${time}-${index}${SUFFIX}`
}

/** What a name says, if a node of this name made the file; else null. */
export function parseSnapshotFileName(node: string, name: string): SnapshotFile | null {
  const prefix = prefixOf(node)
  if (!name.startsWith(prefix)) return null
  const parts = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z-(\d{1,16})\.tgz$/.exec(name.slice(prefix.length))
  if (parts === null) return null
  const [, year, month, day, hours, minutes, seconds, index] = parts
  const createdMs = Date.parse(`${year}-${month}-${day}T${hours}:${minutes}:${seconds}Z`)
  return Number.isNaN(createdMs) ? null : { name, createdMs, index: Number(index) }
}

function prefixOf(node: string): string {
  return `constellation-${node}-`
}
