import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import type { FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import { collectDefaultMetrics, Registry } from 'prom-client'
import { CORDONS, type ConsensusStatus } from '../consensus/client.ts'
import { systemClock } from '../consensus/clock.ts'
import { FeedMetrics } from '../consensus/feed-metrics.ts'
import { KeyBackup } from '../consensus/key-backup.ts'
import { LeaseKeeper } from '../consensus/leases.ts'
import { ReplicaMetrics } from '../consensus/metrics.ts'
import { ConsensusNode } from '../consensus/node.ts'
import { LevelStore } from '../consensus/storage/level-store.ts'
import { GossipCatalog } from '../discovery/catalog/gossip-catalog.ts'
import { DnsServer } from '../discovery/dns/server.ts'
import { GossipEvents } from '../discovery/events/gossip-events.ts'
import { ResultStore } from '../discovery/health/result-store.ts'
import { CheckRunner } from '../discovery/health/runner.ts'
import { announcement } from '../discovery/keyring/announcement.ts'
import { ClusterKeyring } from '../discovery/keyring/cluster-keyring.ts'
import { RingStore } from '../discovery/keyring/ring-store.ts'
import { SwimMembership } from '../discovery/membership/swim-membership.ts'
import { readClusterKey } from '../discovery/mesh/cluster-key.ts'
import { Libp2pMesh } from '../discovery/mesh/libp2p-mesh.ts'
import { TraefikView } from '../providers/traefik/view.ts'
import { VERSION } from './cli/version.ts'
import { ClusterEventLog } from './cluster-events/event-log.ts'
import { ClusterEventSource } from './cluster-events/event-source.ts'
import { formatHostPort } from './config/host-port.ts'
import type { Config } from './config/types.ts'
import { meshTransport } from './consensus-transport.ts'
import { prepareDataDir } from './data-dir.ts'
import { DeclaredNodes } from './declared/declared-nodes.ts'
import { ForeignCluster } from './foreign-cluster.ts'
import { buildHttpServer } from './http/server.ts'
import { leaseRank, mayHoldLeases } from './lease-standing.ts'
import { packFacts, peerDirectory } from './member-meta.ts'
import { AgentReadiness } from './readiness.ts'
import { dropBackupOnceLeading } from './recovery-backup.ts'
import { SessionInvalidation } from './session-invalidation.ts'
import { Backups } from './snapshot/backups.ts'
import { BackupMetrics } from './snapshot/metrics.ts'
import { SnapshotSchedule } from './snapshot/schedule.ts'
import { setLevel } from './telemetry/log.ts'
import type { LogFeed } from './telemetry/log-feed.ts'

/** Leases the cluster always has a holder for. */
const LEASES = ['dns_writer', 'lb_leader']
const BEAT_MS = 1000
/** A stop that takes longer than this is cut short. */
const STOP_MS_MAX = 9000

/** What the agent works with, besides its configuration. */
export interface AgentCollaborators {
  readonly log: Logger
  /** The lines of `log` for those who follow it over HTTP. */
  readonly logFeed?: LogFeed
  /** Storage failed or an invariant broke: the process must end. */
  readonly onFatal: (error: Error) => void
  /** Somebody asked over HTTP that the agent leaves. */
  readonly onLeave: () => void
  /** Somebody asked over HTTP for a reload. */
  readonly onReload: () => Promise<void>
}

/** A listener that could not be opened; the message names the address and the setting. */
export class ListenError extends Error {
  readonly code = 'CST_LISTEN'

  constructor(what: string, setting: string, cause: NodeJS.ErrnoException) {
    const why = cause.code === 'EADDRINUSE' ? 'the port is in use' : cause.message
    super(`cannot listen on ${what}: ${why}; choose another with ${setting}`, { cause })
    this.name = 'ListenError'
  }
}

/**
 * The composition root: builds every part, wires the interfaces between rooms that do not know each other, and starts and
 * stops them in order.
 */
export class Agent {
  readonly #config: Config
  readonly #log: Logger
  readonly #collaborators: AgentCollaborators
  readonly #loggers: Logger[] = []
  readonly #parts: { readonly name: string; stop(): Promise<void> }[] = []
  #readiness: AgentReadiness | null = null
  #leases: LeaseKeeper | null = null
  #consensus: ConsensusNode | null = null
  #membership: SwimMembership | null = null
  #dns: DnsServer | null = null
  #setEntryPoints = (_entryPoints: readonly string[]) => {}
  #priority: number
  /** Where the HTTP interface can be reached: the setting, with the port it got in place of 0. */
  #http: string
  /** Tells the others what changed about this node. */
  #announce = () => {}
  #stopping: Promise<void> | null = null

  constructor(config: Config, collaborators: AgentCollaborators) {
    this.#config = config
    this.#collaborators = collaborators
    this.#log = collaborators.log
    this.#priority = config.node.priority
    this.#http = formatHostPort(config.http.listen)
  }

  get readiness(): AgentReadiness | null {
    return this.#readiness
  }

  /** One line about this node, for systemd. */
  statusLine(): string {
    const status = this.#consensus?.client.status()
    const alive = this.#membership?.members().filter(({ status }) => status === 'alive').length ?? 0
    return `${status?.role ?? 'starting'} in term ${status?.term ?? 0}, ${alive} nodes alive`
  }

  /** @throws ListenError, MeshError, ConsensusError and others, all with a sentence for the operator. */
  async start(): Promise<void> {
    const config = this.#config
    const { name } = config.node
    await prepareDataDir(config.dataDir)
    const metrics = new Registry()
    metrics.setDefaultLabels({ node: name })
    collectDefaultMetrics({ register: metrics })

    const ring = await this.#openRing()
    const mesh = await this.#createMesh(metrics, ring)
    const facts = ({ clusterId, feed }: Pick<ConsensusStatus, 'clusterId' | 'feed'>) =>
      packFacts({
        version: VERSION,
        http: this.#http,
        priority: this.#priority,
        bootstrapExpect: config.cluster.bootstrapExpect,
        clusterId,
        fedBy: feed === undefined ? null : (feed.feeder ?? ''),
        keys: announcement(ring.ring),
      })
    const membership = new SwimMembership(
      {
        name,
        meta: facts({ clusterId: null }),
        dataDir: config.dataDir,
        join: config.cluster.join.map(formatHostPort),
      },
      { mesh, log: this.#logger('membership'), metrics },
    )
    this.#membership = membership

    const consensus = new ConsensusNode(
      {
        nodeId: mesh.id,
        bootstrapExpect: config.cluster.bootstrapExpect,
        votersTarget: config.cluster.voters,
        leaseReads: config.cluster.leaseReads,
        learnersMax: config.cluster.learners,
        deadVoterGraceMs: config.cluster.deadVoterGraceMs,
        deadLearnerGraceMs: config.cluster.deadLearnerGraceMs,
      },
      {
        store: new LevelStore(join(config.dataDir, 'raft')),
        transport: meshTransport(mesh),
        directory: peerDirectory(membership),
        log: this.#logger('consensus'),
        clock: systemClock,
        random: Math.random,
        metrics: new ReplicaMetrics(metrics),
        feedMetrics: new FeedMetrics(metrics),
        onFatal: this.#collaborators.onFatal,
      },
    )
    this.#consensus = consensus
    const { client } = consensus

    const results = new ResultStore({ dataDir: config.dataDir }, { log: this.#logger('health') })
    await results.load()
    const catalog = new GossipCatalog(
      { name, address: mesh.advertise, meta: config.node.meta, dataDir: config.dataDir },
      { mesh, membership, log: this.#logger('catalog'), metrics, lastResult: (id) => results.get(id) },
    )
    const declared = new DeclaredNodes({
      client,
      catalog: catalog.store,
      log: this.#logger('catalog'),
      metrics,
    })
    const keyring = new ClusterKeyring({}, { store: ring, mesh, membership, log: this.#logger('keyring') })
    ring.onChange(() => {
      mesh.setKeys(ring.keys())
      this.#announce()
    })
    const { dockerSocket, scripts } = config.checks
    const health = new CheckRunner(
      { dataDir: config.dataDir, dockerSocket, scripts: scripts === 'on' },
      { local: catalog.local, catalog: catalog.store, results, log: this.#logger('health'), metrics },
    )
    const events = new GossipEvents({ mesh, local: catalog.local, log: this.#logger('events'), metrics })
    const standing = { membership, status: () => client.status() }
    const leases = new LeaseKeeper(
      {
        node: name,
        names: LEASES,
        rank: () => leaseRank(standing),
        mayHold: () => mayHoldLeases(standing),
      },
      { client, clock: systemClock, log: this.#logger('leases') },
    )
    this.#leases = leases
    const { now } = systemClock
    const foreign = new ForeignCluster({ consensus: client, membership, log: this.#log, now })
    const readiness = new AgentReadiness({ consensus: client, catalog: catalog.store, foreign, now })
    this.#readiness = readiness
    const traefik = this.#startTraefik(catalog, readiness)

    // A failed or disconnected leader is reason to look for a new one at once; discovery and consensus do not know each other.
    mesh.onPeer((event) => {
      if (event.type === 'disconnected') consensus.peerLost(event.peer)
    })
    membership.onChange((member) => {
      if (member.status === 'failed' || member.status === 'left') consensus.peerLost(member.id)
    })
    const showCordons = () => catalog.store.setCordoned(new Set(client.status().cordoned))
    this.#announce = () => {
      const meta = facts(client.status())
      if (!isDeepStrictEqual(membership.local().meta, meta)) membership.setMeta(meta)
    }

    const backups = new Backups(
      { cluster: config.cluster.name, node: name },
      { keys: new KeyBackup(client), wall: systemClock.wall },
    )
    const backupMetrics = new BackupMetrics(metrics)

    const { logFeed } = this.#collaborators
    const clusterEvents = new ClusterEventLog({ wall: systemClock.wall, log: this.#logger('events') })
    const eventSource = new ClusterEventSource({
      events: clusterEvents,
      membership,
      catalog: catalog.store,
      client,
      leases,
      userEvents: events,
    })
    const http = buildHttpServer(
      { config, version: VERSION },
      {
        consensus: client,
        backups,
        membership,
        catalog: catalog.store,
        local: catalog.local,
        declared,
        health,
        events,
        keyring,
        clusterEvents,
        leases,
        traefik,
        readiness,
        log: this.#logger('http'),
        metrics,
        ...(logFeed === undefined ? {} : { logFeed }),
        operations: {
          leave: async () => this.#collaborators.onLeave(),
          reload: this.#collaborators.onReload,
        },
      },
    )
    const dns = new DnsServer(
      { ...config.dns, datacenter: 'dc1' },
      { catalog: catalog.store, log: this.#logger('dns'), metrics },
    )
    this.#dns = dns

    // First what fails when another process works on the same data, before anybody hears of this one.
    this.#parts.push({ name: 'the store', stop: () => consensus.stop() })
    await consensus.open()
    await this.#startPart('mesh', mesh)
    await this.#startPart('membership', membership)
    const stopAnnouncing = client.onStatus(this.#announce)
    this.#parts.push({ name: 'announcements', stop: async () => stopAnnouncing() })
    this.#announce()
    await this.#startPart('keyring', keyring)
    await this.#startPart('catalog', catalog)
    await this.#startPart('health', health)
    await this.#startPart('events', events)
    await this.#startPart('cluster events', eventSource)
    this.#parts.push({ name: 'http', stop: () => http.close() })
    await this.#listen(http)
    this.#announce()
    await this.#startPart('dns', dns)
    await this.#startPart('consensus', consensus)
    const stopShowingCordons = client.watch(CORDONS, showCordons)
    this.#parts.push({ name: 'cordons', stop: async () => stopShowingCordons() })
    showCordons()
    await this.#startPart('declared nodes', declared)
    await dropBackupOnceLeading(config.dataDir, { client, log: this.#log })
    await this.#startPart('leases', leases)
    const invalidation = new SessionInvalidation(
      {},
      { client, catalog: catalog.store, now, log: this.#logger('sessions'), metrics },
    )
    await this.#startPart('session checks', invalidation)
    if (config.snapshots !== null) {
      const collaborators = {
        backups,
        log: this.#logger('snapshots'),
        metrics: backupMetrics,
        clock: systemClock,
      }
      const schedule = new SnapshotSchedule({ node: name, ...config.snapshots }, collaborators)
      await this.#startPart('scheduled snapshots', schedule)
    }
    const catchingUp = new AbortController()
    this.#parts.push({ name: 'catching up', stop: async () => catchingUp.abort() })
    void readiness.catchUp(catchingUp.signal)
    const beat = setInterval(() => {
      foreign.check()
      // Two clusters, two holders: the smaller side gives its leases up.
      if (foreign.reason !== null) void leases.stop()
      readiness.beat()
    }, BEAT_MS)
    this.#parts.push({ name: 'beat', stop: async () => clearInterval(beat) })
    this.#log.info(
      { http: this.#http, mesh: mesh.advertise, id: mesh.id, dataDir: config.dataDir },
      `agent ${name} is up`,
    )
  }

  #logger(part: string): Logger {
    const logger = this.#log.child({ part })
    this.#loggers.push(logger)
    return logger
  }

  /** Applies the settings that can change while the agent runs. */
  reload(next: Config): void {
    // A child logger does not follow its parent.
    for (const logger of [this.#log, ...this.#loggers]) setLevel(logger, next.log.level)
    this.#priority = next.node.priority
    this.#dns?.configure(next.dns)
    this.#announce()
    if (next.providers.traefik !== null) this.#setEntryPoints(next.providers.traefik.entryPoints)
  }

  async #startPart(name: string, part: { start(): Promise<void>; stop(): Promise<void> }): Promise<void> {
    this.#parts.push({ name, stop: () => part.stop() })
    await part.start()
  }

  async #openRing(): Promise<RingStore> {
    const { cluster, dataDir } = this.#config
    const fileKey = cluster.keyFile === null ? null : await readClusterKey(cluster.keyFile)
    return RingStore.open({ dataDir, fileKey }, { log: this.#logger('keyring') })
  }

  async #createMesh(metrics: Registry, ring: RingStore): Promise<Libp2pMesh> {
    const { cluster, dataDir, mesh: addresses } = this.#config
    return Libp2pMesh.create(
      {
        dataDir,
        clusterName: cluster.name,
        keys: ring.keys(),
        listen: addresses.listen,
        advertise: addresses.advertise,
      },
      { log: this.#logger('mesh'), metrics },
    )
  }

  #startTraefik(catalog: GossipCatalog, readiness: AgentReadiness) {
    const settings = this.#config.providers.traefik
    if (settings === null) return null
    const render = (entryPoints: readonly string[]) =>
      new TraefikView({ entryPoints }, { catalog: catalog.store, log: this.#logger('traefik') })
    let view = render(settings.entryPoints)
    this.#setEntryPoints = (entryPoints) => {
      view = render(entryPoints)
    }
    return {
      document: () => view.document(),
      problems: () => view.document().problems,
      ready: () => readiness.synced(),
    }
  }

  async #listen(http: FastifyInstance): Promise<void> {
    const { listen } = this.#config.http
    try {
      await http.listen({ host: listen.host, port: listen.port })
      const [address] = http.addresses()
      if (typeof address === 'object') this.#http = formatHostPort({ host: listen.host, port: address.port })
    } catch (error) {
      throw new ListenError(formatHostPort(listen), '--http or http.listen', error as NodeJS.ErrnoException)
    }
  }

  /**
   * Leaves in order: gives the leases back, hands leadership over, tells the others, then closes everything. Bounded to
   * nine seconds; what has not closed by then is left to the end of the process.
   */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  async #stop(): Promise<void> {
    this.#readiness?.stopping()
    const timer = AbortSignal.timeout(STOP_MS_MAX)
    const cut = new Promise<void>((resolve) =>
      timer.addEventListener('abort', () => resolve(), { once: true }),
    )
    const late = Symbol('late')
    const result = await Promise.race([this.#stopInOrder(), cut.then(() => late)])
    if (result === late) this.#log.warn('stopping took too long and was cut short')
  }

  async #stopInOrder(): Promise<void> {
    await this.#attempt('giving the leases back', this.#leases?.stop())
    await this.#attempt('handing leadership over', this.#consensus?.handOver())
    await this.#attempt('leaving the cluster', this.#membership?.leave())
    for (const part of this.#parts.toReversed()) await this.#attempt(`stopping ${part.name}`, part.stop())
  }

  async #attempt(what: string, work: Promise<void> | undefined): Promise<void> {
    try {
      await work
    } catch (error) {
      this.#log.warn({ err: error }, `${what} failed`)
    }
  }
}
