import type { NodeRecord, ServiceInstance } from '../../discovery/catalog/types.ts'
import { type Registration, sourceName } from '../../discovery/health/registration.ts'

/** A file of the folder: what it says, or why that cannot be known. Registrations have their `source` set. */
export interface FileContent {
  readonly path: string
  readonly name: string
  /** Null: it cannot be read or taken, and what it said before stays. */
  readonly registrations: readonly Registration[] | null
  readonly problem: string | null
}

/** What is to be done so that the record holds what the files say. */
export interface FilePlan {
  /** By path of the file. */
  readonly put: ReadonlyMap<string, readonly Registration[]>
  /** Ids of instances that no file holds any more. */
  readonly drop: readonly string[]
  /** Why a file is not taken, by its path. */
  readonly problems: ReadonlyMap<string, string>
}

/**
 * Compares the files with the record. A file is taken as a whole or, with one mistake, not at all; then its instances stay
 * as they are. An id belongs to whoever has it: to the API, to another source, or to the file it came from, until that file no
 * longer names it.
 */
export function planFiles(
  record: Pick<NodeRecord, 'services' | 'checks'>,
  files: readonly FileContent[],
): FilePlan {
  const problems = new Map<string, string>()
  const put = new Map<string, readonly Registration[]>()
  const byName = files.toSorted((a, b) => (a.name < b.name ? -1 : 1))
  const owners = presentOwners(record, byName)
  for (const file of byName) {
    const { path, registrations } = file
    const problem =
      file.problem ?? (registrations === null ? null : conflict(file, registrations, record, owners))
    if (problem !== null) {
      problems.set(path, problem)
    } else if (registrations !== null) {
      put.set(path, registrations)
      for (const { service } of registrations) owners.set(service.id, file)
    }
  }
  const wanted = new Set([...put.values()].flat().map(({ service }) => service.id))
  // A file that cannot be taken keeps what it had.
  const keeping = new Set(files.filter(({ path }) => !put.has(path)).map(({ path }) => path))
  const drop = [...record.services.values()]
    .filter(({ id, source }) => source?.kind === 'file' && !wanted.has(id) && !keeping.has(source.id))
    .map(({ id }) => id)
  return { put, drop, problems }
}

/** Who has which id now, of the files: one that is there and still names it, or cannot be taken and keeps it. */
function presentOwners(
  { services }: Pick<NodeRecord, 'services'>,
  files: readonly FileContent[],
): Map<string, FileContent> {
  const byPath = new Map(files.map((file) => [file.path, file]))
  const owners = new Map<string, FileContent>()
  for (const { id, source } of services.values()) {
    const file = source?.kind === 'file' ? byPath.get(source.id) : undefined
    if (file === undefined) continue
    const named = file.registrations === null || file.registrations.some(({ service }) => service.id === id)
    if (named) owners.set(id, file)
  }
  return owners
}

function conflict(
  file: FileContent,
  registrations: readonly Registration[],
  { services, checks }: Pick<NodeRecord, 'services' | 'checks'>,
  owners: ReadonlyMap<string, FileContent>,
): string | null {
  const ids = new Set<string>()
  const checkIds = new Set<string>()
  for (const { service, checks: own } of registrations) {
    const { id } = service
    if (ids.has(id)) return `the id "${id}" stands in it twice`
    ids.add(id)
    const owner = owners.get(id)
    if (owner !== undefined && owner.path !== file.path) return `the id "${id}" belongs to ${fileName(owner)}`
    const known = services.get(id)
    if (known !== undefined && known.source?.kind !== 'file') {
      return `the id "${id}" belongs to ${owned(known)}`
    }
    for (const check of own) {
      if (checkIds.has(check.id)) return `the check id "${check.id}" stands in it twice`
      checkIds.add(check.id)
      const of = checks.get(check.id)?.serviceId
      const goes =
        of !== undefined && services.get(of)?.source?.kind === 'file' && (owners.get(of) ?? file) === file
      if (of !== undefined && of !== id && !goes) {
        return `the check id "${check.id}" belongs to ${of === '' ? 'a check of the node' : `the service "${of}"`}`
      }
    }
  }
  return null
}

function owned(service: ServiceInstance): string {
  return sourceName(service) ?? `the service "${service.name}" that was registered through the API`
}

function fileName({ name }: FileContent): string {
  return `the file ${name}`
}
