/**
 * What a command prints. Quiet parts keep only what changed the role, term or configuration of a node, so that the
 * preparation of a script stays short.
 */
export class Transcript {
  readonly lines: string[] = []
  #depth = 0
  #quiet = 0

  /** A detail: left out in quiet parts. */
  line(text: string): void {
    if (this.#quiet === 0) this.lines.push('  '.repeat(this.#depth) + text)
  }

  /** A change of a node: always printed. */
  effect(text: string): void {
    this.lines.push((this.#quiet === 0 ? '  '.repeat(this.#depth) : '') + text)
  }

  /** What `body` prints stands indented below `header`. */
  nested(header: string, body: () => void): void {
    this.line(header)
    this.#depth++
    try {
      body()
    } finally {
      this.#depth--
    }
  }

  quietly(quiet: boolean, body: () => void): void {
    if (quiet) this.#quiet++
    try {
      body()
    } finally {
      if (quiet) this.#quiet--
    }
  }
}
