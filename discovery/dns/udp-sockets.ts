import dgram from 'node:dgram'
import { once } from 'node:events'
import { isIPv4, isIPv6 } from 'node:net'
import { networkInterfaces } from 'node:os'
import type { Logger } from 'pino'

/** Between two looks at the addresses of this host. */
const LOOK_MS = 5_000
/** Addresses of this host that are listened on. */
const ADDRESSES_MAX = 256

/** Where to listen; "0.0.0.0" is every IPv4 address of this host, "::" every address. */
export interface UdpSocketsOptions {
  readonly host: string
  readonly port: number
  /** Between two looks at the addresses of this host, in milliseconds. Default 5,000. */
  readonly lookMs?: number
}

/** What the sockets work with. */
export interface UdpSocketsCollaborators {
  readonly log: Logger
  /** Called with each datagram; `reply` sends to where it came from, from the address it was sent to. Must not throw. */
  readonly onMessage: (request: Buffer, from: dgram.RemoteInfo, reply: (response: Buffer) => void) => void
  /** The addresses of this host; default: as the system has them now. */
  readonly localAddresses?: () => readonly string[]
}

/**
 * The sockets of a UDP server. One that listens on every address would answer from whatever address the route back prefers, and a client
 * that asked another one (of several on an interface, one that moves between hosts) does not take that. So each address has a
 * socket of its own, and addresses that come and go are followed.
 */
export class UdpSockets {
  readonly #options: UdpSocketsOptions
  readonly #with: UdpSocketsCollaborators
  readonly #sockets = new Map<string, dgram.Socket>()
  /** Addresses the log has said something about. */
  readonly #told = new Set<string>()
  #timer: NodeJS.Timeout | null = null
  #looking: Promise<void> = Promise.resolve()
  #closed = false

  constructor(options: UdpSocketsOptions, collaborators: UdpSocketsCollaborators) {
    this.#options = options
    this.#with = collaborators
  }

  /** Addresses that are listened on. */
  get addresses(): readonly string[] {
    return [...this.#sockets.keys()]
  }

  /** Binds the sockets. Can be called once. @throws the system's error; sockets may be open then, until `close`. */
  async open(): Promise<void> {
    const { host } = this.#options
    if (!isWildcard(host)) return this.#bind(host)
    let wanted: readonly string[]
    try {
      wanted = this.#wanted()
    } catch (error) {
      this.#with.log.warn(
        { err: error },
        'the addresses of this host are not known: one socket is to serve them all',
      )
      return this.#bind(host)
    }
    for (const address of wanted) {
      try {
        await this.#bind(address)
      } catch (error) {
        // An address can go, or not be usable yet; that the port is taken is no accident.
        if (codeOf(error) !== 'EADDRNOTAVAIL') throw error
      }
    }
    this.#lookLater()
  }

  /** Closes every socket. */
  async close(): Promise<void> {
    this.#closed = true
    if (this.#timer !== null) clearTimeout(this.#timer)
    await this.#looking
    for (const address of this.addresses) this.#drop(address)
  }

  #lookLater(): void {
    if (this.#closed) return
    this.#timer = setTimeout(() => {
      this.#looking = this.#look()
        .catch((error: unknown) =>
          this.#with.log.debug({ err: error }, 'looking at the addresses of this host'),
        )
        .finally(() => this.#lookLater())
    }, this.#options.lookMs ?? LOOK_MS)
    this.#timer.unref()
  }

  /** Follows the addresses that came and went. */
  async #look(): Promise<void> {
    const { log } = this.#with
    const wanted = this.#wanted()
    for (const address of this.addresses) if (!wanted.includes(address)) this.#drop(address)
    for (const address of wanted) {
      if (this.#closed) return
      if (this.#sockets.has(address)) continue
      try {
        await this.#bind(address)
        this.#told.delete(address)
        log.debug({ address }, 'DNS over UDP on a new address')
      } catch (error) {
        // A new IPv6 address is not usable for a second or two.
        if (codeOf(error) === 'EADDRNOTAVAIL' || this.#told.has(address)) continue
        log.warn({ err: error, address }, 'cannot listen for DNS over UDP, trying on')
        this.#told.add(address)
      }
    }
    for (const address of this.#told) if (!wanted.includes(address)) this.#told.delete(address)
  }

  #wanted(): readonly string[] {
    const { localAddresses = addressesOfHost } = this.#with
    const isMeant = this.#options.host === '0.0.0.0' ? isIPv4 : () => true
    return [...new Set(localAddresses())].filter((address) => isMeant(address)).slice(0, ADDRESSES_MAX)
  }

  async #bind(address: string): Promise<void> {
    const socket = dgram.createSocket(isIPv6(address) ? 'udp6' : 'udp4')
    try {
      socket.bind(this.#options.port, address)
      await once(socket, 'listening')
    } catch (error) {
      socket.close()
      throw error
    }
    if (this.#closed) {
      socket.close()
      return
    }
    this.#sockets.set(address, socket)
    const { log, onMessage } = this.#with
    socket.on('error', (error) => log.warn({ err: error, address }, 'DNS over UDP'))
    socket.on('message', (request, from) => {
      // A port of 0 (spoofed) cannot be sent to.
      if (from.port !== 0) onMessage(request, from, (response) => this.#send(address, socket, response, from))
    })
  }

  /** A lost answer is asked for again. */
  #send(address: string, socket: dgram.Socket, response: Buffer, to: dgram.RemoteInfo): void {
    if (this.#sockets.get(address) !== socket) return
    try {
      socket.send(response, to.port, to.address, () => undefined)
    } catch (error) {
      this.#with.log.warn({ err: error, to: to.address }, 'DNS over UDP')
    }
  }

  #drop(address: string): void {
    this.#sockets.get(address)?.close()
    this.#sockets.delete(address)
  }
}

function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || host === '::'
}

/** Link-local ones with the interface they belong to. */
function addressesOfHost(): readonly string[] {
  return Object.entries(networkInterfaces()).flatMap(([name, addresses = []]) =>
    addresses.map(({ address }) => (/^fe[89ab]/i.test(address) ? `${address}%${name}` : address)),
  )
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code
}
