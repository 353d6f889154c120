import http from 'node:http'
import https from 'node:https'
import type { LookupFunction } from 'node:net'
import type { CheckStatus } from '../catalog/types.ts'
import { tlsSettings } from './address.ts'
import { addressAttempts } from './address-attempts.ts'
import { socketLookup } from './name-lookup.ts'
import { type NetworkLimits, type ProbeResult, reason } from './probe.ts'
import type { CheckKind, TlsTarget } from './types.ts'

/** An HTTP check as defined in the contract. */
export type HttpKind = Extract<CheckKind, { type: 'http' }>

const REDIRECTS_MAX = 10

/** Go's client drops these when a redirect leaves the host: they are meant for the first target only. */
const SENSITIVE_HEADERS: ReadonlySet<string> = new Set(['authorization', 'cookie', 'www-authenticate'])

/**
 * Sends one request, as Consul's HTTP check does: 2xx passing, 429 warning, anything else critical. Up to 10 redirects
 * are followed unless that is disabled, of the body no more than the output may hold is read, and then the connection is closed.
 * Never rejects. An aborted signal ends it: critical before the headers came, else by their status.
 */
export async function probeHttp(
  kind: HttpKind,
  { signal, timeoutMs, outputMax, names }: NetworkLimits,
): Promise<ProbeResult> {
  const lookup = socketLookup(names, signal)
  let method = kind.method === '' ? 'GET' : kind.method.toUpperCase()
  let body = kind.body
  const label = `HTTP ${method} ${redactUrl(kind.url)}`
  const critical = (text: string): ProbeResult => ({ status: 'critical', output: `${label}: ${text}` })
  try {
    let url = new URL(kind.url)
    let headers = requestHeaders(kind.headers)
    for (let hop = 0; ; hop++) {
      const response = await send(url, { method, headers, body, tls: kind, signal, timeoutMs, lookup })
      const status = response.statusCode ?? 0
      const target = kind.disableRedirects ? null : redirectTarget(response, url)
      if (target === null) {
        const text = await readBody(response, outputMax)
        const phrase = `${status} ${response.statusMessage || (http.STATUS_CODES[status] ?? '')}`.trim()
        return { status: verdict(status), output: `${label}: ${phrase} Output: ${text}` }
      }
      response.destroy()
      if (hop === REDIRECTS_MAX) return critical(`stopped after ${REDIRECTS_MAX} redirects`)
      if (status !== 307 && status !== 308) {
        if (method !== 'HEAD') method = 'GET'
        body = ''
      }
      if (target.host !== url.host) headers = withoutSensitive(headers)
      url = target
    }
  } catch (error) {
    return critical(reason(signal.aborted ? signal.reason : error))
  }
}

/** The URL without its password: outputs are gossiped and shown to everyone. */
export function redactUrl(text: string): string {
  if (!URL.canParse(text)) return text.replace(/\/\/[^/@]*@/, '//***@')
  const url = new URL(text)
  if (url.username === '' && url.password === '') return text
  url.username = '***'
  url.password = ''
  return url.href
}

function verdict(status: number): CheckStatus {
  if (status >= 200 && status <= 299) return 'passing'
  return status === 429 ? 'warning' : 'critical'
}

type Headers = Readonly<Record<string, readonly string[]>>

function requestHeaders(configured: Headers): Headers {
  const names = new Set(Object.keys(configured).map((name) => name.toLowerCase()))
  const headers: Record<string, readonly string[]> = { ...configured }
  if (!names.has('user-agent')) headers['User-Agent'] = ['Consul Health Check']
  if (!names.has('accept')) headers.Accept = ['text/plain, text/*, */*']
  return headers
}

function withoutSensitive(headers: Headers): Headers {
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => {
      const lower = name.toLowerCase()
      return !SENSITIVE_HEADERS.has(lower) && lower !== 'host'
    }),
  )
}

function redirectTarget(response: http.IncomingMessage, from: URL): URL | null {
  const location = response.headers.location
  if (location === undefined || ![301, 302, 303, 307, 308].includes(response.statusCode ?? 0)) return null
  return new URL(location, from)
}

interface SendOptions {
  readonly method: string
  readonly headers: Headers
  readonly body: string
  readonly tls: TlsTarget
  readonly signal: AbortSignal
  readonly timeoutMs: number
  readonly lookup: LookupFunction
}

function send(url: URL, options: SendOptions): Promise<http.IncomingMessage> {
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw new Error(`unsupported scheme ${JSON.stringify(url.protocol)}: want http or https`)
  }
  const headers = Object.fromEntries(
    // Node takes a list of values for every header but Host.
    Object.entries(options.headers).map(([name, values]) => [name, values.length === 1 ? values[0] : values]),
  ) as http.OutgoingHttpHeaders
  const settings: https.RequestOptions = {
    method: options.method,
    headers,
    signal: options.signal,
    lookup: options.lookup,
    ...addressAttempts(options),
    agent: false,
    ...(url.protocol === 'https:' ? tlsSettings(options.tls, url.hostname.replace(/^\[|\]$/g, '')) : {}),
  }
  return new Promise((resolve, reject) => {
    const request = url.protocol === 'https:' ? https.request(url, settings) : http.request(url, settings)
    request.once('response', (response) => {
      // A connection that breaks after the headers is no news: the status has decided.
      response.on('error', () => undefined)
      resolve(response)
    })
    request.on('error', reject)
    // An upgrade that was not asked for would leave the request without an answer until the timeout.
    request.once('upgrade', (_response, socket) => {
      socket.destroy()
      reject(new Error('the server switched protocols'))
    })
    request.end(options.body)
  })
}

/** The body up to that many bytes; what came so far if it breaks off or the time is up. */
function readBody(response: http.IncomingMessage, bytesMax: number): Promise<string> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = []
    let size = 0
    const finish = () => {
      response.destroy()
      resolve(Buffer.concat(chunks).subarray(0, bytesMax).toString('utf8'))
    }
    response.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      size += chunk.length
      if (size >= bytesMax) finish()
    })
    response.once('end', finish)
    response.once('close', finish)
  })
}
