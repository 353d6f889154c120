import type { Call, Operation, Outcome, Output } from './history.ts'

/**
 * Reads a history of one key from text, for tests. One operation a line: client, call and return in milliseconds (`-` for an unknown
 * outcome), the call, `=>` and the answer.
 *
 *   a 0 10  put x          => true
 *   b 20 30 get            => x@7
 *   b 40 -  cas y 7        => ?
 *   c 50 60 get            => absent@9
 *   c 70 80 acquire z s1   => false
 *   c 90 99 get            => z@12/1/s1     (value, version, LockIndex, session or -)
 */
export function parseHistory(text: string): Operation[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map(parseLine)
}

function parseLine(line: string): Operation {
  const [left = '', right = ''] = line.split('=>').map((part) => part.trim())
  const [client = '', calledAt = '', returnedAt = '', ...call] = left.split(/\s+/)
  const outcome: Outcome = right === '?' ? 'unknown' : right === 'fail' ? 'failed' : 'ok'
  return {
    client,
    node: 'n1',
    key: 'k',
    call: parseCall(call),
    calledAt: Number(calledAt),
    returnedAt: returnedAt === '-' ? Number(calledAt) : Number(returnedAt),
    outcome,
    output: outcome === 'ok' ? parseOutput(right) : null,
  }
}

function parseCall([f, a = '', b = '']: readonly string[]): Call {
  switch (f) {
    case 'get':
    case 'delete':
      return { f }
    case 'put':
      return { f, value: a }
    case 'cas':
      return { f, value: a, version: Number(b) }
    case 'delete-cas':
      return { f, version: Number(a) }
    case 'acquire':
    case 'release':
      return { f, value: a, session: b }
    case 'acquire-delayed':
      return { f: 'acquire', value: a, session: b, mayBeDelayed: true }
    case 'session-end':
      return { f, session: a, behavior: b === 'delete' ? 'delete' : 'release' }
    default:
      throw new Error(`no such call: ${f}`)
  }
}

function parseOutput(text: string): Output {
  if (text === 'true' || text === 'false') return { kind: 'done', ok: text === 'true' }
  const [value = '', rest = ''] = text.split('@')
  if (value === 'absent') return rest === '' ? { kind: 'absent' } : { kind: 'absent', index: Number(rest) }
  const [version = '', lockIndex, session, created] = rest.split('/')
  return {
    kind: 'entry',
    value,
    version: Number(version),
    ...(lockIndex === undefined || lockIndex === '' ? {} : { lockIndex: Number(lockIndex) }),
    ...(session === undefined || session === '' ? {} : { session: session === '-' ? null : session }),
    ...(created === undefined ? {} : { created: Number(created) }),
  }
}
