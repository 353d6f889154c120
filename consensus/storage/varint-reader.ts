/** Reads LevelDB's varints and length-prefixed bytes. @throws RangeError at the end of the bytes */
export class VarintReader {
  readonly #bytes: Uint8Array
  #offset: number

  constructor(bytes: Uint8Array, offset = 0) {
    this.#bytes = bytes
    this.#offset = offset
  }

  get done(): boolean {
    return this.#offset >= this.#bytes.length
  }

  number(): number {
    let value = 0
    for (let scale = 1; scale <= 2 ** 49; scale *= 128) {
      const byte = this.#bytes[this.#offset++]
      if (byte === undefined) throw new RangeError('the bytes end in a number')
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
    }
    throw new RangeError('a number is too large')
  }

  bytes(length: number): Uint8Array {
    const start = this.#offset
    if (start + length > this.#bytes.length) throw new RangeError('the bytes end too early')
    this.#offset += length
    return this.#bytes.subarray(start, this.#offset)
  }

  prefixed(): Uint8Array {
    return this.bytes(this.number())
  }
}
