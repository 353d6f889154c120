/** One answer read from the wire. */
export interface Answer {
  readonly status: number
  /** Lower-case names; several values of one name are joined by a comma. */
  readonly headers: ReadonlyMap<string, string>
  readonly body: Buffer
}

/** What was read, and what is left that is no answer. */
export interface Parsed {
  readonly answers: readonly Answer[]
  /** Why the rest is no answer; null if nothing is left. */
  readonly problem: string | null
}

/** Statuses whose answers have no body. */
const BODILESS: ReadonlySet<number> = new Set([204, 304])

/**
 * Reads the answers a connection got until it was closed. It trusts nothing of the server under test: what is not exactly
 * a sequence of answers is a problem. `isHead`: the first request was HEAD, so its answer ends with the headers.
 */
export function parseAnswers(bytes: Buffer, isHead: boolean): Parsed {
  const answers: Answer[] = []
  let at = 0
  while (at < bytes.length) {
    const end = bytes.indexOf('\r\n\r\n', at)
    if (end < 0) return { answers, problem: 'the headers do not end' }
    const [line = '', ...lines] = bytes.toString('latin1', at, end).split('\r\n')
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(line)?.[1] ?? 0)
    if (status === 0) return { answers, problem: `not a status line: ${JSON.stringify(line.slice(0, 100))}` }
    const headers = new Map<string, string>()
    for (const each of lines) {
      const [, name = '', value = ''] = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?(.*)$/.exec(each) ?? []
      if (name === '') return { answers, problem: `not a header: ${JSON.stringify(each.slice(0, 100))}` }
      const known = headers.get(name.toLowerCase())
      headers.set(name.toLowerCase(), known === undefined ? value : `${known}, ${value}`)
    }
    at = end + 4
    if (status < 200) continue
    const hasBody = !(isHead && answers.length === 0) && !BODILESS.has(status)
    const body = hasBody ? readBody(bytes, at, headers) : { bytes: Buffer.alloc(0), end: at }
    if (typeof body === 'string') return { answers, problem: body }
    at = body.end
    answers.push({ status, headers, body: body.bytes })
  }
  return { answers, problem: null }
}

function readBody(
  bytes: Buffer,
  at: number,
  headers: ReadonlyMap<string, string>,
): { readonly bytes: Buffer; readonly end: number } | string {
  const length = headers.get('content-length')
  if (headers.get('transfer-encoding') === 'chunked') return readChunks(bytes, at)
  if (length === undefined) return { bytes: bytes.subarray(at), end: bytes.length }
  if (!/^\d+$/.test(length)) return `Content-Length is ${JSON.stringify(length)}`
  const end = at + Number(length)
  if (end > bytes.length) return `the body has ${bytes.length - at} of ${length} bytes`
  return { bytes: bytes.subarray(at, end), end }
}

function readChunks(bytes: Buffer, from: number): { readonly bytes: Buffer; readonly end: number } | string {
  const chunks: Buffer[] = []
  for (let at = from; ; ) {
    const end = bytes.indexOf('\r\n', at)
    const size = end < 0 ? Number.NaN : Number.parseInt(bytes.toString('latin1', at, end), 16)
    if (!Number.isSafeInteger(size) || end + 2 + size + 2 > bytes.length) return 'a chunk is cut short'
    at = end + 2 + size
    chunks.push(bytes.subarray(end + 2, at))
    at += 2
    if (size === 0) return { bytes: Buffer.concat(chunks), end: at }
  }
}
