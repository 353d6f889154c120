import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import { collectDefaultMetrics, Registry } from 'prom-client'
import { CORDONS } from '../consensus/client.ts'
import { systemClock } from '../consensus/clock.ts'
import { KeyBackup } from '../consensus/key-backup.ts'
import { DnsServer } from '../discovery/dns/server.ts'
import type { ClusterKeyring } from '../discovery/keyring/cluster-keyring.ts'
import { dropFileServices, ServiceFiles } from '../providers/files/service-files.ts'
import { VERSION } from './cli/version.ts'
import { ClusterEventLog } from './cluster-events/event-log.ts'
import { ClusterEventSource } from './cluster-events/event-source.ts'
import { composeDecisions, type Decisions } from './compose/decisions.ts'
import { composeDocker, type DockerParts } from './compose/docker.ts'
import { composeFacts, type Facts } from './compose/facts.ts'
import { composeKeyring } from './compose/keyring.ts'
import { Parts } from './compose/parts.ts'
import type { Config } from './config/types.ts'
import { prepareDataDir } from './data-dir.ts'
import { DeclaredNodes } from './declared/declared-nodes.ts'
import { OutlivedHosts } from './declared/outlived-hosts.ts'
import { ForeignCluster } from './foreign-cluster.ts'
import { buildHttpServer } from './http/server.ts'
import { listenHttp } from './listen.ts'
import { AgentReadiness } from './readiness.ts'
import { dropBackupOnceLeading } from './recovery-backup.ts'
import { allLeases } from './run-once-leases.ts'
import { parseFileService } from './service-files/definition.ts'
import { SessionInvalidation } from './session-invalidation.ts'
import { Backups } from './snapshot/backups.ts'
import { BackupMetrics } from './snapshot/metrics.ts'
import { SnapshotSchedule } from './snapshot/schedule.ts'
import { StandBack } from './stand-back.ts'
import { setLevel } from './telemetry/log.ts'
import type { LogFeed } from './telemetry/log-feed.ts'
import { ReloadableTraefik } from './traefik/reloadable-traefik.ts'

const BEAT_MS = 1000
/** How long a member may take to answer when somebody asks to join through it. */
const JOIN_MS_MAX = 5000
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

/** What stands on facts and decisions: everything others read, and what works on the agent itself. */
interface Surface {
  readonly keyring: ClusterKeyring
  readonly declared: DeclaredNodes
  readonly foreign: ForeignCluster
  readonly readiness: AgentReadiness
  readonly traefik: ReloadableTraefik | null
  readonly backups: Backups
  readonly backupMetrics: BackupMetrics
  readonly eventSource: ClusterEventSource
  readonly docker: DockerParts
  readonly http: FastifyInstance
  readonly dns: DnsServer
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
  readonly #parts: Parts
  readonly #metrics = new Registry()
  #facts: Facts | null = null
  #decisions: Decisions | null = null
  #surface: Surface | null = null
  #files: ServiceFiles | null = null
  #standBack: StandBack | null = null
  #stopping: Promise<void> | null = null

  constructor(config: Config, collaborators: AgentCollaborators) {
    this.#config = config
    this.#collaborators = collaborators
    this.#log = collaborators.log
    this.#parts = new Parts({ log: this.#log })
    this.#metrics.setDefaultLabels({ node: config.node.name })
  }

  get readiness(): AgentReadiness | null {
    return this.#surface?.readiness ?? null
  }

  /** One line about this node, for systemd. */
  statusLine(): string {
    const status = this.#decisions?.consensus.client.status()
    const members = this.#facts?.membership.members() ?? []
    const alive = members.filter((member) => member.status === 'alive').length
    return `${status?.role ?? 'starting'} in term ${status?.term ?? 0}, ${alive} nodes alive`
  }

