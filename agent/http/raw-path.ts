import type { FastifyRequest } from 'fastify'
import type { ByteKey } from '../../consensus/client.ts'
import { badRequest } from './errors.ts'

const PERCENT = 0x25

/**
 * The target of a request as it is handed to the router. Keys are not UTF-8 and may hold `//`, `#` or an escaped `/`,
 * all of which a router reads its own way, so the key is cut out here and taken from the original target by `pathTail`.
 * An absolute-form target (RFC 9112 §3.2.2) loses its scheme and host.
 */
export function routableUrl(target: string): string {
  const url = originForm(target)
  if (!/^\/v1\/kv(?:[/?]|$)/.test(url)) return url
  const query = url.indexOf('?')
  return `/v1/kv/_${query < 0 ? '' : url.slice(query)}`
}

/**
 * What `*` of the matched route stands for, percent-decoded once. `a/b` and `a%2Fb` are the same, `//` and `+` stay.
 * @throws HttpError 400 for a malformed percent sequence.
 */
export function pathTail(request: FastifyRequest): ByteKey {
  const route = request.routeOptions.url ?? ''
  const depth = route.split('/').length - 1
  const path = originForm(request.originalUrl).split('?', 1)[0] ?? ''
  let start = 0
  for (let i = 0; i < depth; i++) {
    start = path.indexOf('/', start) + 1
    if (start === 0) return ''
  }
  return percentDecode(path.slice(start))
}

/** As `pathTail`, for names that must be text. @throws HttpError 400 if it is not UTF-8. */
export function textTail(request: FastifyRequest): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(
      Buffer.from(pathTail(request), 'latin1'),
    )
  } catch (error) {
    if (error instanceof TypeError) throw badRequest('the path is not valid UTF-8')
    throw error
  }
}

/** As `textTail`, for names that must be there. @throws HttpError 400 `Missing …` in Consul's words. */
export function namedTail(request: FastifyRequest, what: string): string {
  const name = textTail(request)
  if (name === '') throw badRequest(`Missing ${what}`)
  return name
}

/**
 * Decodes percent sequences into bytes, one code unit per byte. Bytes above 127 that came unescaped stay as they are.
 * @throws HttpError 400 for a `%` that two hexadecimal digits do not follow.
 */
export function percentDecode(text: string): ByteKey {
  const bytes = Buffer.from(text, isLatin1(text) ? 'latin1' : 'utf8')
  if (!bytes.includes(PERCENT)) return bytes.toString('latin1')
  const decoded = Buffer.allocUnsafe(bytes.length)
  let length = 0
  for (let i = 0; i < bytes.length; i++) {
    let byte = bytes[i] as number
    if (byte === PERCENT) {
      const high = hexDigit(bytes[i + 1])
      const low = hexDigit(bytes[i + 2])
      if (high < 0 || low < 0) throw badRequest('malformed percent sequence in the path')
      byte = high * 16 + low
      i += 2
    }
    decoded[length++] = byte
  }
  return decoded.toString('latin1', 0, length)
}

/** A ByteKey as text; bytes that are not UTF-8 become U+FFFD. */
export function keyText(key: ByteKey): string {
  return Buffer.from(key, 'latin1').toString('utf8')
}

/** The bytes of a text as a ByteKey. */
export function textKey(text: string): ByteKey {
  return Buffer.from(text, 'utf8').toString('latin1')
}

/** A target without the scheme and host of an absolute-form one (RFC 9112 §3.2.2). */
export function originForm(target: string): string {
  if (target.startsWith('/')) return target
  const path = /^[a-z][a-z0-9+.-]*:\/\/[^/?]*(.*)$/i.exec(target)?.[1]
  if (path === undefined) return target
  return path.startsWith('/') ? path : `/${path}`
}

function isLatin1(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0xff) return false
  return true
}

function hexDigit(byte: number | undefined): number {
  if (byte === undefined) return -1
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  const lower = byte | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1
}
