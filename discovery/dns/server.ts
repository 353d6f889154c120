import { once } from 'node:events'
import net, { type AddressInfo } from 'node:net'
import type { Logger } from 'pino'
import type { Registry } from 'prom-client'
import type { Catalog } from '../catalog/types.ts'
import { DnsView, type Zone } from './answer.ts'
import { listenError, recursorIsSelf } from './errors.ts'
import { answerBytesMax, encodeAnswer, encodeMalformed, RD, type Transport } from './message.ts'
import { DnsMetrics } from './metrics.ts'
import { type Query, readQuery } from './reader.ts'
import { type DnsAnswer, empty, typeName } from './records.ts'
import { completeAlias, forward, isAskedFor, unreachable } from './recursion.ts'
import { Recursor, type RecursorAddress } from './recursor.ts'
import { isOwnAddress } from './self.ts'
import { serveConnection } from './tcp-connection.ts'
import type { Ttls } from './ttl.ts'
import { UdpSockets } from './udp-sockets.ts'

/** Settings that can change while the server runs. */
export interface DnsSettings {
  readonly ttls?: Ttls
  /** Instances with a warning are left out too. Default false. */
  readonly onlyPassing?: boolean
  /** Most addresses of a service in one answer; 0 = all, the default. */
  readonly addressesMax?: number
  /** Most answers over UDP to a client without EDNS, TC set if there are more; 0 = as many as fit, the default. */
  readonly udpAnswersMax?: number
  /** Asked for what is not in the zone; default none, and it is refused. */
  readonly recursors?: readonly RecursorAddress[]
  /** How long each of them may take, in milliseconds. Default 2,000. */
  readonly recursorTimeoutMs?: number
}

/** Settings of the DNS server. */
export interface DnsServerOptions extends DnsSettings {
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
  /** Whether what is not in the catalogue does not exist; without it, once that is synced. */
  readonly complete?: () => boolean
  readonly log: Logger
  readonly metrics?: Registry
  readonly random?: () => number
}

/** With port 0 the free TCP port may be taken for UDP: so often another is tried. */
const PORT_ATTEMPTS = 5

/** Answers DNS queries about services and nodes out of the catalogue, over UDP and TCP on one port. */
export class DnsServer {
  readonly #options: DnsServerOptions
  readonly #domains: readonly string[]
  readonly #collaborators: DnsServerCollaborators
  readonly #log: Logger
  readonly #metrics: DnsMetrics
  readonly #connections = new Set<net.Socket>()
  #view: DnsView
  #recursor: Recursor | null = null
  #udpAnswersMax: number | undefined
  #udp: UdpSockets | null = null
  #tcp: net.Server | null = null
  #starting: Promise<void> | null = null

