/** Keeps the last bytes of an output while it is written, however much there is: the end says how it ended. */
export class OutputTail {
  readonly #bytesMax: number
  readonly #chunks: Buffer[] = []
  #kept = 0
  #total = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  write(chunk: Buffer): void {
    this.#total += chunk.length
    const tail = chunk.length > this.#bytesMax ? chunk.subarray(chunk.length - this.#bytesMax) : chunk
    // A copy: a slice would keep the whole chunk alive.
    this.#chunks.push(Buffer.from(tail))
    this.#kept += tail.length
    for (let first = this.#chunks[0]; first !== undefined; first = this.#chunks[0]) {
      if (this.#kept - first.length < this.#bytesMax) break
      this.#chunks.shift()
      this.#kept -= first.length
    }
  }

  /** The text, within the limit; behind a line that says how much there was if that was more. */
  text(): string {
    const kept = Buffer.concat(this.#chunks)
    if (this.#total <= this.#bytesMax) return kept.toString('utf8').toWellFormed()
    const note = (bytes: number) => `Captured ${bytes} of ${this.#total} bytes\n...\n`
    const room = Math.max(0, this.#bytesMax - note(this.#bytesMax).length)
    return (
      note(room) +
      kept
        .subarray(kept.length - room)
        .toString('utf8')
        .toWellFormed()
    )
  }
}
