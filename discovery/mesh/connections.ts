import type { Connection, Libp2p, MessageStream } from '@libp2p/interface'
import type { Logger } from 'pino'
import { formatAddress, multiaddrToAddress, parseAddress, resolveHost, toMultiaddr } from './address.ts'
import { Backoff } from './backoff.ts'
import { ComingConnections } from './coming-connections.ts'
import { ANSWERED, DialPatience, type DialPatienceOptions } from './dial-patience.ts'
import { MeshError, NobodyListensError } from './errors.ts'
import type { MeshMetrics } from './metrics.ts'
import type { Refusals } from './refusals.ts'
import type { PeerEvent, PeerId } from './types.ts'

/** How peers are dialled. */
export interface ConnectionsOptions extends DialPatienceOptions {
  readonly self: PeerId
  readonly connectionsMax: number
  readonly onDemandMax: number
}

interface PendingDial {
  readonly promise: Promise<Connection>
  readonly resolve: (connection: Connection) => void
}

const BACKOFF = { firstMs: 250, maxMs: 5_000 }
/** An end that agreed to part takes the connection for good again if it has not been closed by then. */
const RETIRED_MS = 5_000

/**
 * Who is connected, where everybody is, and the one dial at a time that is made to each peer when a message needs it.
 *
 * Two nodes that dial each other at the same moment end up with two connections, as does a node whose peer dials again
 * before its old connection was found dead. Which one is kept is for both ends to agree on (`Settling`): closing one of them
 * from both ends at once could leave none.
 */
export class Connections {
  readonly #options: ConnectionsOptions
  readonly #host: Pick<Libp2p, 'dial'>
  readonly #refusals: Refusals
  readonly #metrics: MeshMetrics
  readonly #log: Logger
  readonly #now: () => number
  readonly #open = new Map<PeerId, Connection[]>()
  readonly #addresses = new Map<PeerId, string>()
  readonly #backoffs = new Map<PeerId, Backoff>()
  readonly #dialing = new Map<PeerId, PendingDial>()
  readonly #listeners: Set<(event: PeerEvent) => void>
  readonly #usedAt = new Map<PeerId, number>()
  /** Connections that both ends have agreed to close, by id: until when. */
  readonly #retired = new Map<string, number>()
  /** Connections that both ends have agreed not to use while they have another one, by id. */
  readonly #surplus = new Set<string>()
  readonly #openedAt = new WeakMap<Connection, number>()
  readonly #coming = new ComingConnections()
  #kept: ReadonlySet<PeerId> | null = null
  readonly #stopped = new AbortController()

  constructor(
    options: ConnectionsOptions,
    collaborators: {
      readonly host: Pick<Libp2p, 'dial'>
      readonly refusals: Refusals
      readonly metrics: MeshMetrics
      readonly log: Logger
      readonly now: () => number
      readonly listeners: Set<(event: PeerEvent) => void>
    },
  ) {
    this.#options = options
    this.#host = collaborators.host
    this.#refusals = collaborators.refusals
    this.#metrics = collaborators.metrics
    this.#log = collaborators.log
    this.#now = collaborators.now
    this.#listeners = collaborators.listeners
  }

