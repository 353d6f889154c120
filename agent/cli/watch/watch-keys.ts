import type { ApiClient } from '../api-client.ts'
import type { CliIo } from '../io.ts'
import { cell, printable } from '../table.ts'
import { BatchRunner } from './batch-runner.ts'
import { type Change, changeLine, KeyChanges } from './changes.ts'
import { type FollowListener, follow } from './follow.ts'

/** How much of a value a line shows. */
const PREVIEW_BYTES_MAX = 60
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

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
  const stop = new AbortController()
  const onSignal = (): void => stop.abort()
  for (const signal of SIGNALS) process.on(signal, onSignal)
  const note = (line: string): void => void io.stderr.write(`${line}\n`)
  let failure: Error | null = null
  const runner =
    options.command.length === 0
      ? null
      : new BatchRunner({
          command: options.command,
          env: io.env,
          note,
          onFailure(error) {
            failure = error
            stop.abort()
          },
        })
  const print = (change: Change): void => {
    io.stdout.write(`${options.json ? changeLine(change) : changeText(change)}\n`)
  }
  try {
    const path = `/api/v1/kv/watch?prefix=${encodeURIComponent(options.prefix)}`
    await follow(api, path, listenerOf(new KeyChanges(options.only), runner, print, note), stop.signal)
  } finally {
    await runner?.stop()
    for (const signal of SIGNALS) process.off(signal, onSignal)
  }
  if (failure !== null) throw failure
}

function listenerOf(
  keys: KeyChanges,
  runner: BatchRunner | null,
  print: (change: Change) => void,
  note: (line: string) => void,
): FollowListener {
  return {
    begin(resumed) {
      keys.begin(resumed)
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
        if (runner === null) changes.forEach(print)
        else runner.add(changes)
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
