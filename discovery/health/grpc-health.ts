/** The two messages of the gRPC health protocol, grpc.health.v1 (proto3): small enough to be read and written by hand. */

/** Path of the method. */
export const CHECK_METHOD = '/grpc.health.v1.Health/Check'

/** Values of `HealthCheckResponse.ServingStatus`. */
const SERVING_STATUSES = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'] as const

/** What a server says about a service. A value this protocol did not have when it was written is UNKNOWN. */
export type ServingStatus = (typeof SERVING_STATUSES)[number]

const SERVICE_FIELD = 0x0a
const STATUS_FIELD = 1
const WIRE_VARINT = 0
const WIRE_FIXED64 = 1
const WIRE_BYTES = 2
const WIRE_FIXED32 = 5

/** `HealthCheckRequest{service}`; an empty name, the server as a whole, is left out as proto3 does. */
export function encodeHealthRequest(service: string): Buffer {
  const name = Buffer.from(service)
  if (name.length === 0) return name
  return Buffer.concat([Buffer.from([SERVICE_FIELD, ...varint(name.length)]), name])
}

/** The status of a `HealthCheckResponse`; fields it does not know are skipped. @throws RangeError if it is none. */
export function decodeHealthResponse(bytes: Uint8Array): ServingStatus {
  let at = 0
  let status = 0
  const next = (): number => {
    let value = 0
    for (let shift = 0; shift < 64; shift += 7) {
      const byte = bytes[at++]
      if (byte === undefined) throw new RangeError('the health answer is cut off')
      value += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) return value
    }
    throw new RangeError('a number in the health answer is too long')
  }
  while (at < bytes.length) {
    const tag = next()
    const wire = tag % 8
    if (wire === WIRE_VARINT) {
      const value = next()
      if (Math.floor(tag / 8) === STATUS_FIELD) status = value
    } else if (wire === WIRE_BYTES) {
      const length = next()
      at += length
    } else if (wire === WIRE_FIXED64) at += 8
    else if (wire === WIRE_FIXED32) at += 4
    else throw new RangeError('the health answer is no protobuf message')
    if (at > bytes.length) throw new RangeError('the health answer is cut off')
  }
  return SERVING_STATUSES[status] ?? 'UNKNOWN'
}

function varint(value: number): number[] {
  const out: number[] = []
  for (; value >= 0x80; value = Math.floor(value / 0x80)) out.push((value % 0x80) + 0x80)
  return [...out, value]
}
