import { type ApiClient, encodeKey } from '../api-client.ts'
import { CliError } from '../errors.ts'
import { printable } from '../table.ts'
import type { TransferEntry } from './entries.ts'

/** How many writes are under way at once. Each waits for the disks of a majority, so one alone would leave them idle. */
const WRITES_MAX = 8

/**
 * Writes every entry, a few at a time, and calls `onWritten` after each with how many are written.
 * @throws CliError `CLI_FAILED` after the first write that failed, once those under way have ended, with how many were written.
 */
export async function importEntries(
  api: ApiClient,
  entries: readonly TransferEntry[],
  onWritten: (written: number) => void,
): Promise<void> {
  const queue = entries.values()
  let written = 0
  const failures: CliError[] = []
  const work = async (): Promise<void> => {
    for (const entry of queue) {
      try {
        await writeEntry(api, entry)
      } catch (error) {
        if (!(error instanceof CliError)) throw error
        failures.push(error)
        return
      }
      written++
      onWritten(written)
      if (failures.length > 0) return
    }
  }
  await Promise.all(Array.from({ length: WRITES_MAX }, work))
  const [first] = failures
  if (first === undefined) return
  throw new CliError(
    'CLI_FAILED',
    `${first.message}; ${written} of ${entries.length} keys are written. The same command again writes them all`,
    { cause: first },
  )
}

async function writeEntry(api: ApiClient, { key, flags, value }: TransferEntry): Promise<void> {
  const path = `/v1/kv/${encodeKey(key)}${flags === '0' ? '' : `?flags=${flags}`}`
  try {
    const answer = await api.expect(path, { method: 'PUT', body: Buffer.from(value, 'base64') })
    if (api.parse(answer) !== true) throw new CliError('CLI_FAILED', 'the agent refused')
  } catch (error) {
    if (!(error instanceof CliError)) throw error
    throw new CliError('CLI_FAILED', `${printable(key)}: ${error.message}`, { cause: error })
  }
}
