import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { pino } from 'pino'
import type { Command } from '../../consensus/client.ts'
import type { Clock } from '../../consensus/clock.ts'
import { LocalRecord } from '../../discovery/catalog/local-record.ts'
import { CatalogStore } from '../../discovery/catalog/store.ts'
import { CheckRunner } from '../../discovery/health/runner.ts'
import { FakeMembership } from '../agent/http/fake-discovery.ts'
import { type Harness, harness, listen } from '../agent/http/harness.ts'
import { TestCluster } from '../consensus/cluster.ts'
import { FakeTimers } from '../discovery/health/fixtures.ts'
import { type Operation, operationsOf } from './operations.ts'

/** Everything clients can change, in a comparable form: what → its content. */
export type Contents = ReadonlyMap<string, string>

/** Time passes for everybody but the state: nothing in it may end by itself while the fuzzer compares. */
const SLOWNESS = 10_000
const NODE = 'peer-1'

/**
 * The HTTP interface over the real consensus of one node in memory, the real catalogue and the real check runner, whose checks never
 * run; and what is wrong with it that no answer says.
 */
export class Subject {
  readonly port: number
  readonly operations: readonly Operation[]
  readonly #cluster: TestCluster
  readonly #harness: Harness
  readonly #local: LocalRecord
  readonly #checks: CheckRunner
  readonly #folder: string
  readonly #problems: string[]
  readonly #release: () => void
  #reached: string[] = []

  private constructor(parts: {
    readonly port: number
    readonly operations: readonly Operation[]
    readonly cluster: TestCluster
    readonly harness: Harness
    readonly local: LocalRecord
    readonly checks: CheckRunner
    readonly folder: string
    readonly problems: string[]
  }) {
    this.port = parts.port
    this.operations = parts.operations
    this.#cluster = parts.cluster
    this.#harness = parts.harness
    this.#local = parts.local
    this.#checks = parts.checks
    this.#folder = parts.folder
    this.#problems = parts.problems
    this.#release = this.#listen()
  }

  static async start(): Promise<Subject> {
    const folder = await mkdtemp(join(tmpdir(), 'constellation-fuzz-'))
    const problems: string[] = []
    const log = pino(
      { level: 'error' },
      { write: (line: string) => void problems.push(`logged ${line.trim()}`) },
    )
    const cluster = new TestCluster()
    const clock: Clock = {
      now: () => performance.now() / SLOWNESS,
      wall: () => Date.UTC(2026, 10, 21) + Math.floor(performance.now() / SLOWNESS),
    }
    await cluster.add(NODE, { expect: 1, clock })
    await cluster.leader()
    const local = new LocalRecord({ dataDir: folder }, { log })
    const membership = new FakeMembership()
    const store = new CatalogStore({ membership, log })
    await local.open({ id: NODE, name: 'n1', address: '10.0.0.1', meta: { zone: 'a' }, incarnation: 1 })
    local.onChange((record) => store.put(record, 0))
    store.put(local.record(), 0)
    store.start()
    const checks = new CheckRunner(
      { dataDir: folder },
      { local, catalog: store, log, timers: new FakeTimers() },
    )
    await checks.start()
    const server = harness({
      consensus: cluster.client(NODE),
      membership,
      catalog: store,
      local,
      health: checks,
      log,
      traefik: {
        document: () => ({ body: '{}', etag: '"1"' }),
        reason: () => null,
        explain: () => ({
          etag: '"1"',
          counts: { routers: 0, services: 0, servers: 0 },
          problems: [],
          held: [],
          gone: [],
        }),
        polls: { note: () => {}, list: () => [] },
      },
    })
    const port = await listen(server.app)
    const document: unknown = (await server.app.inject('/openapi.json')).json()
    return new Subject({
      port,
      operations: operationsOf(document),
      cluster,
      harness: server,
      local,
      checks,
      folder,
      problems,
    })
  }

  /** Hears which routes get a request, and what nobody catches. */
  #listen(): () => void {
    const channel = 'tracing:fastify.request.handler:start'
    const onHandler = (message: unknown): void => {
      const { request, route } = message as {
        request: { server: FastifyInstance; method: string }
        route: { url: string }
      }
      if (request.server.server === this.#harness.app.server)
        this.#reached.push(`${request.method} ${route.url}`)
    }
    const onRejection = (reason: unknown): void => void this.#problems.push(`nobody caught ${String(reason)}`)
    const onException = (error: Error): void => void this.#problems.push(`nobody caught ${error.stack}`)
    subscribe(channel, onHandler)
    process.on('unhandledRejection', onRejection)
    process.on('uncaughtException', onException)
    return () => {
      unsubscribe(channel, onHandler)
      process.off('unhandledRejection', onRejection)
      process.off('uncaughtException', onException)
    }
  }

