import { closeSync, openSync, readSync } from 'node:fs'

const INTERVAL_MS = 200
const CHUNK_BYTES = 64 * 1024
const LINE_CHARS_MAX = 64 * 1024
const LAST_LINES_MAX = 20

/**
 * Follows a growing file by asking for more a few times a second. The writer owns the file and does not depend on being
 * read: it goes on when the reader is gone or stopped.
 */
export class LogTail {
  readonly #file: string
  readonly #onLine: (line: string) => void
  readonly #last: string[] = []
  #offset: number
  #partial = ''
  #decoder = new TextDecoder()
  #timer: NodeJS.Timeout | null = null

  /** Follows `file` from `offset` bytes on. */
  constructor(options: { readonly file: string; readonly offset: number }, onLine: (line: string) => void) {
    this.#file = options.file
    this.#offset = options.offset
    this.#onLine = onLine
  }

  start(): void {
    this.#timer ??= setInterval(() => this.#read(), INTERVAL_MS)
  }

  /** Reads what is left and stops. */
  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
    this.#read()
  }

  /** The newest lines, at most 20, oldest first. */
  lastLines(): readonly string[] {
    this.#read()
    return this.#partial === '' ? this.#last : [...this.#last, this.#partial]
  }

  #read(): void {
    let fd: number
    try {
      fd = openSync(this.#file, 'r')
    } catch {
      return
    }
    try {
      const chunk = Buffer.allocUnsafe(CHUNK_BYTES)
      let bytes = readSync(fd, chunk, 0, CHUNK_BYTES, this.#offset)
      while (bytes > 0) {
        this.#offset += bytes
        this.#take(this.#decoder.decode(chunk.subarray(0, bytes), { stream: true }))
        bytes = readSync(fd, chunk, 0, CHUNK_BYTES, this.#offset)
      }
    } finally {
      closeSync(fd)
    }
  }

  #take(text: string): void {
    const lines = (this.#partial + text).split('\n')
    this.#partial = (lines.pop() ?? '').slice(0, LINE_CHARS_MAX)
    for (const line of lines) {
      this.#last.push(line)
      if (this.#last.length > LAST_LINES_MAX) this.#last.shift()
      this.#onLine(line)
    }
  }
}

/** A line of an agent's log for the terminal; null if it is less than a warning. */
export function warningText(line: string): string | null {
  if (line.trim() === '') return null
  let entry: { level?: unknown; msg?: unknown; err?: { message?: unknown } }
  try {
    entry = JSON.parse(line)
  } catch {
    // Not from the logger: a crash report or a message of the runtime.
    return line
  }
  if (typeof entry !== 'object' || entry === null || typeof entry.level !== 'number') return line
  if (entry.level < 40) return null
  const label = entry.level >= 60 ? 'FATAL' : entry.level >= 50 ? 'ERROR' : 'WARN'
  const cause = typeof entry.err?.message === 'string' ? `: ${entry.err.message}` : ''
  return `${label} ${String(entry.msg ?? '')}${cause}`
}
