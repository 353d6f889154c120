import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Logger } from 'pino'
import { KeptFile } from '../membership/kept-file.ts'
import { decodeDefinitions, ShapeError } from './definition-codec.ts'
import { HealthError } from './errors.ts'
import type { CheckDefinition } from './types.ts'

const FORMAT = 1

/** Changes within this time share one write. Milliseconds. */
const THROTTLE_MS = 20

/** Keeps the definitions of a node's checks in `<dataDir>/checks.json`, replaced as a whole and atomically. */
export class DefinitionStore {
  readonly path: string
  readonly #file: KeptFile

  /** `retryMs`: how long after a write that failed the next attempt is made; default 5,000. */
  constructor(
    options: { readonly dataDir: string; readonly retryMs?: number },
    collaborators: { readonly log: Logger },
  ) {
    const { dataDir, retryMs } = options
    this.path = join(dataDir, 'checks.json')
    this.#file = new KeptFile(
      { path: this.path, throttleMs: THROTTLE_MS, ...(retryMs === undefined ? {} : { retryMs }) },
      collaborators,
    )
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

  /** Writes the definitions, soon and in the background; a write that fails is logged and tried again. */
  save(definitions: readonly CheckDefinition[]): void {
    this.#file.save(() => `${JSON.stringify({ format: FORMAT, checks: definitions }, null, 2)}\n`)
  }

  /** Resolves when everything saved is on disk. @throws HealthError `HLT_FILE_FAILED`; it is tried again all the same. */
  async flush(): Promise<void> {
    try {
      await this.#file.flush()
    } catch (cause) {
      throw new HealthError('HLT_FILE_FAILED', `cannot write the check definitions to ${this.path}`, {
        cause,
      })
    }
  }
}