  /** @throws ListenError, MeshError, ConsensusError and others, all with a sentence for the operator. */
  async start(): Promise<void> {
    const config = this.#config
    const logger = (part: string) => this.#logger(part)
    const metrics = this.#metrics
    await prepareDataDir(config.dataDir)
    collectDefaultMetrics({ register: metrics })
    const facts = await composeFacts(config, { logger, metrics })
    this.#facts = facts
    const { onFatal } = this.#collaborators
    const decisions = composeDecisions(config, facts, { logger, metrics, onFatal })
    this.#decisions = decisions
    facts.ring.onChange(() => {
      facts.mesh.setKeys(facts.ring.keys())
      this.#announce()
    })
    const surface = this.#composeSurface(facts, decisions)
    this.#surface = surface
    await this.#startInOrder(facts, decisions, surface)
    const { self, mesh } = facts
    this.#log.info(
      { http: self.http, mesh: mesh.advertise, id: mesh.id, dataDir: config.dataDir },
      `agent ${config.node.name} is up`,
    )
  }

  /** Applies the settings that can change while the agent runs. */
  reload(next: Config): void {
    // A child logger does not follow its parent.
    for (const logger of [this.#log, ...this.#loggers]) setLevel(logger, next.log.level)
    if (this.#facts !== null) this.#facts.self.priority = next.node.priority
    this.#surface?.dns.configure(next.dns)
    this.#announce()
    void this.#files?.scan()
    if (next.providers.traefik !== null) this.#surface?.traefik?.configure(next.providers.traefik)
  }

  /**
   * Leaves in order: gives the leases back, hands leadership over, tells the others, then closes everything. Bounded to
   * nine seconds; what has not closed by then is left to the end of the process.
   */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  #composeSurface(facts: Facts, { consensus, leases }: Decisions): Surface {
    const config = this.#config
    const metrics = this.#metrics
    const { client } = consensus
    const { membership, catalog, health, events } = facts
    const { local, store } = catalog
    const keyring = composeKeyring(facts, { client, log: this.#logger('keyring') })
    const { now, wall } = systemClock
    const { onLeave, onReload, logFeed } = this.#collaborators
    const declared = new DeclaredNodes({ client, catalog: store, log: this.#logger('catalog'), metrics })
    const foreign = new ForeignCluster({ consensus: client, membership, log: this.#log, now })
    const readiness = new AgentReadiness({
      consensus: client,
      catalog: store,
      mesh: facts.mesh,
      declared,
      foreign,
      membership,
      now,
    })
    const traefik = this.#composeTraefik(facts, { consensus, leases }, readiness)
    const backups = new Backups(
      { cluster: config.cluster.name, node: config.node.name },
      { keys: new KeyBackup(client), wall },
    )
    const clusterEvents = new ClusterEventLog({ wall, log: this.#logger('events') })
    const docker = composeDocker(config, facts, {
      logger: (part) => this.#logger(part),
      metrics,
      client,
      events: clusterEvents,
    })
    const eventSource = new ClusterEventSource({
      events: clusterEvents,
      membership,
      catalog: store,
      client,
      leases,
      userEvents: events,
      caughtUpIndex: () => readiness.caughtUpIndex,
    })
    const http = buildHttpServer(
      { config, version: VERSION },
      {
        consensus: client,
        backups,
        membership,
        catalog: store,
        local,
        declared,
        health,
        events,
        keyring,
        clusterEvents,
        leases: { list: () => allLeases(leases, docker.runOnce?.leases ?? null) },
        traefik,
        docker: docker.report,
        files: () => this.#files?.report() ?? null,
        readiness,
        log: this.#logger('http'),
        metrics,
        ...(logFeed === undefined ? {} : { logFeed }),
        operations: {
          leave: async () => onLeave(),
          reload: onReload,
          join: async (address) => {
            await facts.mesh.dial(address, AbortSignal.timeout(JOIN_MS_MAX))
          },
        },
      },
    )
    const dns = new DnsServer(
      { ...config.dns, datacenter: 'dc1' },
      { catalog: store, complete: () => readiness.complete, log: this.#logger('dns'), metrics },
    )
    const backupMetrics = new BackupMetrics(metrics)
    return {
      keyring,
      declared,
      foreign,
      readiness,
      traefik,
      backups,
      backupMetrics,
      eventSource,
      docker,
      http,
      dns,
    }
  }

  #composeTraefik(
    { catalog, membership }: Facts,
    { consensus, leases }: Decisions,
    readiness: AgentReadiness,
  ): ReloadableTraefik | null {
    const settings = this.#config.providers.traefik
    if (settings === null) return null
    return new ReloadableTraefik(settings, {
      catalog: catalog.store,
      membership,
      client: consensus.client,
      leases,
      synced: () => readiness.synced(),
      clock: systemClock,
      log: this.#logger('traefik'),
    })
  }

  async #startInOrder(facts: Facts, { consensus, leases }: Decisions, surface: Surface): Promise<void> {
    const config = this.#config
    const parts = this.#parts
    const { client } = consensus
    const { store } = facts.catalog
    // First what fails when another process works on the same data, before anybody hears of this one.
    parts.add('the store', () => consensus.stop())
    await consensus.open()
    await parts.start('mesh', facts.mesh)
    await parts.start('membership', facts.membership)
    parts.add(
      'announcements',
      client.onStatus(() => this.#announce()),
    )
    this.#announce()
    await parts.start('keyring', surface.keyring)
    await parts.start('catalog', facts.catalog)
    await parts.start('health', facts.health)
    await parts.start('the Docker source', surface.docker.source)
    await this.#startServiceFiles(facts)
    await parts.start('events', facts.events)
    await parts.start('cluster events', surface.eventSource)
    parts.add('http', () => surface.http.close())
    facts.self.http = await listenHttp(surface.http, config.http.listen)
    this.#announce()
    await parts.start('dns', surface.dns)
    await parts.start('consensus', consensus)
    const showCordons = () => store.setCordoned(new Set(client.status().cordoned))
    parts.add('cordons', client.watch(CORDONS, showCordons))
    showCordons()
    await parts.start('declared nodes', surface.declared)
    const outlived = { client, catalog: store, now: systemClock.now, log: this.#logger('catalog') }
    await parts.start('hosts whose agent left', new OutlivedHosts(outlived))
    if (surface.traefik !== null) await parts.start('traefik', surface.traefik.memory)
    await dropBackupOnceLeading(config.dataDir, { client, log: this.#log })
    await parts.start('leases', leases)
    const { restarter, runOnce } = surface.docker
    if (restarter !== null) await parts.start('restarts of containers', restarter)
    if (runOnce !== null) await parts.start('what runs once', runOnce)
    const invalidation = new SessionInvalidation(
      {},
      {
        client,
        catalog: store,
        now: systemClock.now,
        log: this.#logger('sessions'),
        metrics: this.#metrics,
      },
    )
    await parts.start('session checks', invalidation)
    await this.#startSnapshots(surface)
    const catchingUp = new AbortController()
    parts.add('catching up', () => catchingUp.abort())
    void surface.readiness.catchUp(catchingUp.signal)
    const standBack = new StandBack(runOnce === null ? [leases] : [leases, runOnce], {
      log: this.#log,
      now: systemClock.now,
    })
    this.#standBack = standBack
    const beat = setInterval(() => {
      surface.foreign.check()
      // Two clusters, two holders: the smaller side gives its leases up.
      standBack.check(surface.foreign.reason !== null)
      surface.readiness.beat()
    }, BEAT_MS)
    parts.add('beat', () => clearInterval(beat))
  }

  async #startServiceFiles({ catalog, health }: Facts): Promise<void> {
    const { providers, checks } = this.#config
    const registry = { local: catalog.local, health }
    if (providers.files === null) return dropFileServices(registry)
    const files = new ServiceFiles(providers.files, {
      registry,
      parse: (definition, source) => parseFileService(definition, source, checks),
      log: this.#logger('files'),
      metrics: this.#metrics,
    })
    this.#files = files
    await this.#parts.start('service files', files)
  }

  async #startSnapshots({ backups, backupMetrics: metrics }: Surface): Promise<void> {
    const { snapshots, node } = this.#config
    if (snapshots === null) return
    const schedule = new SnapshotSchedule(
      { node: node.name, ...snapshots },
      { backups, log: this.#logger('snapshots'), metrics, clock: systemClock },
    )
    await this.#parts.start('scheduled snapshots', schedule)
  }

  /** Tells the others what changed about this node. */
  #announce(): void {
    if (this.#facts === null || this.#decisions === null) return
    this.#facts.self.announce(this.#facts.membership, this.#decisions.consensus.client.status())
  }

  #logger(part: string): Logger {
    const logger = this.#log.child({ part })
    this.#loggers.push(logger)
    return logger
  }

  async #stop(): Promise<void> {
    this.#surface?.readiness.stopping()
    const cut = new AbortController()
    const late = sleep(STOP_MS_MAX, 'late' as const, { signal: cut.signal, ref: false }).catch(() => null)
    const result = await Promise.race([this.#stopInOrder(), late])
    cut.abort()
    if (result === 'late') this.#log.warn('stopping took too long and was cut short')
  }

  async #stopInOrder(): Promise<void> {
    const parts = this.#parts
    await this.#standBack?.stop()
    await Promise.all([
      parts.attempt('stopping what runs once', () => this.#surface?.docker.runOnce?.stop()),
      parts.attempt('giving the leases back', () => this.#decisions?.leases.stop()),
    ])
    await parts.attempt('handing leadership over', () => this.#decisions?.consensus.handOver())
    await parts.attempt('leaving the cluster', () => this.#facts?.membership.leave())
    await parts.stop()
  }
}
