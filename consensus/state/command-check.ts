import type { Command } from './types.ts'

type Check = (value: unknown) => boolean

const isText: Check = (value) => typeof value === 'string'
const isBytes: Check = (value) => value instanceof Uint8Array
const isFlags: Check = (value) => typeof value === 'bigint' && value >= 0n && value < 1n << 64n
const isOptionalIndex: Check = (value) => value === undefined || Number.isFinite(value)
const isDuration: Check = (value) => Number.isFinite(value) && (value as number) >= 0
const isTextList: Check = (value) => Array.isArray(value) && value.every(isText)
const isBehavior: Check = (value) => value === 'release' || value === 'delete'
const isServiceChecks: Check = (value) => value === null || Array.isArray(value)

const isCount: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0
const KEY_RECORD: Readonly<Record<string, Check>> = { key: isText, value: isBytes, flags: isFlags }
const isKeyRecords: Check = (value) =>
  Array.isArray(value) &&
  value.every((item) => typeof item === 'object' && item !== null && fits(item, KEY_RECORD))

const SESSION: Readonly<Record<string, Check>> = {
  id: isText,
  name: isText,
  node: isText,
  behavior: isBehavior,
  lockDelayMs: isDuration,
  ttl: isText,
  expiresAfterMs: isDuration,
  nodeChecks: isTextList,
  serviceChecks: isServiceChecks,
}

const isSession: Check = (value) => typeof value === 'object' && value !== null && fits(value, SESSION)

const COMMANDS: ReadonlyMap<string, Readonly<Record<string, Check>>> = new Map(
  Object.entries({
    'kv.set': { key: isText, value: isBytes, flags: isFlags, cas: isOptionalIndex },
    'kv.acquire': { key: isText, value: isBytes, flags: isFlags, session: isText },
    'kv.release': { key: isText, value: isBytes, flags: isFlags, session: isText },
    'kv.delete': { key: isText, cas: isOptionalIndex },
    'kv.deleteTree': { prefix: isText },
    'session.create': { session: isSession },
    'session.destroy': { id: isText },
    'restore.begin': { id: isText },
    'restore.part': { id: isText, part: isCount, records: isKeyRecords },
    'restore.commit': { id: isText, parts: isCount, crc: isCount },
  } satisfies Record<Command['type'], Readonly<Record<string, Check>>>),
)

function fits(value: object, checks: Readonly<Record<string, Check>>): boolean {
  const fields = value as Readonly<Record<string, unknown>>
  return Object.entries(checks).every(([name, check]) => check(fields[name]))
}

/**
 * True if `value` is a command with every field of the right kind. The leader asks before it takes a proposal: an entry
 * that cannot be applied would stop every node of the cluster, again at each start.
 */
export function isCommand(value: unknown): value is Command {
  if (typeof value !== 'object' || value === null) return false
  const { type } = value as { readonly type?: unknown }
  const checks = typeof type === 'string' ? COMMANDS.get(type) : undefined
  return checks !== undefined && fits(value, checks)
}
