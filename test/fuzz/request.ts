/** A request as it is put on the wire. All texts are bytes, one code unit each. */
export interface Request {
  readonly method: string
  readonly target: string
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body: string
  /** `length`: with the right Content-Length; `chunked`; `none`: as it is, the headers say what they say. */
  readonly framing: 'length' | 'chunked' | 'none'
}

/** A request with what every valid one has. */
export function request(method: string, target: string, more: Partial<Request> = {}): Request {
  return { method, target, headers: [], body: '', framing: 'length', ...more }
}

/** What a valid request begins with; the connection is closed after it, so its answer ends where the bytes do. */
const USUAL: readonly (readonly [string, string])[] = [
  ['Host', '127.0.0.1'],
  ['Connection', 'close'],
]

/** The bytes of a request. Headers that it names itself replace the usual ones. */
export function encode({ method, target, headers, body, framing }: Request): Buffer {
  const own = new Set(headers.map(([name]) => name.toLowerCase()))
  const lines = [...USUAL.filter(([name]) => !own.has(name.toLowerCase())), ...headers]
  let payload = body
  if (framing === 'length' && body !== '') lines.push(['Content-Length', String(body.length)])
  if (framing === 'chunked') {
    lines.push(['Transfer-Encoding', 'chunked'])
    const half = Math.ceil(body.length / 2)
    const chunks = [body.slice(0, half), body.slice(half)].filter((chunk) => chunk !== '')
    payload = `${chunks.map((chunk) => `${chunk.length.toString(16)}\r\n${chunk}\r\n`).join('')}0\r\n\r\n`
  }
  const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')
  return Buffer.from(`${method} ${target} HTTP/1.1\r\n${head}\r\n${payload}`, 'latin1')
}

/** The UTF-8 bytes of a text, one code unit each. */
export function utf8(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1')
}

/** Bytes for people: what cannot be read is escaped, what is long is cut. */
export function show(bytes: Buffer | string): string {
  const text = JSON.stringify(typeof bytes === 'string' ? bytes : bytes.toString('latin1')).replace(
    /[\u007f-\uffff]/g,
    (each) => `\\u${each.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
  return text.length <= 2000 ? text : `${text.slice(0, 1900)}… ${text.length} characters`
}
