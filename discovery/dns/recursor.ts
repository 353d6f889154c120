import { randomInt } from 'node:crypto'
import dgram from 'node:dgram'
import net, { isIPv6 } from 'node:net'
import type { Logger } from 'pino'
import { QR, RD, TC, UDP_BYTES } from './message.ts'
import { HEADER_BYTES, readName } from './reader.ts'
import { TYPES } from './records.ts'

/** Where a recursor listens. */
export interface RecursorAddress {
  readonly host: string
  readonly port: number
}

/** How others are asked. */
export interface RecursorOptions {
  /** In the order they are to be tried. */
  readonly servers: readonly RecursorAddress[]
  /** How long each may take, in milliseconds. Default 2,000. */
  readonly timeoutMs?: number
  /** Most questions under way at a time; further ones are given up at once. Default 256. */
  readonly inFlightMax?: number
}

/** What is asked: name, type and class as they go over the wire, and the bits that go with them. */
export interface Asked {
  readonly question: Buffer
  readonly checkingDisabled: boolean
  readonly dnssecOk: boolean
}

const RCODE_SERVFAIL = 2
const RCODE_REFUSED = 5

/**
 * Asks other servers, one after the other, beginning with the one that answered last: over UDP from a port of its own with a random id,
 * and over TCP if the answer was cut. What does not come from the server asked, or is not about the question, is not taken. The same
 * question asked again while it is under way waits for the same answer: two servers that ask each other do so once.
 */
export class Recursor {
  readonly #servers: readonly RecursorAddress[]
  readonly #timeoutMs: number
  readonly #inFlightMax: number
  readonly #log: Logger
  readonly #underWay = new Map<string, Promise<Buffer | null>>()
  readonly #stopped = new AbortController()
  #first = 0

  constructor(options: RecursorOptions, collaborators: { readonly log: Logger }) {
    this.#servers = options.servers
    this.#timeoutMs = options.timeoutMs ?? 2_000
    this.#inFlightMax = options.inFlightMax ?? 256
    this.#log = collaborators.log
  }

  /** Questions under way. */
  get inFlight(): number {
    return this.#underWay.size
  }

  /** The whole response of the first server that has an answer; null if none has. Its id means nothing. Never rejects. */
  ask(asked: Asked): Promise<Buffer | null> {
    const key = `${asked.question.toString('latin1').toLowerCase()} ${asked.checkingDisabled} ${asked.dnssecOk}`
    const underWay = this.#underWay.get(key)
    if (underWay !== undefined) return underWay
    if (this.#underWay.size >= this.#inFlightMax || this.#stopped.signal.aborted) return Promise.resolve(null)
    const answer = this.#ask(asked).finally(() => this.#underWay.delete(key))
    this.#underWay.set(key, answer)
    return answer
  }

  /** Gives up what is under way. */
  stop(): void {
    this.#stopped.abort()
  }

  async #ask(asked: Asked): Promise<Buffer | null> {
    let refused: Buffer | null = null
    const first = this.#first
    for (let i = 0; i < this.#servers.length && !this.#stopped.signal.aborted; i++) {
      const at = (first + i) % this.#servers.length
      const server = this.#servers[at]
      if (server === undefined) break
      try {
        const response = await this.#askServer(server, asked)
        const rcode = response.readUInt16BE(2) & 0xf
        if (rcode === RCODE_SERVFAIL || rcode === RCODE_REFUSED) {
          refused = response
          continue
        }
        this.#first = at
        return response
      } catch (error) {
        this.#log.debug({ err: error, recursor: server }, 'a recursor did not answer')
      }
    }
    return refused
  }

  async #askServer(server: RecursorAddress, asked: Asked): Promise<Buffer> {
    const signal = AbortSignal.any([AbortSignal.timeout(this.#timeoutMs), this.#stopped.signal])
    const request = encodeRequest(asked)
    const response = await overUdp(server, request, signal)
    return (response.readUInt16BE(2) & TC) === 0 ? response : overTcp(server, encodeRequest(asked), signal)
  }
}

/** True if this is the response to that request: same id, same question. */
export function isResponseTo(request: Buffer, response: Buffer): boolean {
  if (response.length < HEADER_BYTES || response.readUInt16BE(0) !== request.readUInt16BE(0)) return false
  const flags = response.readUInt16BE(2)
  if ((flags & QR) === 0 || ((flags >> 11) & 0xf) !== 0 || response.readUInt16BE(4) !== 1) return false
  try {
    const asked = readName(request, HEADER_BYTES, false)
    const repeated = readName(response, HEADER_BYTES, false)
    const type = (message: Buffer, at: number) => message.toString('latin1', at, at + 4)
    return (
      asked.text.toLowerCase() === repeated.text.toLowerCase() &&
      type(request, asked.end) === type(response, repeated.end)
    )
  } catch {
    return false
  }
}

function encodeRequest({ question, checkingDisabled, dnssecOk }: Asked): Buffer {
  const header = Buffer.alloc(HEADER_BYTES)
  header.writeUInt16BE(randomInt(0x10000), 0)
  header.writeUInt16BE(RD | (checkingDisabled ? 0x10 : 0), 2)
  header.writeUInt16BE(1, 4)
  header.writeUInt16BE(1, 10)
  const opt = Buffer.alloc(11)
  opt.writeUInt16BE(TYPES.OPT, 1)
  opt.writeUInt16BE(UDP_BYTES, 3)
  opt.writeUInt16BE(dnssecOk ? 0x8000 : 0, 7)
  return Buffer.concat([header, question, opt])
}

/** A connected socket of its own: the system draws its port, and lets only the server's datagrams through. */
function overUdp({ host, port }: RecursorAddress, request: Buffer, signal: AbortSignal): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = dgram.createSocket(isIPv6(host) ? 'udp6' : 'udp4')
    let ended = false
    const end = (finish: () => void): void => {
      if (ended) return
      ended = true
      signal.removeEventListener('abort', onAbort)
      socket.removeAllListeners('message')
      socket.close()
      finish()
    }
    const onAbort = () => end(() => reject(signal.reason))
    if (signal.aborted) return onAbort()
    signal.addEventListener('abort', onAbort)
    socket.on('error', (error) => end(() => reject(error)))
    socket.on('message', (response) => {
      if (isResponseTo(request, response)) end(() => resolve(response))
    })
    // A callback given to `connect` would be called with the error as well, and the error not be emitted.
    socket.once('connect', () => {
      if (!ended) socket.send(request)
    })
    socket.connect(port, host)
  })
}

function overTcp({ host, port }: RecursorAddress, request: Buffer, signal: AbortSignal): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ host, port, signal })
    let received: Buffer = Buffer.alloc(0)
    socket.on('error', reject)
    socket.on('close', () => reject(new Error('closed before the answer came')))
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk])
      if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return
      const response = received.subarray(2, 2 + received.readUInt16BE(0))
      socket.destroy()
      if (isResponseTo(request, response)) resolve(response)
      else reject(new Error('answered something else'))
    })
    const length = Buffer.alloc(2)
    length.writeUInt16BE(request.length)
    socket.write(Buffer.concat([length, request]))
  })
}
