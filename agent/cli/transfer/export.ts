import type { ApiClient } from '../api-client.ts'
import { encodeKey } from '../api-client.ts'
import { type Fields, records } from '../client-command.ts'
import { CliError } from '../errors.ts'
import { numberText, parseExact } from '../exact-json.ts'
import { isOfCluster, type TransferEntry } from './entries.ts'

/** Long enough for a large store over a slow line. */
const EXPORT_TIMEOUT_MS = 300_000
/** A longer text does not fit a string of V8. */
const EXPORT_BYTES_MAX = 500 * 1024 * 1024

/** What stands for each byte that is not UTF-8 in a key that the API answers. */
const REPLACEMENT = '\uFFFD'

/** Keys of a moment. */
export interface Exported {
  readonly entries: readonly TransferEntry[]
  /** Keys of the agents, left out. */
  readonly ofCluster: number
  /** Keys that are not UTF-8, as the API shows them. JSON has no way to say them, so they are not among the entries. */
  readonly unnameable: readonly string[]
  /** Keys that go by themselves, left out as in a snapshot: the format cannot say so, and elsewhere they would stay for good. */
  readonly withTtl: number
}

/** Reads every key that begins with `prefix`, in order. @throws CliError */
export async function exportEntries(api: ApiClient, prefix: string): Promise<Exported> {
  const rows = await readTree(api, prefix)
  const entries: TransferEntry[] = []
  const unnameable: string[] = []
  let ofCluster = 0
  let withTtl = 0
  for (const row of rows) {
    const entry = entryOf(api, row)
    if (isOfCluster(entry.key)) {
      ofCluster++
    } else if (row.TTL !== undefined) {
      withTtl++
    } else if (entry.key.includes(REPLACEMENT) && !(await isKeyOf(api, entry.key, row))) {
      unnameable.push(entry.key)
    } else {
      entries.push(entry)
    }
  }
  return { entries, ofCluster, unnameable, withTtl }
}

async function readTree(api: ApiClient, prefix: string): Promise<readonly Fields[]> {
  const response = await api.send(`/v1/kv/${encodeKey(prefix)}?recurse`, {
    timeoutMs: EXPORT_TIMEOUT_MS,
    bodyBytesMax: EXPORT_BYTES_MAX,
  })
  if (response.status === 404 && response.body.length === 0) return []
  if (response.status !== 200) throw api.refusal(response)
  return parseRows(api, response.body)
}

/** Whether this row's key is really the text the API shows, and not bytes for which it stands. */
async function isKeyOf(api: ApiClient, key: string, row: Fields): Promise<boolean> {
  const response = await api.send(`/v1/kv/${encodeKey(key)}`)
  if (response.status === 404) return false
  if (response.status !== 200) throw api.refusal(response)
  const [found] = parseRows(api, response.body)
  // Keys of one transaction share their indexes. If the contents are the same as well, it does not matter which one it is.
  const same = ['CreateIndex', 'ModifyIndex', 'Flags', 'Value'] as const
  return (
    found !== undefined && same.every((name) => JSON.stringify(found[name]) === JSON.stringify(row[name]))
  )
}

function parseRows(api: ApiClient, body: Buffer): readonly Fields[] {
  let parsed: unknown
  try {
    parsed = parseExact(body.toString('utf8'))
  } catch {
    api.parse(body)
  }
  return records(parsed)
}

function entryOf(api: ApiClient, { Key: key, Flags, Value: value }: Fields): TransferEntry {
  const flags = numberText(Flags)
  if (typeof key !== 'string' || flags === null || (typeof value !== 'string' && value !== null)) {
    throw new CliError('CLI_FAILED', `the agent at ${api.address} answered entries of an unknown form`)
  }
  return { key, flags, value: value ?? '' }
}
