import { isUint64 } from '../argument-values.ts'
import { CliError } from '../errors.ts'
import { numberText, parseExact } from '../exact-json.ts'
import { printable } from '../table.ts'

/** What the agents keep about this cluster and its nodes. It is of no use elsewhere, and writing it would confuse them. */
export const CLUSTER_PREFIXES: readonly string[] = [
  'constellation/lease/',
  'constellation/claim/',
  'constellation/cordon/',
]

/** Single keys of that kind. */
export const CLUSTER_KEYS: readonly string[] = ['constellation/autopilot']

const FIELDS = ['key', 'flags', 'value']
/** Fields that `consul kv export` may add; without namespaces and partitions they say nothing. */
const IGNORED_FIELDS = ['namespace', 'partition']
const PROBLEMS_MAX = 20

/** One key of a file of keys. */
export interface TransferEntry {
  readonly key: string
  /** Digits of a number of 64 bits. */
  readonly flags: string
  /** Standard base64; "" is an empty value. */
  readonly value: string
}

/** True for a key that an export leaves out and an import skips. */
export function isOfCluster(key: string): boolean {
  return CLUSTER_KEYS.includes(key) || CLUSTER_PREFIXES.some((prefix) => key.startsWith(prefix))
}

/** The entry as a line of the file, in the format of `consul kv export`. */
export function renderEntry({ key, flags, value }: TransferEntry): string {
  return JSON.stringify({ key, flags: JSON.rawJSON(flags), value })
}

/**
 * Reads a file of keys: a JSON array of `{"key","flags","value"}`, the value in base64, flags 0 if absent.
 * @throws CliError `CLI_FAILED` that names every bad entry by its number, from 1, with the reason.
 */
export function parseEntries(text: string, source: string): readonly TransferEntry[] {
  let parsed: unknown
  try {
    parsed = parseExact(text)
  } catch (cause) {
    throw new CliError('CLI_FAILED', `${source} is not JSON: ${(cause as Error).message}`, { cause })
  }
  if (!Array.isArray(parsed)) throw new CliError('CLI_FAILED', `${source} is not a JSON array of entries`)
  const entries: TransferEntry[] = []
  const problems: string[] = []
  const numbers = new Map<string, number>()
  for (const [i, item] of parsed.entries()) {
    const entry = readEntry(item)
    const first = typeof entry === 'string' ? undefined : numbers.get(entry.key)
    if (typeof entry === 'string') problems.push(`entry ${i + 1}: ${entry}`)
    else if (first !== undefined) problems.push(`entry ${i + 1}: the same key as entry ${first}`)
    else {
      numbers.set(entry.key, i + 1)
      entries.push(entry)
    }
  }
  if (problems.length > 0) throw refusal(source, problems)
  return entries
}

/** The entry, or what is wrong with it. */
function readEntry(item: unknown): TransferEntry | string {
  if (typeof item !== 'object' || item === null || Array.isArray(item)) return 'not an object'
  const fields = item as Readonly<Record<string, unknown>>
  const unknown = Object.keys(fields).find((name) => !FIELDS.includes(name) && !IGNORED_FIELDS.includes(name))
  if (unknown !== undefined) {
    return `unknown field ${JSON.stringify(printable(unknown))}; allowed: ${FIELDS.join(', ')}`
  }
  const { key, value } = fields
  if (typeof key !== 'string' || key === '') return 'key must be text that is not empty'
  if (!key.isWellFormed()) return 'key has half of a surrogate pair, which has no UTF-8'
  const flags = fields.flags === undefined ? '0' : numberText(fields.flags)
  if (flags === null || !isUint64(flags)) return `flags must be a whole number 0-${2n ** 64n - 1n}`
  if (value === null) return { key, flags, value: '' }
  if (typeof value !== 'string') return 'value must be base64 text'
  if (!isBase64(value)) return 'value is not base64'
  return { key, flags, value }
}

/** Standard alphabet with padding (RFC 4648 §4). Node's decoder skips over whatever does not belong. */
function isBase64(text: string): boolean {
  if (text.length % 4 !== 0) return false
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0
  return !/[^A-Za-z0-9+/]/.test(text.slice(0, text.length - padding))
}

function refusal(source: string, problems: readonly string[]): CliError {
  const more = problems.length - PROBLEMS_MAX
  const shown = problems.slice(0, PROBLEMS_MAX).join('; ')
  return new CliError(
    'CLI_FAILED',
    `${source}: ${shown}${more > 0 ? `; and ${more} more` : ''}. Nothing was written`,
  )
}
