import type { Connection, Ed25519PrivateKey } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import type { Logger } from 'pino'
import type { Registry } from 'prom-client'
import { advertisedHost, formatAddress, type MeshAddress } from './address.ts'
import { Channels } from './channels.ts'
import { Keyring } from './cluster-key.ts'
import { Connections } from './connections.ts'
import { MeshError } from './errors.ts'
import { Gossip } from './gossip.ts'
import { GossipMove } from './gossip-move.ts'
import { loadIdentity } from './identity.ts'
import { createHost, type MeshHost } from './libp2p-host.ts'
import { DEFAULT_LIMITS, type MeshLimits } from './limits.ts'
import { MeshMetrics } from './metrics.ts'
import { PARTING_CHANNEL, Parting } from './parting.ts'
import { Refusals } from './refusals.ts'
import { drawRun } from './run-note.ts'
import { Runs } from './runs.ts'
import { Settling } from './settling.ts'
import { Signing } from './signing.ts'
import type { Mesh, PeerEvent, PeerId, RequestOptions } from './types.ts'

/** Settings of the mesh of one node. */
export interface Libp2pMeshOptions {
  /** Where the identity of the node is kept. */
  readonly dataDir: string
  readonly clusterName: string
  /** The cluster keys, the primary first; a peer that holds any of them is a member. Empty: a node of its own, which neither listens nor dials. */
  readonly keys: readonly Uint8Array[]
  /** Port 0 picks a free one. */
  readonly listen: MeshAddress
  /** What others are told to dial; null: the listen address, or the first outside address when that is a wildcard. */
  readonly advertise: MeshAddress | null
  readonly limits?: Partial<MeshLimits>
}

/** What the mesh works with. */
export interface Libp2pMeshCollaborators {
  readonly log: Logger
  readonly metrics?: Registry
  /** A monotonic clock in milliseconds. */
  readonly now?: () => number
}

interface Running {
  readonly host: MeshHost
  readonly connections: Connections
  readonly parting: Parting
  readonly settling: Settling
  readonly timer: NodeJS.Timeout
  readonly port: number
}

const TICK_MS_MAX = 5_000
/** A process that answers nothing for this long may be taken for dead once another run of it comes. */
const RUN_PROBE_MS_MAX = 2_000

/** The mesh over libp2p: one TCP port, one encrypted connection per peer, streams for channels, gossipsub for topics. */
export class Libp2pMesh implements Mesh {
  readonly id: PeerId
  readonly #options: Libp2pMeshOptions
  readonly #privateKey: Ed25519PrivateKey
  readonly #keys: Keyring
  readonly #limits: MeshLimits
  readonly #log: Logger
  readonly #now: () => number
  readonly #metrics: MeshMetrics
  readonly #refusals: Refusals
  readonly #runs: Runs
  readonly #channels: Channels
  readonly #gossip: Gossip
  readonly #signing: Signing
  readonly #listeners = new Set<(event: PeerEvent) => void>()
  readonly #addresses = new Map<PeerId, string>()
  #kept: readonly PeerId[] | null = null
  #connections: Connections | undefined
  #running: Running | undefined
  #transition: Promise<void> = Promise.resolve()

  /** Loads or creates the identity of the node. @throws MeshError `MSH_IDENTITY` or `MSH_KEY_FILE` */
  static async create(
    options: Libp2pMeshOptions,
    collaborators: Libp2pMeshCollaborators,
  ): Promise<Libp2pMesh> {
    return new Libp2pMesh(options, { ...collaborators, privateKey: await loadIdentity(options.dataDir) })
  }

