import type { InstanceSource } from '../../discovery/catalog/types.ts'
import type { Registration } from '../../discovery/health/registration.ts'
import { readDefinitions } from './documents.ts'
import { type FoundFile, listFolder, readText } from './folder.ts'
import { type FileContent, planFiles } from './plan.ts'

/** The registration in a definition, from that source. Throws an error with a sentence for whoever wrote the file. */
export type ParseDefinition = (
  definition: Readonly<Record<string, unknown>>,
  source: InstanceSource,
) => Registration

/** What a file says, or why that cannot be known. */
export async function readContent(
  { path, name }: Pick<FoundFile, 'path' | 'name'>,
  parse: ParseDefinition,
): Promise<FileContent> {
  const source: InstanceSource = { kind: 'file', id: path, name }
  try {
    const definitions = readDefinitions(await readText(path))
    const registrations = definitions.map((definition) => parse(definition, source))
    return { path, name, registrations, problem: null }
  } catch (error) {
    return { path, name, registrations: null, problem: (error as Error).message }
  }
}

/** What a node without services of its own would make of the files of a folder. */
export interface CheckedFolder {
  readonly files: number
  /** Each a line that begins with the path at fault. */
  readonly problems: readonly string[]
}

/** Looks at the files of a folder as `ServiceFiles` does, and registers nothing. Never rejects. */
export async function checkFolder(directory: string, parse: ParseDefinition): Promise<CheckedFolder> {
  try {
    const { files, tooMany } = await listFolder(directory)
    const contents: FileContent[] = []
    for (const file of files) contents.push(await readContent(file, parse))
    const { problems } = planFiles({ services: new Map(), checks: new Map() }, contents)
    const lines = [...problems].map(([path, problem]) => `${path}: ${problem}`)
    if (tooMany > 0) lines.push(`${directory}: ${tooManyFiles(tooMany)}`)
    return { files: files.length, problems: lines }
  } catch (error) {
    return { files: 0, problems: [`${directory}: ${unreadableFolder(error)}`] }
  }
}

/** Why the services of a folder are not looked at. */
export function unreadableFolder(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  return `the folder of service files cannot be read: ${code ?? message}`
}

/** Said of a folder with more files than are read. */
export function tooManyFiles(count: number): string {
  return `${count} service files are not read: there are too many`
}
