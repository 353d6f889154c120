import type { FastifyRequest } from 'fastify'
import type { KvOperation } from '../../consensus/client.ts'
import { bodyJsonExact } from './body.ts'
import { badRequest, HttpError } from './errors.ts'
import { Fields } from './fields.ts'
import { keyText, textKey } from './raw-path.ts'
import { type CatalogOperation, parseCatalogOperation } from './txn-catalog.ts'

/** Operations of one transaction. Vault asks for exactly this many to see whether it may. */
export const OPERATIONS_MAX = 128

const UINT64_MAX = 2n ** 64n - 1n
const WRITES = ['set', 'cas', 'lock', 'unlock']
const OF_PREFIXES = ['get-tree', 'delete-tree']

/** One operation as the client sent it, or why it cannot be carried out whatever the keys are. */
export type ParsedOperation = KvOperation | CatalogOperation | { readonly what: string }

/**
 * Reads the body of a transaction: an array of `{"KV":{…}}`, `{"Node":{…}}`, `{"Service":{…}}` and `{"Check":{…}}`.
 * @throws HttpError 400 `Failed to parse body: …`, 413 `Transaction contains too many operations (…)` and
 *   `Value for key "…" is too large (…)`.
 */
export function parseTransaction(
  request: FastifyRequest,
  { valueBytesMax }: { readonly valueBytesMax: number },
): readonly ParsedOperation[] {
  try {
    const body = bodyJsonExact(request)
    if (!Array.isArray(body)) throw badRequest('Request decode failed: the body must be a list of operations')
    if (body.length > OPERATIONS_MAX) {
      const text = `Transaction contains too many operations (${body.length} > ${OPERATIONS_MAX})`
      throw new HttpError('HTTP_TOO_LARGE', 413, text)
    }
    const operations = body.map((item, at) => parseOperation(new Fields(item, `operation ${at}`), at))
    for (const operation of operations) requireSize(operation, valueBytesMax)
    return operations
  } catch (error) {
    if (!(error instanceof HttpError) || error.statusCode !== 400) throw error
    throw badRequest(error.message.replace(/^Request decode failed:/, 'Failed to parse body:'))
  }
}

function requireSize(operation: ParsedOperation, valueBytesMax: number): void {
  if (!('value' in operation) || operation.value.length <= valueBytesMax) return
  const { value } = operation
  const key = 'key' in operation ? operation.key : operation.id
  const sizes = `${value.length} > ${valueBytesMax} bytes`
  throw new HttpError('HTTP_TOO_LARGE', 413, `Value for key "${keyText(key)}" is too large (${sizes})`)
}

/** True if none of the operations can change anything, so that no log entry is needed. */
export function isReadOnly(operations: readonly { readonly verb: string }[]): boolean {
  return operations.every(({ verb }) => verb.startsWith('get') || verb.startsWith('check'))
}

function parseOperation(item: Fields, at: number): ParsedOperation {
  const declared = parseCatalogOperation(item, indexOf)
  if (declared !== null) return declared
  const fields = item.object('KV')
  if (fields === undefined) {
    throw badRequest(`Failed to parse body: operation ${at} has no KV, Node, Service or Check`)
  }
  const verb = fields.string('Verb').toLowerCase()
  const key = textKey(fields.string('Key'))
  if (key === '' && !OF_PREFIXES.includes(verb)) return { what: 'Must provide key' }
  const index = safeIndex(fields, 'Index')
  const session = fields.string('Session')
  const write = WRITES.includes(verb)
    ? { value: base64(fields.string('Value')), flags: uint64(fields, 'Flags') }
    : NOTHING
  switch (verb) {
    case 'set':
      return { verb, key, ...write }
    case 'cas':
      return { verb, key, ...write, index }
    case 'lock':
    case 'unlock':
      return { verb, key, ...write, session }
    case 'check-index':
    case 'delete-cas':
      return { verb, key, index }
    case 'check-session':
      return { verb, key, session }
    case 'get':
    case 'get-or-empty':
    case 'get-tree':
    case 'check-not-exists':
    case 'delete':
    case 'delete-tree':
      return { verb, key }
    default:
      return { what: `unknown KV verb ${JSON.stringify(verb)}` }
  }
}

const NOTHING = { value: new Uint8Array(), flags: 0n }

function indexOf(fields: Fields): number {
  return safeIndex(fields, 'ModifyIndex')
}

/** An index; one that no log reaches stays one that fits nothing. */
function safeIndex(fields: Fields, name: string): number {
  return Math.min(Number(uint64(fields, name)), Number.MAX_SAFE_INTEGER)
}

/** A whole number of up to 64 bits; 0 if absent. */
function uint64(fields: Fields, name: string): bigint {
  const value = fields.value(name)
  if (value === undefined) return 0n
  const number = typeof value === 'number' && Number.isInteger(value) ? BigInt(value) : value
  if (typeof number !== 'bigint' || number < 0n || number > UINT64_MAX) {
    throw badRequest(`Failed to parse body: ${name} must be a whole number of 64 bits`)
  }
  return number
}

/** Standard base64 (RFC 4648 §4); the padding may be missing. */
function base64(text: string): Uint8Array {
  const digits = text.replace(/[\r\n]/g, '').replace(/={1,2}$/, '')
  if (!/^[A-Za-z0-9+/]*$/.test(digits) || digits.length % 4 === 1) {
    throw badRequest('Failed to parse body: a Value is not base64')
  }
  return Buffer.from(digits, 'base64')
}