  constructor(
    options: Libp2pMeshOptions,
    collaborators: Libp2pMeshCollaborators & { readonly privateKey: Ed25519PrivateKey },
  ) {
    this.#options = options
    this.#privateKey = collaborators.privateKey
    this.#keys = new Keyring(options.keys)
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits }
    this.#log = collaborators.log
    this.#now = collaborators.now ?? (() => performance.now())
    this.#metrics = new MeshMetrics(
      collaborators.metrics,
      () => this.#running?.connections.all().reduce((sum, { streams }) => sum + streams.length, 0) ?? 0,
    )
    this.id = peerIdFromPrivateKey(collaborators.privateKey).toString()
    this.#signing = new Signing({
      clusterName: options.clusterName,
      privateKey: collaborators.privateKey,
    })
    const shared = { log: this.#log, metrics: this.#metrics, now: this.#now }
    this.#refusals = new Refusals(shared)
    const probeMs = Math.min(RUN_PROBE_MS_MAX, this.#limits.handshakeTimeoutMs / 2)
    this.#runs = new Runs({ self: this.id, run: drawRun(), probeMs }, shared)
    this.#channels = new Channels({ limits: this.#limits }, shared)
    this.#metrics.connectionsMax.set({ kind: 'kept' }, this.#limits.connectionsMax)
    this.#metrics.connectionsMax.set({ kind: 'on_demand' }, this.#limits.onDemandMax)
    this.#channels.setHandler(PARTING_CHANNEL, 'request', async (from) => this.#partFrom(from))
    this.#gossip = new Gossip({ self: this.id, bytesMax: this.#limits.gossipBytesMax }, shared)
  }

  /**
   * Proves membership with these keys from now on. Connections that stand are not touched.
   * @throws MeshError `MSH_KEY_FILE`
   */
  setKeys(keys: readonly Uint8Array[]): void {
    this.#keys.replace(keys)
  }

  get advertise(): string {
    const { listen, advertise } = this.#options
    const host = advertise?.host ?? advertisedHost(listen.host)
    const wanted = advertise !== null && advertise.port !== 0 ? advertise.port : undefined
    return formatAddress({ host, port: wanted ?? this.#running?.port ?? listen.port })
  }

  /** Where the identity of this node is in use too, while this node is refused because of that. */
  get identityInUseAt(): string | null {
    return this.#runs.inUseAt
  }

  /** Listens, unless there is no cluster key. @throws MeshError `MSH_LISTEN` naming the address that cannot be used. */
  start(): Promise<void> {
    return this.#next(async () => {
      if (this.#running !== undefined || !this.#keys.usable) return
      const host = await this.#listen()
      const connections = new Connections(
        { ...this.#limits, self: this.id },
        {
          host,
          refusals: this.#refusals,
          metrics: this.#metrics,
          log: this.#log,
          now: this.#now,
          listeners: this.#listeners,
        },
      )
      this.#connections = connections
      connections.keep(this.#kept)
      for (const [peer, address] of this.#addresses) connections.setAddress(peer, address)
      const settling = this.#settling(host, connections)
      await settling.serve()
      await this.#runs.serve({ host, connections })
      host.addEventListener('connection:open', ({ detail }) => {
        this.#opened(host, connections, detail)
        settling.opened(detail)
      })
      host.addEventListener('connection:close', ({ detail }) => {
        connections.closed(detail)
        // Gossip may have used the connection that is gone while another one is still open.
        const other = connections.current(detail.remotePeer.toString())
        if (other !== undefined) this.#announce(host, connections, other)
      })
      this.#channels.start({ host, connections })
      await this.#startHost(host)
      this.#gossip.start(host.services.gossip)
      const port = listeningPort(host) ?? this.#options.listen.port
      const { keepAliveMs, idleMs } = this.#limits
      const timer = setInterval(() => this.#tick(), Math.min(TICK_MS_MAX, keepAliveMs, idleMs / 2)).unref()
      const parting = new Parting(this.#limits, {
        connections,
        channels: this.#channels,
        metrics: this.#metrics,
        log: this.#log,
        now: this.#now,
      })
      this.#running = { host, connections, parting, settling, timer, port }
      this.#log.info({ peer: this.id, listen: this.advertise }, `mesh listens, others dial ${this.advertise}`)
    })
  }

  stop(): Promise<void> {
    return this.#next(async () => {
      const running = this.#running
      if (running === undefined) return
      clearInterval(running.timer)
      running.settling.stop()
      await this.#channels.stop()
      await running.connections.stop()
      this.#gossip.stop()
      this.#running = undefined
      this.#connections = undefined
      await running.host.stop()
    })
  }

  async dial(address: string, signal?: AbortSignal): Promise<PeerId> {
    if (!this.#keys.usable) {
      throw new MeshError(
        'MSH_NO_KEY',
        `cannot connect to ${address}: a cluster of more than one node needs a cluster key (cluster.key_file)`,
      )
    }
    if (this.#running === undefined) throw new MeshError('MSH_STOPPED', 'the mesh is not running')
    return await this.#running.connections.dial(address, signal)
  }

  setAddress(peer: PeerId, address: string): void {
    if (peer === this.id) return
    this.#addresses.set(peer, address)
    this.#running?.connections.setAddress(peer, address)
  }

  forget(peer: PeerId): void {
    this.#addresses.delete(peer)
    this.#channels.forget(peer)
    this.#forgetConnections(peer).catch((error: unknown) => {
      this.#log.debug({ peer, err: error }, 'a peer could not be forgotten')
    })
  }

  async #forgetConnections(peer: PeerId): Promise<void> {
    await this.#running?.connections.forget(peer)
    await this.#running?.host.services.members.forget(peer)
  }

  keep(peers: readonly PeerId[] | null): void {
    this.#kept = peers
    const running = this.#running
    running?.connections.keep(peers)
    for (const peer of peers ?? []) this.#announcePeer(peer)
  }

  connected(): readonly PeerId[] {
    return this.#running?.connections.connected() ?? []
  }

  neighbours(): readonly PeerId[] {
    const connections = this.#running?.connections
    return connections?.connected().filter((peer) => connections.isKept(peer)) ?? []
  }

  onPeer(listener: (event: PeerEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  send(peer: PeerId, channel: string, payload: Uint8Array): boolean {
    return this.#channels.send(peer, channel, payload)
  }

  onMessage(channel: string, handler: (from: PeerId, payload: Uint8Array) => void): void {
    this.#channels.setHandler(channel, 'message', handler)
  }

  async request(
    peer: PeerId,
    channel: string,
    payload: Uint8Array,
    options: RequestOptions,
  ): Promise<Uint8Array> {
    return await this.#channels.request(peer, channel, payload, options)
  }

  onRequest(
    channel: string,
    handler: (from: PeerId, payload: Uint8Array, signal: AbortSignal) => Promise<Uint8Array>,
  ): void {
    this.#channels.setHandler(channel, 'request', handler)
  }

  async publish(topic: string, payload: Uint8Array): Promise<void> {
    await this.#gossip.publish(topic, payload)
  }

  subscribe(topic: string, handler: (from: PeerId, payload: Uint8Array) => void): void {
    this.#gossip.subscribe(topic, handler)
  }

  sign(context: string, payload: Uint8Array): Uint8Array {
    return this.#signing.sign(context, payload)
  }

  verify(peer: PeerId, context: string, payload: Uint8Array, signature: Uint8Array): boolean {
    return this.#signing.verify(peer, context, payload, signature)
  }

  #partFrom(peer: PeerId): Uint8Array {
    if (this.#running === undefined) throw new MeshError('MSH_STOPPED', 'the mesh is not running')
    return this.#running.parting.answer(peer)
  }

  /** start and stop run one after the other, in the order they were called. */
  #next(step: () => Promise<void>): Promise<void> {
    const done = this.#transition.then(step)
    this.#transition = done.catch(() => {})
    return done
  }

  async #listen(): Promise<MeshHost> {
    return await createHost(
      {
        privateKey: this.#privateKey,
        clusterName: this.#options.clusterName,
        keys: this.#keys,
        listen: this.#options.listen,
        limits: this.#limits,
        admit: (peer, raw) => this.#connections?.admit(peer, raw) === true,
        runs: {
          note: () => ({ run: this.#runs.own, address: this.advertise }),
          admit: (candidate) => this.#runs.admit(candidate),
          refused: (at) => this.#runs.refused(at),
        },
      },
      { log: this.#log, refusals: this.#refusals },
    )
  }

  #settling(host: MeshHost, connections: Connections): Settling {
    const gossipMove = new GossipMove(host.services.gossip)
    const move = (peer: PeerId, kept: Connection, surplus: readonly Connection[]) => {
      this.#channels.move(peer)
      gossipMove.move(kept, surplus).catch((error: unknown) => {
        this.#log.debug({ peer, err: error }, 'gossip could not be moved to another connection')
      })
    }
    return new Settling(
      { self: this.id },
      { host, connections, move, metrics: this.#metrics, log: this.#log },
    )
  }

  async #startHost(host: MeshHost): Promise<void> {
    try {
      await host.start()
    } catch (cause) {
      await this.#channels.stop()
      const text = cause instanceof Error ? cause.message : String(cause)
      const where = `cannot listen on mesh address ${formatAddress(this.#options.listen)}`
      throw new MeshError('MSH_LISTEN', `${where}: ${explainListen(text)}`, { cause })
    }
  }

  #opened(host: MeshHost, connections: Connections, connection: Connection): void {
    connections.opened(connection)
    host.services.members
      .remember(connection)
      .then(() => this.#announce(host, connections, connection))
      .catch((error: unknown) => {
        this.#log.debug({ err: error }, 'a peer could not be announced to gossip')
      })
  }

  /** Gossip runs over the connections that are kept: those made for a message come and go too fast to be of use to it. */
  #announce(host: MeshHost, connections: Connections, connection: Connection): void {
    if (connections.isKept(connection.remotePeer.toString())) host.services.members.announce(connection)
  }

  #announcePeer(peer: PeerId): void {
    const running = this.#running
    const connection = running?.connections.current(peer)
    if (running !== undefined && connection !== undefined) {
      this.#announce(running.host, running.connections, connection)
    }
  }

  #tick(): void {
    this.#channels.tick()
    this.#running?.parting.tick()
    for (const peer of this.connected()) this.#announcePeer(peer)
  }
}

function listeningPort(host: MeshHost): number | undefined {
  for (const address of host.getMultiaddrs()) {
    const port = address.getComponents().find((component) => component.name === 'tcp')?.value
    if (port !== undefined) return Number(port)
  }
  return undefined
}

function explainListen(text: string): string {
  if (text.includes('EADDRINUSE')) return 'the port is used by another program'
  if (text.includes('EADDRNOTAVAIL')) return 'the address belongs to no network interface of this machine'
  if (text.includes('EACCES')) return 'permission denied'
  return text
}
