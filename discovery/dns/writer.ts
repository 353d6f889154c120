import { isIPv4 } from 'node:net'
import { addressToHex } from './address.ts'
import { CLASS_IN, type ResourceRecord, TYPES } from './records.ts'

/** Names further into the message cannot be pointed to (RFC 1035 §4.1.4). */
const POINTER_MAX = 0x3fff
/** The longest message, and behind it room to find out that a record does not fit: a record is no longer than a message. */
const SCRATCH_BYTES = 3 * 65_536
/** Messages are written one after the other, and copied out when they are whole. */
const scratch = Buffer.allocUnsafe(SCRATCH_BYTES)

/** Writes one message with its names compressed. Only one can be under way at a time: they share their memory. */
export class MessageWriter {
  #length = 0
  /** Where a name, in lower case, was written. */
  readonly #names = new Map<string, number>()

  get length(): number {
    return this.#length
  }

  u8(value: number): void {
    scratch[this.#length++] = value
  }

  u16(value: number): void {
    this.#length = scratch.writeUInt16BE(value & 0xffff, this.#length)
  }

  u32(value: number): void {
    this.#length = scratch.writeUInt32BE(value >>> 0, this.#length)
  }

  bytes(value: Uint8Array): void {
    scratch.set(value, this.#length)
    this.#length += value.length
  }

  /** Puts a number where one was left open. */
  patch16(at: number, value: number): void {
    scratch.writeUInt16BE(value, at)
  }

  /** The question as it came, `name` in it: what is written later points to it, and so repeats its case. */
  question(bytes: Buffer, name: string): void {
    const start = this.#length
    this.bytes(bytes)
    if (name === '' || name.includes('\\')) return
    const lower = name.toLowerCase()
    let at = start
    for (let from = 0; ; ) {
      this.#names.set(lower.slice(from), at)
      const dot = lower.indexOf('.', from)
      if (dot === -1) return
      at += (bytes[at - start] ?? 0) + 1
      from = dot + 1
    }
  }

  /** A name; where compression is not allowed (RFC 2782), it can still be pointed to. */
  name(text: string, compress = true): void {
    const lower = text.toLowerCase()
    for (let from = 0; from < text.length; ) {
      const rest = from === 0 ? lower : lower.slice(from)
      const known = this.#names.get(rest)
      if (known !== undefined && compress) {
        this.u16(0xc000 | known)
        return
      }
      if (known === undefined && this.#length <= POINTER_MAX) this.#names.set(rest, this.#length)
      const dot = text.indexOf('.', from)
      const end = dot === -1 ? text.length : dot
      const size = scratch.write(text.slice(from, end), this.#length + 1, 63, 'utf8')
      scratch[this.#length] = size
      this.#length += size + 1
      from = end + 1
    }
    this.u8(0)
  }

  /** One record if it ends within `limit` bytes of the message. False if it does not; then nothing is written. */
  record(record: ResourceRecord, limit: number): boolean {
    const start = this.#length
    this.name(record.name)
    this.u16(TYPES[record.type])
    this.u16(CLASS_IN)
    this.u32(record.ttl)
    const sizeAt = this.#length
    this.u16(0)
    this.#data(record)
    const size = this.#length - sizeAt - 2
    if (this.#length > limit || size > 0xffff) {
      this.#rewind(start)
      return false
    }
    this.patch16(sizeAt, size)
    return true
  }

  /** What was written, on its own. */
  finish(): Buffer {
    return Buffer.from(scratch.subarray(0, this.#length))
  }

  #rewind(to: number): void {
    this.#length = to
    for (const [name, at] of this.#names) if (at >= to) this.#names.delete(name)
  }

  #data(record: ResourceRecord): void {
    switch (record.type) {
      case 'A':
      case 'AAAA':
        this.#address(record.data)
        return
      case 'NS':
      case 'CNAME':
      case 'PTR':
        this.name(record.data)
        return
      case 'TXT':
        for (const text of record.data) {
          this.u8(text.length)
          this.bytes(text)
        }
        return
      case 'SRV': {
        const { priority, weight, port, target } = record.data
        for (const value of [priority, weight, port]) this.u16(value)
        this.name(target, false)
        return
      }
      case 'SOA': {
        const { mname, rname, serial, refresh, retry, expire, minimum } = record.data
        this.name(mname)
        this.name(rname)
        for (const value of [serial, refresh, retry, expire, minimum]) this.u32(value)
      }
    }
  }

  #address(address: string): void {
    if (isIPv4(address)) {
      let byte = 0
      for (let i = 0; i < address.length; i++) {
        const code = address.charCodeAt(i)
        if (code === 46) {
          this.u8(byte)
          byte = 0
        } else byte = byte * 10 + code - 48
      }
      this.u8(byte)
      return
    }
    this.#length += scratch.write(addressToHex(address) ?? '', this.#length, 'hex')
  }
}
