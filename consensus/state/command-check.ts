import type { LogRecord } from './codec.ts'
import type { Command, KvOperation } from './types.ts'

type Check = (value: unknown) => boolean

const isText: Check = (value) => typeof value === 'string'
/** One code unit for each byte. Any other string sorts, and is found, where no prefix reaches it. */
const isKey: Check = (value) => typeof value === 'string' && !/[\u0100-\uffff]/.test(value)
const isBytes: Check = (value) => value instanceof Uint8Array
const isFlags: Check = (value) => typeof value === 'bigint' && value >= 0n && value < 1n << 64n
const isOptionalIndex: Check = (value) => value === undefined || Number.isFinite(value)
const isDuration: Check = (value) => Number.isFinite(value) && (value as number) >= 0
const isOptionalDuration: Check = (value) => value === undefined || isDuration(value)
const isTextList: Check = (value) => Array.isArray(value) && value.every(isText)
const isBehavior: Check = (value) => value === 'release' || value === 'delete'
const SERVICE_CHECK: Readonly<Record<string, Check>> = { id: isText, namespace: isText }
const isServiceChecks: Check = (value) => value === null || isListOf(SERVICE_CHECK, value)

const isCount: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0
const KEY_RECORD: Readonly<Record<string, Check>> = { key: isKey, value: isBytes, flags: isFlags }
const isKeyRecords: Check = (value) => isListOf(KEY_RECORD, value)

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

const KEYED_WRITE = { key: isKey, value: isBytes, flags: isFlags }
const KEYED = { key: isKey }
/** The fields of each verb of a transaction. */
const OPERATIONS: ReadonlyMap<string, Readonly<Record<string, Check>>> = new Map(
  Object.entries({
    set: KEYED_WRITE,
    cas: { ...KEYED_WRITE, index: isCount },
    lock: { ...KEYED_WRITE, session: isText },
    unlock: { ...KEYED_WRITE, session: isText },
    get: KEYED,
    'get-or-empty': KEYED,
    'get-tree': KEYED,
    'check-index': { ...KEYED, index: isCount },
    'check-session': { ...KEYED, session: isText },
    'check-not-exists': KEYED,
    delete: KEYED,
    'delete-cas': { ...KEYED, index: isCount },
    'delete-tree': KEYED,
  } satisfies Record<KvOperation['verb'], Readonly<Record<string, Check>>>),
)
const isOperation: Check = (value) => {
  if (typeof value !== 'object' || value === null) return false
  const { verb } = value as { readonly verb?: unknown }
  const checks = typeof verb === 'string' ? OPERATIONS.get(verb) : undefined
  return checks !== undefined && fits(value, checks)
}
const isOperations: Check = (value) => Array.isArray(value) && value.every(isOperation)

const isSession: Check = (value) => typeof value === 'object' && value !== null && fits(value, SESSION)

const COMMANDS: ReadonlyMap<string, Readonly<Record<string, Check>>> = new Map(
  Object.entries({
    'kv.set': {
      key: isKey,
      value: isBytes,
      flags: isFlags,
      cas: isOptionalIndex,
      ttlMs: isOptionalDuration,
    },
    'kv.acquire': { key: isKey, value: isBytes, flags: isFlags, session: isText },
    'kv.release': { key: isKey, value: isBytes, flags: isFlags, session: isText },
    'kv.delete': { key: isKey, cas: isOptionalIndex },
    'kv.deleteTree': { prefix: isKey },
    'kv.expire': { key: isKey, renewIndex: isCount },
    'kv.txn': { operations: isOperations },
    'session.create': { session: isSession },
    'session.destroy': { id: isText },
    'restore.begin': { id: isText },
    'restore.part': { id: isText, part: isCount, records: isKeyRecords },
    'restore.commit': { id: isText, parts: isCount, crc: isCount },
  } satisfies Record<Command['type'], Readonly<Record<string, Check>>>),
)

function isListOf(checks: Readonly<Record<string, Check>>, value: unknown): boolean {
  return (
    Array.isArray(value) &&
    value.every((item) => typeof item === 'object' && item !== null && fits(item, checks))
  )
}

function fits(value: object, checks: Readonly<Record<string, Check>>): boolean {
  const fields = value as Readonly<Record<string, unknown>>
  return Object.entries(checks).every(([name, check]) => check(fields[name]))
}

/**
 * True if `value` is a proposal with every field of the right kind. The leader asks before it takes one: an entry
 * that cannot be applied would stop every node of the cluster, again at each start.
 */
export function isProposal(value: unknown): value is Omit<LogRecord, 'at'> {
  if (typeof value !== 'object' || value === null) return false
  const { origin, sequence, acknowledged, command } = value as Partial<Record<keyof LogRecord, unknown>>
  return isText(origin) && isCount(sequence) && isCount(acknowledged) && isCommand(command)
}

/** True if `value` is a command with every field of the right kind. */
export function isCommand(value: unknown): value is Command {
  if (typeof value !== 'object' || value === null) return false
  const { type } = value as { readonly type?: unknown }
  const checks = typeof type === 'string' ? COMMANDS.get(type) : undefined
  return checks !== undefined && fits(value, checks)
}
