import packet, { type RecordType } from 'dns-packet'

/** What the OPT record of a query says. */
export interface OptSpec {
  /** Default 1232. */
  readonly udpBytes?: number
  readonly dnssecOk?: boolean
  /** The options as they go over the wire. */
  readonly options?: Buffer
}

/** A query with "recursion desired", and an OPT record if `opt` is given. */
export function optQuery(name: string, type: string, opt?: OptSpec, id = 4711): Buffer {
  const bytes = packet.encode({
    id,
    flags: packet.RECURSION_DESIRED,
    questions: [{ name, type: type as RecordType }],
  })
  if (opt === undefined) return bytes
  const { udpBytes = 1232, dnssecOk = false, options = Buffer.alloc(0) } = opt
  const record = Buffer.alloc(11)
  record.writeUInt16BE(41, 1)
  record.writeUInt16BE(udpBytes, 3)
  record.writeUInt16BE(dnssecOk ? 0x8000 : 0, 7)
  record.writeUInt16BE(options.length, 9)
  bytes.writeUInt16BE(1, 10)
  return Buffer.concat([bytes, record, options])
}

/** The option of RFC 7871. */
export function clientSubnet(family: number, prefix: number, address: readonly number[]): Buffer {
  return Buffer.from([0, 8, 0, 4 + address.length, 0, family, prefix, 99, ...address])
}
