import type { ApiClient } from '../api-client.ts'
import type { CliIo } from '../io.ts'
import { cell, printable } from '../table.ts'
import { type Change, changeLine, KeyChanges } from './changes.ts'
import type { CommandRunner } from './command-runner.ts'
import { type FollowListener, follow } from './follow.ts'
import { KeyBatch } from './key-batch.ts'
import { watching } from './watching.ts'

/** How much of a value a line shows. */
const PREVIEW_BYTES_MAX = 60

/** What the operator asked for. */
export interface WatchOptions {
  readonly prefix: string
  /** The one key of interest; null = every key with the prefix. */
  readonly only: string | null
  /** Program and arguments; empty = print the changes. */
  readonly command: readonly string[]
  readonly json: boolean
}

/** What a watch works with. */
export interface WatchCollaborators {
  readonly api: ApiClient
  readonly io: CliIo
}

/** Follows keys until a signal. @throws CliError when the stream cannot be had or the command cannot be run. */
export async function watchKeys(options: WatchOptions, { api, io }: WatchCollaborators): Promise<void> {
  const { command, json, only, prefix } = options
  const note = (line: string): void => void io.stderr.write(`${line}\n`)
  const batch = new KeyBatch()
  await watching({ command, next: () => batch.take(), note, io }, (runner, signal) => {
    const tell = (changes: readonly Change[]): void => {
      if (runner === null) {
        for (const change of changes) io.stdout.write(`${json ? changeLine(change) : changeText(change)}\n`)
      } else if (changes.length > 0) {
        batch.add(changes)
        runner.poke()
      }
    }
    const path = `/api/v1/kv/watch?prefix=${encodeURIComponent(prefix)}`
    return follow(api, path, listenerOf(new KeyChanges(only), runner, tell, note), signal)
  })
}

function listenerOf(
  keys: KeyChanges,
  runner: CommandRunner | null,
  tell: (changes: readonly Change[]) => void,
  note: (line: string) => void,
): FollowListener {
  return {
    begin(resumed) {
      keys.begin(resumed)
      // A listing is one batch.
      if (resumed) runner?.release()
      else runner?.hold()
    },
    events(events) {
      for (const event of events) {
        const { changes, ready, reset } = keys.take(event)
        if (reset !== null) {
          note(`the agent tells everything anew: ${printable(reset)}`)
          runner?.hold()
        }
        tell(changes)
        if (ready) runner?.release()
      }
    },
    note,
  }
}

/** A change as a line for people: event, index, key, and of a value its size and, if it is text, its beginning. */
export function changeText({ event, key, fields }: Change): string {
  const index = cell(event === 'put' ? fields.ModifyIndex : fields.Index)
  const head = `${event.padEnd(6)}  ${index.padEnd(8)}  ${printable(key)}`
  if (event === 'delete') return head
  const bytes = Buffer.from(typeof fields.Value === 'string' ? fields.Value : '', 'base64')
  const lock = fields.Session === undefined ? '' : `  locked by ${printable(cell(fields.Session))}`
  return `${head}  ${bytes.length} byte${bytes.length === 1 ? '' : 's'}${preview(bytes)}${lock}`
}

function preview(bytes: Buffer): string {
  if (bytes.length === 0) return ''
  let text: string
  try {
    // `stream` holds a character back that the cut split.
    const decoder = new TextDecoder('utf-8', { fatal: true })
    text = decoder.decode(bytes.subarray(0, PREVIEW_BYTES_MAX), { stream: bytes.length > PREVIEW_BYTES_MAX })
  } catch {
    return ''
  }
  return `  ${printable(text)}${bytes.length > PREVIEW_BYTES_MAX ? '…' : ''}`
}
