import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { ClusterEventLog } from '../../../agent/cluster-events/event-log.ts'
import type { Config } from '../../../agent/config/types.ts'
import type { HttpCollaborators } from '../../../agent/http/collaborators.ts'
import { buildHttpServer, type HttpLimits } from '../../../agent/http/server.ts'
import { Backups } from '../../../agent/snapshot/backups.ts'
import { KeyBackup } from '../../../consensus/key-backup.ts'
import { GossipEvents } from '../../../discovery/events/gossip-events.ts'
import { FakeNetwork } from '../../discovery/fake-mesh.ts'
import { runsMs } from '../../held-up.ts'
import { FakeConsensus } from './fake-consensus.ts'
import { FakeCatalog, FakeHealth, FakeMembership } from './fake-discovery.ts'
import { FakeKeyring } from './fake-keyring.ts'

/** Settings of a node called n1. */
export const CONFIG: Config = {
  node: { name: 'n1', priority: 100, meta: { zone: 'a' } },
  cluster: {
    name: 'home',
    keyFile: null,
    join: [],
    bootstrapExpect: 3,
    voters: 5,
    leaseReads: false,
    learners: 16,
    deadVoterGraceMs: 60_000,
    deadLearnerGraceMs: 86_400_000,
  },
  dataDir: '/nonexistent',
  mesh: { listen: { host: '127.0.0.1', port: 7946 }, advertise: null, connectionsMax: 128, onDemandMax: 512 },
  http: { listen: { host: '127.0.0.1', port: 0 } },
  dns: {
    listen: { host: '127.0.0.1', port: 8600 },
    domain: 'constellation',
    onlyPassing: false,
    ttls: { node: 0, service: {}, negative: 0 },
    addressesMax: 0,
    udpAnswersMax: 0,
    recursors: [],
    recursorTimeoutMs: 2_000,
  },
  kv: { valueBytesMax: 524_288 },
  sessions: { ttlMinMs: 10_000, ttlFactor: 2 },
  checks: { scripts: 'off', dockerSocket: '/nonexistent/docker.sock', deregisterMinMs: 60_000 },
  log: { level: 'info', format: 'auto' },
  snapshots: null,
  providers: {
    docker: null,
    traefik: {
      version: '3.0',
      domain: null,
      nodeHosts: true,
      entryPoints: [],
      certResolver: null,
      graceMs: 600_000,
      guardPercent: 50,
      holdMs: 60_000,
      settleMs: 1000,
    },
    files: null,
  },
  file: null,
}

/** A server over fakes, and the fakes. */
export interface Harness {
  readonly app: FastifyInstance
  readonly consensus: FakeConsensus
  readonly catalog: FakeCatalog
  readonly health: FakeHealth
  readonly metrics: Registry
  readonly events: GossipEvents
  /** Calls of `operations`, in order. */
  readonly operations: string[]
}

/** Builds a server that waits at most `random` = 0 longer than asked. */
export function harness(
  overrides: Partial<HttpCollaborators> = {},
  options: { config?: Config; limits?: Partial<HttpLimits>; random?: () => number } = {},
): Harness {
  const consensus = new FakeConsensus()
  const catalog = new FakeCatalog()
  const health = new FakeHealth(catalog)
  const metrics = new Registry()
  const mesh = new FakeNetwork().add('peer-1')
  const events = new GossipEvents({ mesh, local: catalog, log: pino({ level: 'silent' }) })
  const operations: string[] = []
  const app = buildHttpServer(
    { config: CONFIG, version: '9.8.7', random: () => 0, ...options },
    {
      consensus,
      backups: new Backups(
        { cluster: CONFIG.cluster.name, node: CONFIG.node.name },
        { keys: new KeyBackup(overrides.consensus ?? consensus), wall: () => Date.UTC(2026, 10, 21) },
      ),
      membership: new FakeMembership(),
      catalog,
      local: catalog,
      declared: { settled: async () => {} },
      health,
      events,
      keyring: new FakeKeyring(),
      clusterEvents: new ClusterEventLog({ wall: () => 0, log: pino({ level: 'silent' }) }),
      leases: { list: () => [] },
      traefik: null,
      readiness: {
        ready: () => true,
        reasons: () => [],
        alive: () => true,
        complete: true,
        whenComplete: async () => true,
      },
      log: pino({ level: 'silent' }),
      metrics,
      operations: {
        leave: async () => void operations.push('leave'),
        reload: async () => void operations.push('reload'),
        join: async (address) => void operations.push(`join ${address}`),
      },
      ...overrides,
    },
  )
  return { app, consensus, catalog, health, metrics, events, operations }
}

/** Listens on a free port of loopback and answers it. */
export async function listen(app: FastifyInstance): Promise<number> {
  const address = await app.listen({ host: '127.0.0.1', port: 0 })
  return Number(new URL(address).port)
}

/** Opens a connection and sends bytes as they are. */
export async function dial(port: number, bytes: string | Buffer): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  await once(socket, 'connect')
  socket.write(bytes)
  return socket
}

/** Everything the peer sends until it closes. */
export async function readAll(socket: Socket): Promise<string> {
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  if (!socket.closed) await once(socket, 'close')
  return Buffer.concat(chunks).toString('latin1')
}

/** Polls until the condition holds. @throws when this process has run for 20 seconds, with what was waited for. */
export async function until(what: string, condition: () => boolean): Promise<void> {
  const deadline = runsMs() + 20_000
  while (!condition()) {
    if (runsMs() > deadline) throw new Error(`not in time: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
