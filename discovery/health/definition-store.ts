import { mkdir, open, readFile, rename } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { HealthError } from './errors.ts'
import type { CheckDefinition, CheckKind } from './types.ts'

const FORMAT = 1

/** Keeps the definitions of a node's checks in `<dataDir>/checks.json`, replaced as a whole and atomically. */
export class DefinitionStore {
  readonly path: string
  #next: readonly CheckDefinition[] = []
  /** The write that has not begun: changes of a burst share it, so it costs two writes, not one each. */
  #queued: Promise<void> | null = null
  /** Settles when the write under way has ended. Never rejects. */
  #running: Promise<unknown> = Promise.resolve()

  constructor(options: { readonly dataDir: string }) {
    this.path = join(options.dataDir, 'checks.json')
  }

  /**
   * The definitions of the last save; none if there was none.
   * @throws HealthError `HLT_FILE_DAMAGED` naming the file; the file stays as it is.
   */
  async load(): Promise<CheckDefinition[]> {
    let text: string
    try {
      text = await readFile(this.path, 'utf8')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
      throw new HealthError('HLT_FILE_FAILED', `cannot read the check definitions in ${this.path}`, {
        cause: error,
      })
    }
    try {
      return decode(JSON.parse(text))
    } catch (error) {
      // The parser quotes the text around the fault, and headers with secrets may be in it: say only what is wrong.
      const what = error instanceof ShapeError ? error.message : 'not valid JSON'
      throw new HealthError(
        'HLT_FILE_DAMAGED',
        `the check definitions in ${this.path} are damaged (${what}): repair the file, or move it away and register the checks again`,
      )
    }
  }

  /**
   * Writes the definitions: a temporary file, fsync, rename, fsync of the directory. Resolves when this content, or
   * newer, is on disk. @throws HealthError `HLT_FILE_FAILED`.
   */
  save(definitions: readonly CheckDefinition[]): Promise<void> {
    this.#next = definitions
    this.#queued ??= this.#enqueue()
    return this.#queued
  }

  #enqueue(): Promise<void> {
    const write = this.#running.then(() => {
      this.#queued = null
      return this.#write(this.#next)
    })
    this.#running = write.catch(() => undefined)
    return write
  }

  async #write(definitions: readonly CheckDefinition[]): Promise<void> {
    const temporary = `${this.path}.tmp`
    try {
      await mkdir(dirname(this.path), { recursive: true })
      // Headers of checks may hold credentials: for the owner's eyes only.
      const file = await open(temporary, 'w', 0o600)
      try {
        await file.writeFile(`${JSON.stringify({ format: FORMAT, checks: definitions }, null, 2)}\n`)
        await file.sync()
      } finally {
        await file.close()
      }
      await rename(temporary, this.path)
      const directory = await open(dirname(this.path), 'r')
      try {
        await directory.sync()
      } finally {
        await directory.close()
      }
    } catch (error) {
      throw new HealthError('HLT_FILE_FAILED', `cannot write the check definitions to ${this.path}`, {
        cause: error,
      })
    }
  }
}

/** What is wrong with the file, in words that hold none of its values. */
class ShapeError extends Error {}

type Json = Readonly<Record<string, unknown>>

function decode(file: unknown): CheckDefinition[] {
  const { format, checks } = object(file, 'the file')
  if (format !== FORMAT) throw new ShapeError(`"format" is not ${FORMAT}`)
  if (!Array.isArray(checks)) throw new ShapeError('"checks" is not a list')
  return checks.map((check: unknown, at) => decodeDefinition(object(check, `checks[${at}]`), `checks[${at}]`))
}

function decodeDefinition(from: Json, at: string): CheckDefinition {
  const status = text(from, 'initialStatus', at)
  if (status !== 'passing' && status !== 'warning' && status !== 'critical') {
    throw new ShapeError(`${at}.initialStatus is not passing, warning or critical`)
  }
  return {
    id: text(from, 'id', at),
    name: text(from, 'name', at),
    notes: text(from, 'notes', at),
    serviceId: text(from, 'serviceId', at),
    initialStatus: status,
    kind: decodeKind(object(from.kind, `${at}.kind`), `${at}.kind`),
    intervalMs: duration(from, 'intervalMs', at),
    timeoutMs: duration(from, 'timeoutMs', at),
    intervalText: text(from, 'intervalText', at),
    timeoutText: text(from, 'timeoutText', at),
  }
}

function decodeKind(from: Json, at: string): CheckKind {
  switch (from.type) {
    case 'ttl':
      return { type: 'ttl', ttlMs: duration(from, 'ttlMs', at) }
    case 'tcp':
      return { type: 'tcp', address: text(from, 'address', at) }
    case 'http': {
      const headers = object(from.headers, `${at}.headers`)
      for (const values of Object.values(headers)) {
        if (!Array.isArray(values) || !values.every((value) => typeof value === 'string')) {
          throw new ShapeError(`${at}.headers is not an object of lists of text`)
        }
      }
      if (typeof from.tlsSkipVerify !== 'boolean')
        throw new ShapeError(`${at}.tlsSkipVerify is not true or false`)
      return {
        type: 'http',
        url: text(from, 'url', at),
        method: text(from, 'method', at),
        headers: headers as Readonly<Record<string, readonly string[]>>,
        body: text(from, 'body', at),
        tlsSkipVerify: from.tlsSkipVerify,
      }
    }
    default:
      throw new ShapeError(`${at}.type is not http, tcp or ttl`)
  }
}

function object(value: unknown, at: string): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new ShapeError(`${at} is not an object`)
  }
  return value as Json
}

function text(from: Json, field: string, at: string): string {
  const value = from[field]
  if (typeof value !== 'string') throw new ShapeError(`${at}.${field} is not text`)
  return value
}

function duration(from: Json, field: string, at: string): number {
  const value = from[field]
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) {
    throw new ShapeError(`${at}.${field} is not a number of milliseconds`)
  }
  return value
}
