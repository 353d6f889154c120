import { EventError } from './errors.ts'
import { EVENT_LIMITS, type UserEvent } from './types.ts'

/** Largest event as a message, in bytes. */
export const MESSAGE_BYTES_MAX = 64 * 1024
/** Highest Lamport time there can be. */
export const LAMPORT_TIME_MAX = 2 ** 50

const FORMAT = 1
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** An event as bytes for the topic (JSON, the payload in base64). */
export function encodeEvent(event: UserEvent): Uint8Array {
  const payload = Buffer.from(event.payload).toString('base64')
  return Buffer.from(JSON.stringify({ format: FORMAT, ...event, payload }))
}

/** Reads an event; fields it does not know are dropped. @throws EventError `EVT_BAD_MESSAGE` */
export function decodeEvent(bytes: Uint8Array): UserEvent {
  if (bytes.length > MESSAGE_BYTES_MAX) throw bad(`${bytes.length} bytes`)
  const fields = parse(bytes)
  if (fields.format !== FORMAT) throw bad('unknown format')
  const { lamportTime } = fields
  if (typeof lamportTime !== 'number' || !Number.isInteger(lamportTime)) throw bad('the time is no counter')
  if (lamportTime < 0 || lamportTime > LAMPORT_TIME_MAX) throw bad('the time is out of range')
  const id = text(fields.id, 0, 36, 'id')
  if (!UUID.test(id)) throw bad('the id is no UUID')
  const event: UserEvent = {
    id,
    name: text(fields.name, 1, EVENT_LIMITS.nameChars, 'name'),
    payload: payloadOf(fields.payload),
    nodeFilter: text(fields.nodeFilter, 0, EVENT_LIMITS.filterChars, 'nodeFilter'),
    serviceFilter: text(fields.serviceFilter, 0, EVENT_LIMITS.filterChars, 'serviceFilter'),
    tagFilter: text(fields.tagFilter, 0, EVENT_LIMITS.filterChars, 'tagFilter'),
    lamportTime,
  }
  return Object.freeze(event)
}

function parse(bytes: Uint8Array): Readonly<Record<string, unknown>> {
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw new EventError('EVT_BAD_MESSAGE', 'an event could not be read: not JSON', { cause })
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw bad('no object')
  return value as Readonly<Record<string, unknown>>
}

function text(value: unknown, min: number, max: number, what: string): string {
  if (typeof value !== 'string') throw bad(`${what} is no text`)
  if (value.length < min || value.length > max) throw bad(`${what} has ${value.length} characters`)
  return value
}

function payloadOf(value: unknown): Uint8Array {
  const base64 = text(value, 0, Math.ceil(EVENT_LIMITS.payloadBytes / 3) * 4, 'payload')
  const payload = Buffer.from(base64, 'base64')
  if (payload.toString('base64') !== base64) throw bad('the payload is not base64')
  if (payload.length > EVENT_LIMITS.payloadBytes) throw bad('the payload is too large')
  return payload
}

function bad(reason: string): EventError {
  return new EventError('EVT_BAD_MESSAGE', `an event could not be read: ${reason}`)
}
