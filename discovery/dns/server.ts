import dgram from 'node:dgram'
import { once } from 'node:events'
import net, { type AddressInfo, isIPv6 } from 'node:net'
import type { Question } from 'dns-packet'
import type { Logger } from 'pino'
import { Counter, type Registry } from 'prom-client'
import type { Catalog } from '../catalog/types.ts'
import { answer, type DnsAnswer, empty } from './answer.ts'
import { listenError } from './errors.ts'
import { respond, type Transport } from './message.ts'
import type { Zone } from './name.ts'

/** Settings of the DNS server. */
export interface DnsServerOptions {
  /** One port for UDP and TCP; 0 = any free one. */
  readonly listen: { readonly host: string; readonly port: number }
  /** Domain of the cluster; names under `consul` are answered too. */
  readonly domain: string
  readonly datacenter: string
  /** Most TCP connections at a time; further ones are closed at once. Default 256. */
  readonly maxConnections?: number
  /** A TCP connection without a query for this long is closed. Default 10,000. */
  readonly idleTimeoutMs?: number
}

/** What the server works with. `random` in [0, 1) orders the instances; default the machine's. */
export interface DnsServerCollaborators {
  readonly catalog: Catalog
  readonly log: Logger
  readonly metrics?: Registry
  readonly random?: () => number
}

/** With port 0 the free TCP port may be taken for UDP: so often another is tried. */
const PORT_ATTEMPTS = 5
/** A client that asks and does not read is cut off here. */
const UNREAD_BYTES_MAX = 1024 * 1024

/** Answers DNS queries about services and nodes out of the catalogue, over UDP and TCP on one port. */
export class DnsServer {
  readonly #options: DnsServerOptions
  readonly #zone: Zone
  readonly #catalog: Catalog
  readonly #log: Logger
  readonly #random: () => number
  readonly #queries: Counter<'transport' | 'rcode'> | null
  readonly #connections = new Set<net.Socket>()
  #udp: dgram.Socket | null = null
  #tcp: net.Server | null = null
  #starting: Promise<void> | null = null

  constructor(options: DnsServerOptions, collaborators: DnsServerCollaborators) {
    const domain = options.domain.toLowerCase().replace(/^\.|\.$/g, '')
    this.#options = options
    this.#zone = { domains: [...new Set([domain, 'consul'])], datacenter: options.datacenter }
    this.#catalog = collaborators.catalog
    this.#log = collaborators.log
    this.#random = collaborators.random ?? Math.random
    this.#queries =
      collaborators.metrics === undefined
        ? null
        : new Counter({
            name: 'constellation_dns_queries_total',
            help: 'DNS queries answered, by transport and response code.',
            labelNames: ['transport', 'rcode'],
            registers: [collaborators.metrics],
          })
  }

  /** Listens on both transports. @throws DnsError `DNS_PORT_IN_USE`, `DNS_LISTEN_FAILED`; then neither is open. */
  start(): Promise<void> {
    this.#starting ??= this.#start().catch((error: unknown) => {
      this.#starting = null
      throw error
    })
    return this.#starting
  }

  /** Closes both transports and every connection. */
  async stop(): Promise<void> {
    if (this.#starting === null) return
    await this.#starting.catch(() => undefined)
    this.#starting = null
    await this.#close()
  }

  /** Where it listens. @throws Error if it does not. */
  address(): { readonly host: string; readonly port: number } {
    if (this.#tcp === null) throw new Error('the DNS server is not started')
    const { address, port } = this.#tcp.address() as AddressInfo
    return { host: address, port }
  }

  async #start(): Promise<void> {
    const { host, port } = this.#options.listen
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#listen(host, port)
        return
      } catch (error) {
        await this.#close()
        const busy = (error as NodeJS.ErrnoException).code === 'EADDRINUSE'
        if (!(busy && port === 0 && attempt < PORT_ATTEMPTS)) throw listenError(host, port, error)
      }
    }
  }

  async #listen(host: string, port: number): Promise<void> {
    const tcp = net.createServer((socket) => this.#accept(socket))
    tcp.maxConnections = this.#options.maxConnections ?? 256
    this.#tcp = tcp
    tcp.listen(port, host)
    await once(tcp, 'listening')
    tcp.on('error', (error) => this.#log.warn({ err: error }, 'DNS over TCP'))

    const bound = tcp.address() as AddressInfo
    const udp = dgram.createSocket(isIPv6(bound.address) ? 'udp6' : 'udp4')
    this.#udp = udp
    udp.bind(bound.port, bound.address)
    await once(udp, 'listening')
    udp.on('error', (error) => this.#log.warn({ err: error }, 'DNS over UDP'))
    udp.on('message', (request, peer) => {
      const response = this.#respond(request, 'udp')
      // A lost answer is asked for again; a port of 0 (spoofed) cannot be sent to.
      if (response !== null && peer.port !== 0) udp.send(response, peer.port, peer.address, () => undefined)
    })
  }

  async #close(): Promise<void> {
    const [udp, tcp] = [this.#udp, this.#tcp]
    this.#udp = null
    this.#tcp = null
    for (const socket of this.#connections) socket.destroy()
    await Promise.all([
      // Closing what never opened throws.
      new Promise<void>((resolve) => {
        try {
          if (udp === null) resolve()
          else udp.close(resolve)
        } catch {
          resolve()
        }
      }),
      new Promise<void>((resolve) => (tcp === null ? resolve() : tcp.close(() => resolve()))),
    ])
  }

  #respond(request: Buffer, transport: Transport): Buffer | null {
    const result = respond(request, transport, (question) => this.#answer(question))
    if (result === null) return null
    this.#queries?.inc({ transport, rcode: result.rcode })
    return result.response
  }

  #answer(question: Question): DnsAnswer {
    try {
      return answer(question, this.#catalog, this.#zone, this.#random)
    } catch (error) {
      this.#log.error({ err: error, name: question.name, type: question.type }, 'DNS query failed')
      return empty('SERVFAIL')
    }
  }

  /** Serves queries, each behind two bytes of length, until the peer hangs up or falls silent (RFC 7766). */
  #accept(socket: net.Socket): void {
    this.#connections.add(socket)
    // At most one query and its length wait here: complete ones are answered at once.
    let received: Buffer = Buffer.alloc(0)
    socket.on('close', () => this.#connections.delete(socket))
    socket.on('error', () => socket.destroy())
    socket.setTimeout(this.#options.idleTimeoutMs ?? 10_000, () => socket.destroy())
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk])
      while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
        const end = 2 + received.readUInt16BE(0)
        const response = this.#respond(received.subarray(2, end), 'tcp')
        received = received.subarray(end)
        if (response === null || socket.writableLength > UNREAD_BYTES_MAX) {
          socket.destroy()
          return
        }
        const length = Buffer.alloc(2)
        length.writeUInt16BE(response.length)
        socket.write(Buffer.concat([length, response]))
      }
    })
  }
}
