import { mkdir, open, readFile, rename } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { decodeDefinitions, ShapeError } from './definition-codec.ts'
import { HealthError } from './errors.ts'
import type { CheckDefinition } from './types.ts'

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
      return decodeDefinitions(JSON.parse(text), FORMAT)
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
