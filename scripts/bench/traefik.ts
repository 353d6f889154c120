import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { pino } from 'pino'
import type { CatalogInstance } from '../../discovery/catalog/types.ts'
import { TraefikView } from '../../providers/traefik/view.ts'

const SERVICES = 1000
const COPIES = 3
const ROUNDS = 20

setFlagsFromString('--expose-gc')
const gc = runInNewContext('gc') as () => void

/** A copy of a service with labels as people write them. */
function copy(service: number, node: number, port = 8080): CatalogInstance {
  const name = `s${service}`
  const labels = {
    'traefik.enable': 'true',
    [`traefik.http.routers.${name}.rule`]: `Host(\`${name}.example.com\`)`,
    [`traefik.http.routers.${name}.tls`]: 'true',
    [`traefik.http.routers.${name}.middlewares`]: `${name}-headers`,
    [`traefik.http.middlewares.${name}-headers.headers.stsSeconds`]: '31536000',
    [`traefik.http.services.${name}.loadbalancer.server.port`]: String(port),
  }
  const indexed = { createIndex: 1, modifyIndex: 1 }
  const instance = {
    id: name,
    name,
    tags: [],
    address: '',
    port,
    meta: {},
    weights: { passing: 1, warning: 1 },
    enableTagOverride: false,
    taggedAddresses: {},
    labels,
  }
  const record = {
    id: `id${node}`,
    name: `n${node}`,
    address: `10.0.0.${node}`,
    version: { incarnation: 1, sequence: 1 },
    meta: {},
    services: new Map(),
    checks: new Map(),
  }
  return {
    ...indexed,
    node: { ...indexed, record, alive: true, cordoned: false },
    service: instance,
    checks: [],
    status: 'passing',
  }
}

const services = new Map(
  Array.from({ length: SERVICES }, (_, service) => [
    `s${service}`,
    Array.from({ length: COPIES }, (_, node) => copy(service, node + 1)),
  ]),
)
const names = new Map([...services.keys()].map((name) => [name, [] as string[]]))
const catalog = {
  index: 1,
  services: () => names,
  instances: (name: string) => services.get(name) ?? [],
  node: () => undefined,
}
const make = (domain: string | null) =>
  new TraefikView(
    { render: { entryPoints: [], domain }, guard: { percent: 50, holdMs: 60_000 }, settleMs: 0 },
    {
      catalog,
      log: pino({ level: 'silent' }),
      clock: { now: () => performance.now(), wall: () => Date.now() },
    },
  )

/** Median time on a processor in ms, which says the same on a busy machine, and allocation in KB of one call. */
function measure(prepare: (round: number) => void, call: () => unknown): { ms: number; kb: number } {
  const rounds = Array.from({ length: ROUNDS }, (_, round) => {
    prepare(round)
    gc()
    const before = process.memoryUsage().heapUsed
    const started = process.threadCpuUsage()
    call()
    const { user, system } = process.threadCpuUsage(started)
    const ms = (user + system) / 1000
    return { ms, kb: (process.memoryUsage().heapUsed - before) / 1024 }
  })
  const median = (list: readonly number[]) => list.toSorted((a, b) => a - b)[ROUNDS / 2] ?? 0
  return { ms: median(rounds.map(({ ms }) => ms)), kb: median(rounds.map(({ kb }) => kb)) }
}

process.stdout.write(`${SERVICES} services of ${COPIES} copies, median of ${ROUNDS}\n`)
for (const domain of [null, 'example.com']) {
  let view = make(domain)
  const print = (what: string, { ms, kb }: { ms: number; kb: number }) =>
    process.stdout.write(
      `  ${what.padEnd(26)} ${ms.toFixed(3).padStart(9)} ms ${kb.toFixed(0).padStart(7)} KB\n`,
    )
  process.stdout.write(
    `${domain === null ? 'without a domain' : 'with a domain, so a route for each copy'}: ${view.document().body.length} bytes\n`,
  )
  print(
    'first document',
    measure(
      () => {
        view = make(domain)
      },
      () => view.document(),
    ),
  )
  print(
    'one copy has changed',
    measure(
      (round) => {
        services.set('s7', [copy(7, 1, 9000 + round), copy(7, 2), copy(7, 3)])
        catalog.index++
      },
      () => view.document(),
    ),
  )
  print(
    'the same, what to remember',
    measure(
      (round) => {
        services.set('s7', [copy(7, 1, 9000 + round), copy(7, 2), copy(7, 3)])
        catalog.index++
        view.document()
      },
      () => view.toRemember(),
    ),
  )
  print(
    'nothing has changed',
    measure(
      () => {},
      () => view.document(),
    ),
  )
}