  constructor(options: DnsServerOptions, collaborators: DnsServerCollaborators) {
    const domain = options.domain.toLowerCase().replace(/^\.|\.$/g, '')
    this.#options = options
    this.#domains = [...new Set([domain, 'consul'])]
    this.#collaborators = collaborators
    this.#log = collaborators.log
    this.#metrics = new DnsMetrics(collaborators.metrics, {
      recursionsInFlight: () => this.#recursor?.inFlight ?? 0,
      connections: () => this.#connections.size,
    })
    this.#view = this.#viewOf(options)
    this.#apply(options)
  }

  /** Answers from now on by these settings. What recursors are being asked is given up. */
  configure(settings: DnsSettings): void {
    this.#view = this.#viewOf(settings)
    this.#apply(settings)
  }

  /**
   * Listens on both transports. @throws DnsError `DNS_PORT_IN_USE`, `DNS_LISTEN_FAILED`, `DNS_RECURSOR_IS_SELF`; then neither is open.
   */
  start(): Promise<void> {
    this.#starting ??= this.#start().catch((error: unknown) => {
      this.#starting = null
      throw error
    })
    return this.#starting
  }

  /** Closes both transports and every connection. */
  async stop(): Promise<void> {
    this.#recursor?.stop()
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

  #viewOf(settings: DnsSettings): DnsView {
    const zone: Zone = {
      domains: this.#domains,
      datacenter: this.#options.datacenter,
      ttls: settings.ttls ?? { node: 0, service: {}, negative: 0 },
      onlyPassing: settings.onlyPassing ?? false,
      addressesMax: settings.addressesMax ?? 0,
    }
    const { catalog, random = Math.random, complete } = this.#collaborators
    return new DnsView(catalog, zone, random, complete)
  }

  #apply({ udpAnswersMax = 0, recursors = [], recursorTimeoutMs }: DnsSettings): void {
    this.#udpAnswersMax = udpAnswersMax === 0 ? undefined : udpAnswersMax
    const servers = this.#tcp === null ? recursors : this.#others(recursors)
    this.#recursor?.stop()
    const timeout = recursorTimeoutMs === undefined ? {} : { timeoutMs: recursorTimeoutMs }
    this.#recursor = servers.length === 0 ? null : new Recursor({ servers, ...timeout }, { log: this.#log })
  }

  /** The recursors without this server itself. */
  #others(recursors: readonly RecursorAddress[]): readonly RecursorAddress[] {
    const own = this.address()
    return recursors.filter((recursor) => {
      const self = isOwnAddress(recursor, own)
      if (self) this.#log.error({ recursor }, 'dns.recursors names this server itself: it is left out')
      return !self
    })
  }

  async #start(): Promise<void> {
    const { host, port } = this.#options.listen
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#listen(host, port)
        break
      } catch (error) {
        await this.#close()
        const busy = (error as NodeJS.ErrnoException).code === 'EADDRINUSE'
        if (!(busy && port === 0 && attempt < PORT_ATTEMPTS)) throw listenError(host, port, error)
      }
    }
    const own = this.address()
    const self = this.#options.recursors?.find((recursor) => isOwnAddress(recursor, own))
    if (self === undefined) return
    await this.#close()
    throw recursorIsSelf(self.host, self.port)
  }

  async #listen(host: string, port: number): Promise<void> {
    const tcp = net.createServer({ allowHalfOpen: true }, (socket) => this.#accept(socket))
    tcp.maxConnections = this.#options.maxConnections ?? 256
    this.#tcp = tcp
    tcp.listen(port, host)
    await once(tcp, 'listening')
    tcp.on('error', (error) => this.#log.warn({ err: error }, 'DNS over TCP'))

    const bound = tcp.address() as AddressInfo
    this.#udp = new UdpSockets(
      { host: bound.address, port: bound.port },
      {
        log: this.#log,
        onMessage: (request, from, reply) => {
          const send = (response: Buffer | null) => {
            if (response !== null) reply(response)
          }
          const response = this.#respond(request, 'udp', from.address)
          if (response instanceof Promise) void response.then(send)
          else send(response)
        },
      },
    )
    await this.#udp.open()
  }

  #accept(socket: net.Socket): void {
    const peer = socket.remoteAddress
    if (peer === undefined) {
      socket.destroy()
      return
    }
    this.#connections.add(socket)
    socket.on('close', () => this.#connections.delete(socket))
    serveConnection(socket, this.#options.idleTimeoutMs ?? 10_000, (query) =>
      this.#respond(query, 'tcp', peer),
    )
  }

  async #close(): Promise<void> {
    const [udp, tcp] = [this.#udp, this.#tcp]
    this.#udp = null
    this.#tcp = null
    for (const socket of this.#connections) socket.destroy()
    await Promise.all([
      udp?.close(),
      new Promise<void>((resolve) => (tcp === null ? resolve() : tcp.close(() => resolve()))),
    ])
  }

  /** Answers SERVFAIL if anything at all goes wrong: whatever one question does, it must not end the agent. Never throws or rejects. */
  #respond(request: Buffer, transport: Transport, peer: string): Buffer | null | Promise<Buffer | null> {
    const failed = (error: unknown): Buffer | null => this.#failed(request, transport, error)
    try {
      const response = this.#compose(request, transport, peer)
      return response instanceof Promise ? response.catch(failed) : response
    } catch (error) {
      return failed(error)
    }
  }

  #failed(request: Buffer, transport: Transport, error: unknown): Buffer | null {
    const query = readQuery(request)
    if (query === null || 'refused' in query) return null
    const { name, type } = query
    this.#log.error({ err: error, name, type: typeName(type) }, 'DNS query failed')
    this.#metrics.answered(transport, 'SERVFAIL')
    const bytesMax = answerBytesMax(query, transport, false)
    return encodeAnswer(query, empty('SERVFAIL'), { bytesMax, recursion: false })
  }

  #compose(request: Buffer, transport: Transport, peer: string): Buffer | null | Promise<Buffer | null> {
    const query = readQuery(request)
    if (query === null) return null
    if ('refused' in query) {
      this.#metrics.answered(transport, query.refused)
      return encodeMalformed(query)
    }
    const recursor = this.#recursor !== null && isAskedFor(peer) ? this.#recursor : null
    const bytesMax = answerBytesMax(query, transport, isLoopback(peer))
    const finish = (answer: DnsAnswer): Buffer => {
      const limit = transport === 'udp' && query.edns === null ? this.#udpAnswersMax : undefined
      const response = encodeAnswer(query, answer, {
        bytesMax,
        recursion: recursor !== null,
        ...(limit === undefined ? {} : { answersMax: limit }),
      })
      this.#metrics.answered(transport, answer.rcode)
      return response
    }
    const answer = this.#answer(query)
    if (recursor === null || (query.flags & RD) === 0) return finish(answer)
    if (answer.elsewhere === true) return this.#forward(query, recursor, bytesMax, transport, finish)
    if (answer.aliasOf === undefined) return finish(answer)
    return completeAlias(query, answer, recursor).then(finish)
  }

  async #forward(
    query: Query,
    recursor: Recursor,
    bytesMax: number,
    transport: Transport,
    finish: (answer: DnsAnswer) => Buffer,
  ): Promise<Buffer> {
    const response = await forward(query, recursor, bytesMax)
    if (response === null) return finish(unreachable())
    this.#metrics.forwarded(transport, response.readUInt16BE(2) & 0xf)
    return response
  }

  #answer(query: Query): DnsAnswer {
    if (query.edns !== null && query.edns.version !== 0) return empty('BADVERS')
    return this.#view.answer({ name: query.name, type: typeName(query.type), class: query.class })
  }
}

function isLoopback(address: string): boolean {
  return address.startsWith('127.') || address === '::1' || address.startsWith('::ffff:127.')
}