  /** `METHOD /route/*` of the handlers that ran since the last call, and what went wrong meanwhile. */
  take(): { readonly reached: readonly string[]; readonly problems: readonly string[] } {
    const reached = this.#reached
    this.#reached = []
    const fatal = this.#cluster.fatal.splice(0).map((error) => `the node ended: ${error.stack}`)
    return { reached, problems: [...this.#problems.splice(0), ...fatal] }
  }

  /** Blocking queries that wait now. */
  async parked(): Promise<number> {
    const metric = await this.#harness.metrics.getSingleMetric('constellation_http_blocking_queries')?.get()
    return metric?.values[0]?.value ?? 0
  }

  /** Log index of the last change: a blocking query that names it waits. */
  get index(): number {
    return this.#cluster.client(NODE).status().appliedIndex
  }

  /** Everything clients can change. */
  async contents(): Promise<Contents> {
    const { view } = await this.#cluster.client(NODE).read('stale')
    const { services, checks } = this.#local.record()
    const print = (value: unknown): string =>
      JSON.stringify(value, (_, item: unknown) =>
        typeof item === 'bigint'
          ? String(item)
          : item instanceof Uint8Array
            ? Buffer.from(item).toString('base64')
            : item,
      )
    return new Map([
      ...view.kvList('').map((entry) => [`key ${entry.key}`, print(entry)] as const),
      ...view.sessions().map((session) => [`session ${session.id}`, print(session)] as const),
      ...[...services].map(([id, service]) => [`service ${id}`, print(service)] as const),
      ...[...checks].map(([id, check]) => [`check ${id}`, print(check)] as const),
      ...this.#checks.definitions().map((each) => [`definition ${each.id}`, print(each)] as const),
      ['orders', this.#harness.operations.join()] as const,
    ])
  }

  /** Ids of the sessions there are. */
  async sessions(): Promise<readonly string[]> {
    const { view } = await this.#cluster.client(NODE).read('stale')
    return view.sessions().map(({ id }) => id)
  }

  /** Makes the contents what they were at first: a few keys, one of them locked, a session, a service and its check. */
  async reset(): Promise<void> {
    const client = this.#cluster.client(NODE)
    const { view } = await client.read('stale')
    for (const { id } of view.sessions()) await client.propose({ type: 'session.destroy', id })
    await client.propose({ type: 'kv.deleteTree', prefix: '' })
    for (const { id } of this.#checks.definitions()) this.#checks.remove(id)
    const { services, checks } = this.#local.record()
    for (const id of services.keys()) this.#local.removeService(id)
    for (const id of checks.keys()) this.#local.removeCheck(id)
    for (const command of SEEDS) await client.propose(command)
    const put = { method: 'PUT', url: '/v1/agent/service/register' } as const
    const payload = '{"Name":"web","Tags":["v1"],"Port":80,"Check":{"CheckID":"ttl","TTL":"1h"}}'
    await this.#harness.app.inject({ ...put, payload })
    this.take()
  }

  async close(): Promise<void> {
    this.#release()
    await this.#harness.app.close()
    await this.#checks.stop()
    await this.#local.flush()
    await this.#cluster.close()
    await rm(this.#folder, { recursive: true, force: true })
  }
}

/** A session that is always there. */
export const SESSION_ID = '4c7fa1d2-8a44-4f0e-9e6b-2f5f0f3f9d11'

const SEEDS: readonly Command[] = [
  ...['a', 'a/b', 'a/\xc3\xa9', '\xff\x00'].map(
    (key) => ({ type: 'kv.set', key, value: Buffer.from('1'), flags: 7n }) as const,
  ),
  {
    type: 'session.create',
    session: {
      id: SESSION_ID,
      name: 'seed',
      node: 'n1',
      behavior: 'release',
      lockDelayMs: 15_000,
      ttl: '1h',
      expiresAfterMs: 7_200_000,
      nodeChecks: [],
      serviceChecks: null,
    },
  },
  { type: 'kv.acquire', key: 'lock', value: Buffer.from('held'), flags: 0n, session: SESSION_ID },
]
