import { closeSync, fstatSync, openSync, readSync } from 'node:fs'

const READ_BYTES = 64 * 1024

/** Reads the complete lines that were added to a file since the last call. */
export class LogFollower {
  readonly #path: string
  #fd: number | null = null
  #offset = 0
  #rest = ''

  constructor(path: string) {
    this.#path = path
  }

  /** New lines, oldest first; none while there is no file. */
  read(): readonly string[] {
    try {
      this.#fd ??= openSync(this.#path, 'r')
    } catch {
      return []
    }
    const { size } = fstatSync(this.#fd)
    let text = this.#rest
    while (this.#offset < size) {
      const chunk = Buffer.alloc(Math.min(READ_BYTES, size - this.#offset))
      const length = readSync(this.#fd, chunk, 0, chunk.length, this.#offset)
      if (length === 0) break
      this.#offset += length
      text += chunk.toString('latin1', 0, length)
    }
    const lines = text.split('\n')
    this.#rest = lines.pop() ?? ''
    return lines
  }

  close(): void {
    if (this.#fd !== null) closeSync(this.#fd)
    this.#fd = null
  }
}
