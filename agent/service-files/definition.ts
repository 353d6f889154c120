import { readService } from '../../discovery/catalog/shapes.ts'
import type { InstanceSource } from '../../discovery/catalog/types.ts'
import type { Registration } from '../../discovery/health/registration.ts'
import { ServiceFileError } from '../../providers/files/errors.ts'
import { suggest } from '../config/suggest.ts'
import type { Config } from '../config/types.ts'
import { Fields } from '../http/fields.ts'
import { parseService } from '../http/service-definition.ts'
import { CHECK_FIELDS, SERVICE_FIELDS } from './fields.ts'

/**
 * The registration in a definition of a service file: the fields of a registration over HTTP, in CamelCase or snake_case, and
 * `labels`. Other than there an unknown field is a mistake, as whoever wrote it looks for its effect.
 * @throws ServiceFileError `FIL_INVALID`
 */
export function parseFileService(
  definition: Readonly<Record<string, unknown>>,
  source: InstanceSource,
  config: Config['checks'],
): Registration {
  const what = nameOf(definition)
  try {
    checkNames(definition, SERVICE_FIELDS, '')
    for (const check of checksIn(definition)) checkNames(check, CHECK_FIELDS, ' of a check')
    const { service, checks } = parseService(new Fields(withoutLabels(definition), 'the definition'), config)
    const labels = labelsOf(definition)
    return { service: readService({ ...service, ...(labels === null ? {} : { labels }), source }), checks }
  } catch (cause) {
    const { message } = cause as Error
    throw new ServiceFileError('FIL_INVALID', `${what}${message.replace(/^Request decode failed: /, '')}`, {
      cause,
    })
  }
}

function nameOf(definition: Readonly<Record<string, unknown>>): string {
  const field = (wanted: string): unknown =>
    Object.entries(definition).find(([name]) => name.toLowerCase() === wanted)?.[1]
  const name = field('id') ?? field('name')
  return typeof name === 'string' && name !== '' ? `service ${JSON.stringify(name)}: ` : ''
}

function checkNames(fields: Readonly<Record<string, unknown>>, known: readonly string[], what: string): void {
  for (const name of Object.keys(fields)) {
    if (known.some((each) => fold(each) === fold(name))) continue
    const better = suggest(name, known)
    const hint = better === null ? '' : `; did you mean ${JSON.stringify(better)}?`
    throw new ServiceFileError('FIL_INVALID', `unknown field ${JSON.stringify(name)}${what}${hint}`)
  }
}

/** The checks as they stand in a definition; what is no object is left to the parser to refuse. */
function checksIn(
  definition: Readonly<Record<string, unknown>>,
): readonly Readonly<Record<string, unknown>>[] {
  return Object.entries(definition)
    .filter(([name]) => ['check', 'checks'].includes(fold(name)))
    .flatMap(([, value]): readonly unknown[] => (Array.isArray(value) ? value : [value]))
    .filter(
      (check): check is Readonly<Record<string, unknown>> => typeof check === 'object' && check !== null,
    )
}

function withoutLabels(definition: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(definition).filter(([name]) => fold(name) !== 'labels'))
}

/** As in a compose file: a mapping, whose numbers and booleans count as their text, or a list of `name=value`. */
function labelsOf(definition: Readonly<Record<string, unknown>>): Readonly<Record<string, string>> | null {
  const value = Object.entries(definition).find(([name]) => fold(name) === 'labels')?.[1] ?? null
  if (value === null) return null
  if (Array.isArray(value)) return Object.fromEntries(value.map(labelPair))
  if (typeof value !== 'object')
    throw new ServiceFileError('FIL_INVALID', 'labels must be a mapping or a list')
  return Object.fromEntries(
    Object.entries(value).map(([name, label]) => {
      if (!['string', 'number', 'boolean'].includes(typeof label)) {
        throw new ServiceFileError('FIL_INVALID', `labels.${name} must be text`)
      }
      return [name, String(label)]
    }),
  )
}

function labelPair(item: unknown): [string, string] {
  if (typeof item !== 'string') throw new ServiceFileError('FIL_INVALID', 'each of labels must be name=value')
  const at = item.indexOf('=')
  return at < 0 ? [item, ''] : [item.slice(0, at), item.slice(at + 1)]
}

function fold(name: string): string {
  return name.toLowerCase().replaceAll('_', '')
}
