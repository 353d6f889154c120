import { mkdir, open, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Logger } from 'pino'

/**
 * Replaces a file as a whole: temporary file, fsync, rename, fsync of the directory. After a crash at any point the
 * file holds the old text or the new one. @throws the error of the file system.
 */
export async function replaceFile(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  const temporary = `${path}.tmp`
  const file = await open(temporary, 'w', 0o600)
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(temporary, path)
  const directory = await open(dirname(path), 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

/** Settings of a {@link KeptFile}. */
export interface KeptFileOptions {
  readonly path: string
  /** Changes within this time share one write. */
  readonly throttleMs: number
  /** After a failed write the next attempt waits this long. Default 5,000. */
  readonly retryMs?: number
}

/** A file that follows a state in memory: written in the background, one write at a time, however often it changes. */
export class KeptFile {
  readonly path: string
  readonly #throttleMs: number
  readonly #retryMs: number
  readonly #log: Logger
  #render: (() => string) | null = null
  #timer: NodeJS.Timeout | null = null
  #writing: Promise<void> = Promise.resolve()

  constructor(options: KeptFileOptions, collaborators: { readonly log: Logger }) {
    this.path = options.path
    this.#throttleMs = options.throttleMs
    this.#retryMs = options.retryMs ?? 5000
    this.#log = collaborators.log
  }

  /** Asks for a write of what `render` answers when it begins. A failure is logged and tried again. */
  save(render: () => string): void {
    this.#render = render
    this.#schedule(this.#throttleMs)
  }

  /** Resolves when everything saved so far is on disk. @throws the error of the file system; it is logged, and tried again. */
  async flush(): Promise<void> {
    if (this.#timer) clearTimeout(this.#timer)
    this.#timer = null
    const before = this.#writing
    const run = before.catch(() => undefined).then(() => this.#write())
    this.#writing = run
    try {
      await run
    } catch (error) {
      this.#log.error({ err: error, file: this.path }, `cannot write ${this.path}, trying again`)
      // Also for who waited for it and was told so: the state is in force, and is to be kept as soon as it can be.
      this.#schedule(this.#retryMs)
      throw error
    }
  }

  #schedule(ms: number): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = null
      this.flush().catch(() => undefined)
    }, ms).unref()
  }

  async #write(): Promise<void> {
    const render = this.#render
    if (!render) return
    this.#render = null
    try {
      await replaceFile(this.path, render())
    } catch (error) {
      this.#render ??= render
      throw error
    }
  }
}