  /** Peers with an open connection. */
  connected(): readonly PeerId[] {
    return [...this.#open.keys()]
  }

  /** Every open connection, for those who have to look at all of them. */
  all(): readonly Connection[] {
    return [...this.#open.values()].flat()
  }

  /** The connection to open streams on: the oldest that is not surplus. Which of several is the better is not for one end to say. */
  current(peer: PeerId): Connection | undefined {
    const usable = this.#usable(peer)
    return usable.find((connection) => !this.#surplus.has(connection.id)) ?? usable.at(-1)
  }

  // ---- several with one peer -----------------------------------------------------------------------------------

  /** The connections to this peer among which the one to keep has not been agreed on, the newest first. */
  unsettled(peer: PeerId): readonly Connection[] {
    return this.#usable(peer)
      .filter((connection) => !this.#surplus.has(connection.id))
      .toReversed()
  }

  /** The connections to this peer that are not to be used because there is another one. */
  surplus(peer: PeerId): readonly Connection[] {
    return this.#usable(peer).filter((connection) => this.isSurplus(connection))
  }

  /** The other open connections to its peer, those included that both ends have agreed to close. */
  others(connection: Connection): readonly Connection[] {
    const open = this.#open.get(connection.remotePeer.toString()) ?? []
    return open.filter(({ id, status }) => id !== connection.id && status === 'open')
  }

  /** Whether this connection is not to be used because there is another one. */
  isSurplus(connection: Connection): boolean {
    return (
      this.#surplus.has(connection.id) && this.current(connection.remotePeer.toString())?.id !== connection.id
    )
  }

  /** Milliseconds since this connection was opened. */
  ageMs(connection: Connection): number {
    return this.#now() - (this.#openedAt.get(connection) ?? this.#now())
  }

  /** Both ends have agreed to use this connection and none of the others. */
  settle(kept: Connection, others: readonly Connection[]): void {
    this.#surplus.delete(kept.id)
    for (const { id } of this.#open.get(kept.remotePeer.toString()) ?? []) {
      // One that was lost meanwhile is nobody's business any more, one that came meanwhile was not spoken of.
      if (id !== kept.id && others.some((other) => other.id === id)) this.#surplus.add(id)
    }
    this.#measure()
  }

  #usable(peer: PeerId): Connection[] {
    const open = this.#open.get(peer) ?? []
    return open.filter((connection) => connection.status === 'open' && !this.#isRetired(connection))
  }

  // ---- which ones are kept -------------------------------------------------------------------------------------

  /** Keeps connections to these peers; null: to all. */
  keep(peers: readonly PeerId[] | null): void {
    this.#kept = peers === null ? null : new Set(peers)
    this.#measure()
  }

  isKept(peer: PeerId): boolean {
    return this.#kept === null || this.#kept.has(peer)
  }

  /** How many connections are not to be kept. */
  get onDemand(): number {
    if (this.#kept === null) return 0
    let count = 0
    for (const [peer, connections] of this.#open) if (!this.#kept.has(peer)) count += connections.length
    return count
  }

  /** A message went to or came from this peer. */
  used(peer: PeerId): void {
    if (this.#open.has(peer)) this.#usedAt.set(peer, this.#now())
  }

  /** When the last message went to or came from this peer, or it connected. */
  usedAt(peer: PeerId): number {
    return this.#usedAt.get(peer) ?? this.#now()
  }

  /** No stream is opened any more on the connections to this peer, and their end means nothing. Answers which they are. */
  retire(peer: PeerId): readonly Connection[] {
    const connections = this.#open.get(peer) ?? []
    for (const connection of connections) this.#retired.set(connection.id, this.#now() + RETIRED_MS)
    return connections
  }

  /** Closes connections; resolves when they are closed. */
  async close(connections: readonly Connection[]): Promise<void> {
    await Promise.all(connections.map((connection) => closeSoon(connection)))
  }

  #isRetired(connection: Connection): boolean {
    const until = this.#retired.get(connection.id)
    return until !== undefined && until > this.#now()
  }

  /** Whether there is a place for one more connection, with this peer if it is known which it will be. */
  #hasPlace(peer?: PeerId): boolean {
    const { connectionsMax, onDemandMax } = this.#options
    const coming = this.#coming.size
    if (this.all().length + coming >= connectionsMax + onDemandMax) return false
    return peer === undefined || this.isKept(peer) || this.onDemand + coming < onDemandMax
  }

  /** Promises a place to an inbound connection that has proved its membership; `raw` carries it. False if there is none. */
  admit(peer: PeerId, raw: MessageStream): boolean {
    if (!this.#hasPlace(peer)) return false
    this.#coming.promise(peer, raw)
    raw.addEventListener('close', () => this.#coming.ended(peer, raw), { once: true })
    return true
  }

  /** Whether a message for this peer may wait for a connection: there is one, one is being made or may be made now. */
  reachable(peer: PeerId): boolean {
    if (this.current(peer) !== undefined || this.#dialing.has(peer)) return true
    return this.#addresses.has(peer) && this.#backoff(peer).waitMs(this.#now()) === 0
  }

  setAddress(peer: PeerId, address: string): void {
    if (peer === this.#options.self || this.#addresses.get(peer) === address) return
    this.#addresses.set(peer, address)
    this.#backoffs.delete(peer)
  }

  /** Forgets where the peer is and closes its connections; answers when they are closed. */
  async forget(peer: PeerId): Promise<void> {
    this.#addresses.delete(peer)
    this.#backoffs.delete(peer)
    await Promise.all([...(this.#open.get(peer) ?? [])].map((connection) => closeSoon(connection)))
  }

  /** Refuses further dials and closes everything. */
  async stop(): Promise<void> {
    this.#stopped.abort(new MeshError('MSH_STOPPED', 'the mesh is stopped'))
    await Promise.all(this.all().map((connection) => closeSoon(connection)))
  }

  /** libp2p has a new connection: its peer has proved its membership. */
  opened(connection: Connection): void {
    const peer = connection.remotePeer.toString()
    if (connection.direction === 'inbound') this.#coming.arrived(peer)
    if (connection.status !== 'open') return
    this.#openedAt.set(connection, this.#now())
    const before = this.#open.get(peer)
    this.#open.set(peer, [...(before ?? []), connection])
    this.#backoffs.delete(peer)
    this.#usedAt.set(peer, this.#now())
    this.#dialing.get(peer)?.resolve(connection)
    this.#measure()
    if (before === undefined) {
      const address = multiaddrToAddress(connection.remoteAddr)
      this.#emit({ type: 'connected', peer, address })
    }
  }

  /** libp2p has lost a connection. */
  closed(connection: Connection): void {
    const peer = connection.remotePeer.toString()
    const before = this.#open.get(peer)
    if (before === undefined) return
    const left = before.filter((other) => other.id !== connection.id)
    if (left.length === before.length) return
    const parted = this.#isRetired(connection)
    this.#retired.delete(connection.id)
    this.#surplus.delete(connection.id)
    // What is left is needed now, whatever was agreed.
    if (left.every(({ id }) => this.#surplus.has(id))) for (const { id } of left) this.#surplus.delete(id)
    if (left.length > 0) this.#open.set(peer, left)
    else this.#open.delete(peer)
    if (left.length === 0) this.#usedAt.delete(peer)
    this.#measure()
    if (left.length > 0) return
    this.#emit(parted ? { type: 'disconnected', peer, parted } : { type: 'disconnected', peer })
  }

  /** Dials an address whoever is there, at once and regardless of earlier failures. @throws MeshError */
  async dial(address: string, signal?: AbortSignal): Promise<PeerId> {
    return (await this.#dialAddress(address, undefined, signal)).remotePeer.toString()
  }

  /**
   * A connection to this peer: the open one, or a new one to its address. Callers at the same time share one dial.
   * @throws MeshError `MSH_UNREACHABLE`, at once while a failed dial is less than its pause ago.
   */
  async connect(peer: PeerId): Promise<Connection> {
    const open = this.current(peer)
    if (open !== undefined) return open
    const pending = this.#dialing.get(peer)
    if (pending !== undefined) return await pending.promise
    const address = this.#addresses.get(peer)
    if (address === undefined) {
      throw new MeshError('MSH_UNREACHABLE', `${peer} is not connected and its address is not known`)
    }
    const waitMs = this.#backoff(peer).waitMs(this.#now())
    if (waitMs > 0) {
      throw new MeshError('MSH_UNREACHABLE', `${address} could not be reached, next attempt in ${waitMs} ms`)
    }
    return await this.#startDial(peer, address)
  }

  async #startDial(peer: PeerId, address: string): Promise<Connection> {
    const { promise, resolve, reject } = Promise.withResolvers<Connection>()
    this.#dialing.set(peer, { promise, resolve })
    this.#dialAddress(address, peer)
      .then(resolve, (error: unknown) => {
        if (this.current(peer) === undefined && this.#addresses.get(peer) === address) {
          this.#backoff(peer).failed(this.#now())
        }
        reject(error)
      })
      .finally(() => this.#dialing.delete(peer))
    return await promise
  }

  async #dialAddress(address: string, peer?: PeerId, signal?: AbortSignal): Promise<Connection> {
    const { host, port } = parseAddress(address)
    if (!this.#hasPlace(peer)) throw this.#full()
    // An agreed end is on its way: the connection under it must not be taken for the new one.
    const force = peer !== undefined && this.#open.has(peer) && this.current(peer) === undefined
    const patience = new DialPatience(this.#options)
    const signals = [patience.signal, this.#stopped.signal]
    const until = AbortSignal.any(signal === undefined ? signals : [...signals, signal])
    let failure: unknown
    try {
      for (const ip of await abortable(resolveHost(host), until)) {
        try {
          const connection = await this.#coming.attempt(() =>
            this.#host.dial(toMultiaddr(ip, port, peer), {
              signal: until,
              force,
              onProgress: ({ type }: { readonly type: string }) => {
                if (type === ANSWERED) patience.answered()
              },
            }),
          )
          this.#metrics.dials.inc({ result: 'ok' })
          return connection
        } catch (error) {
          failure = this.#refusals.take(formatAddress({ host: ip, port })) ?? error
          if (until.aborted) break
        }
      }
    } catch (error) {
      failure = error
    } finally {
      patience.end()
    }
    this.#metrics.dials.inc({ result: 'failed' })
    const error = this.#explain(address, failure, until, patience)
    this.#log.debug({ peer, address, err: error }, 'dial failed')
    throw error
  }

  #full(): MeshError {
    this.#metrics.dials.inc({ result: 'full' })
    const { connectionsMax, onDemandMax } = this.#options
    return new MeshError(
      'MSH_FULL',
      `this node has as many connections as it may have (mesh.connections_max ${connectionsMax}, mesh.on_demand_max ${onDemandMax})`,
    )
  }

  #explain(address: string, failure: unknown, until: AbortSignal, patience: DialPatience): MeshError {
    if (this.#stopped.signal.aborted) return new MeshError('MSH_STOPPED', 'the mesh is stopped')
    const text = failure instanceof Error ? failure.message : String(failure)
    const unreachable = (reason: string) =>
      new MeshError('MSH_UNREACHABLE', `${address}: ${reason}`, { cause: failure })
    if (/this node itself|dial self/.test(text))
      return new MeshError('MSH_SELF', `${address}: that is this node itself`, { cause: failure })
    if (failure instanceof MeshError) return failure
    if (patience.signal.aborted) return unreachable(patience.complaint)
    if (until.aborted) return unreachable('the attempt was given up')
    const code = failure instanceof Error && 'code' in failure ? failure.code : undefined
    if (code === 'ECONNREFUSED') return new NobodyListensError(address, { cause: failure })
    if (code === 'EHOSTUNREACH' || code === 'ENETUNREACH') return unreachable(`there is no route (${code})`)
    if (/does not match expected remote identity/.test(text)) return unreachable('another node answers there')
    return unreachable(text)
  }

  #backoff(peer: PeerId): Backoff {
    let backoff = this.#backoffs.get(peer)
    if (backoff === undefined) {
      backoff = new Backoff(BACKOFF)
      this.#backoffs.set(peer, backoff)
    }
    return backoff
  }

  #measure(): void {
    this.#metrics.peers.set(this.#open.size)
    this.#metrics.connections.set(this.all().length)
    this.#metrics.onDemand.set(this.onDemand)
    this.#metrics.surplus.set(this.#surplus.size)
  }

  #emit(event: PeerEvent): void {
    // That we hang up says nothing about the peer, and a listener could take it for the peer's death.
    if (this.#stopped.signal.aborted) return
    this.#log.debug(event, `peer ${event.type}`)
    for (const listener of [...this.#listeners]) {
      try {
        listener(event)
      } catch (error) {
        this.#log.error({ err: error }, 'a listener of peer events failed')
      }
    }
  }
}

const CLOSE_TIMEOUT_MS = 300

async function closeSoon(connection: Connection): Promise<void> {
  try {
    // Flushes what is written, so that the last message of a node that leaves arrives.
    await connection.close({ signal: AbortSignal.timeout(CLOSE_TIMEOUT_MS) })
  } catch (error) {
    connection.abort(error instanceof Error ? error : new Error(String(error)))
  }
}

async function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted()
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const abort = () => reject(signal.reason)
  signal.addEventListener('abort', abort, { once: true })
  try {
    return await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}
