import { parseAllDocuments } from 'yaml'
import { ServiceFileError } from './errors.ts'

/** Largest file that is read, in bytes. */
export const FILE_BYTES_MAX = 512 * 1024
/** Aliases of one document that are resolved: what is written once must not become a million. */
const ALIASES_MAX = 100
const WRAPPERS: readonly string[] = ['service', 'services']

/**
 * The service definitions in the text of a file, YAML or JSON, not looked at further. A file holds one definition, a list
 * of them, or, as files of Consul do, `service` with one and `services` with a list; YAML may have several documents.
 * @throws ServiceFileError `FIL_SYNTAX` with line and column, `FIL_INVALID`, `FIL_TOO_LARGE`
 */
export function readDefinitions(text: string): readonly Readonly<Record<string, unknown>>[] {
  if (Buffer.byteLength(text) > FILE_BYTES_MAX) {
    throw new ServiceFileError('FIL_TOO_LARGE', `it has more than ${FILE_BYTES_MAX} bytes`)
  }
  const definitions = documents(text).flatMap(definitionsIn)
  if (definitions.length === 0) throw invalid('it holds no service')
  return definitions
}

/** JSON is YAML, so one parser reads both. */
function documents(text: string): readonly unknown[] {
  const parsed = [...parseAllDocuments(text, { prettyErrors: true, stringKeys: true })]
  for (const { errors, warnings } of parsed) {
    const [first] = [...errors, ...warnings]
    // The second line on shows the place in the text, where secrets of checks may stand.
    if (first !== undefined) throw new ServiceFileError('FIL_SYNTAX', firstLine(first.message))
  }
  try {
    return parsed
      .map((document): unknown => document.toJS({ maxAliasCount: ALIASES_MAX }))
      .filter((document) => document !== null)
  } catch (cause) {
    throw new ServiceFileError('FIL_SYNTAX', firstLine((cause as Error).message), { cause })
  }
}

function definitionsIn(document: unknown): readonly Readonly<Record<string, unknown>>[] {
  if (Array.isArray(document)) return document.map((each) => definition(each, 'each entry of the list'))
  const fields = definition(document, 'the file')
  const names = Object.keys(fields)
  const wrappers = names.filter((name) => WRAPPERS.includes(name.toLowerCase()))
  if (wrappers.length === 0) return [fields]
  const other = names.find((name) => !wrappers.includes(name))
  if (other !== undefined)
    throw invalid(`${JSON.stringify(other)} cannot stand beside ${wrappers.join(' and ')}`)
  return wrappers.flatMap((name) => {
    const value = fields[name]
    if (value === null) return []
    if (name.toLowerCase() === 'service') return [definition(value, name)]
    if (!Array.isArray(value)) throw invalid(`${name} must be a list`)
    return value.map((each) => definition(each, `each entry of ${name}`))
  })
}

function definition(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalid(`${what} must be a mapping, such as {name: web, port: 80}`)
  }
  return value as Readonly<Record<string, unknown>>
}

function invalid(message: string): ServiceFileError {
  return new ServiceFileError('FIL_INVALID', message)
}

function firstLine(message: string): string {
  return (message.split('\n')[0] ?? '').replace(/:$/, '')
}
