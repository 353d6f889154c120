import { readFileSync } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import { suggest } from '../../../agent/config/suggest.ts'
import { readService } from '../../../discovery/catalog/shapes.ts'
import { isLoopback } from '../../../providers/docker/endpoints.ts'
import { LABEL_NAMES } from '../../../providers/docker/labels.ts'
import { serviceName, translate } from '../../../providers/docker/translate.ts'
import { PLACEMENT_LABELS } from '../../../providers/traefik/placement.ts'
import { container, type InspectionParts, OPTIONS } from './fixtures.ts'

const ENABLED = { 'constellation.enable': 'true' }
const made = (parts: InspectionParts, options = {}) => translate(container(parts), { ...OPTIONS, ...options })
const main = (parts: InspectionParts, options = {}) => {
  const { service } = made(parts, options)
  return service === null ? null : `${service.address}:${service.port}`
}
const labels = (more: Record<string, string>) => ({ ...ENABLED, ...more })

t.test('a published port is reached on the address of the node', async (t) => {
  const { service, status, problems } = made({ ports: { '80/tcp': ['0.0.0.0:8080', ':::8080'] } })
  t.match(service, {
    name: 'web',
    address: '10.0.0.1',
    port: 8080,
    tags: [],
    endpoints: [{ name: '80/tcp', containerPort: 80, address: '10.0.0.1', port: 8080 }],
    source: { kind: 'docker', id: 'c1', name: 'web' },
  })
  t.equal(status, 'passing')
  t.same(problems, [])
})

t.test(
  'a port published with different numbers for IPv4 and IPv6 is that of the family of the node',
  async (t) => {
    const parts = { ports: { '80/tcp': ['0.0.0.0:32768', ':::32769'] } }
    t.equal(main(parts), '10.0.0.1:32768')
    t.equal(main(parts, { nodeAddress: 'fd00::1' }), 'fd00::1:32769')
    t.equal(main({ ports: { '80/tcp': [':8080'] } }), '10.0.0.1:8080', 'Podman says ""')
  },
)

t.test('a port published on one address is reached there', async (t) => {
  t.equal(main({ ports: { '80/tcp': ['192.168.1.5:8080'] } }), '192.168.1.5:8080')
  t.equal(main({ ports: { '80/tcp': ['192.168.1.5:8081', '10.0.0.1:8082'] } }), '10.0.0.1:8082')
  t.equal(main({ ports: { '80/tcp': ['192.168.1.5:8081', '0.0.0.0:8083'] } }), '10.0.0.1:8083')
})

t.test('a port published on the loopback interface is nobody else’s', async (t) => {
  const { service, status, output, problems } = made({ ports: { '80/tcp': ['127.0.0.1:8080', '::1:8080'] } })
  t.match(service, { port: 0, endpoints: [{ port: 0, problem: /own host only/ }] })
  t.equal(status, 'critical')
  t.match(output, /published on (127\.0\.0\.1|::1):8080/)
  t.match(problems, [{ code: 'unreachable', about: '80/tcp' }])
  t.equal(
    main({ ports: { '80/tcp': ['127.0.0.1:8080'] } }, { nodeAddress: '127.0.0.1' }),
    '127.0.0.1:8080',
    'all nodes of a cluster on loopback share that host',
  )
})

t.test('an address of a bridge network is not told to others unless it is declared routable', async (t) => {
  const parts = { exposed: ['80/tcp'], networks: { front: '172.20.0.2', overlay: '10.99.0.2' } }
  const { service, problems } = made(parts)
  t.equal(service?.port, 0)
  t.match(problems, [{ code: 'unreachable', message: /not published.*routable_networks/ }])
  t.equal(main(parts, { routableNetworks: new Set(['overlay']) }), '10.99.0.2:80')
  const both = { routableNetworks: new Set(['overlay', 'front']) }
  t.equal(main(parts, both), '172.20.0.2:80', 'the first by name')
  t.equal(main({ ...parts, labels: labels({ 'traefik.docker.network': 'overlay' }) }, both), '10.99.0.2:80')
  const published = { ...parts, ports: { '80/tcp': ['0.0.0.0:8080'] } }
  t.equal(main(published, both), '10.0.0.1:8080', 'what is published comes first')
  t.equal(main({ ...published, labels: labels({ 'constellation.network': 'overlay' }) }), '10.99.0.2:80')
})

t.test('a network that a label names and the container is not in is a problem', async (t) => {
  const { service, output } = made({
    exposed: ['80/tcp'],
    labels: labels({ 'constellation.network': 'nowhere' }),
  })
  t.equal(service?.port, 0)
  t.match(output, /constellation\.network is "nowhere", but it has an address in bridge/)
})

t.test('an address of a label comes first, with the published port if there is one', async (t) => {
  const address = labels({ 'constellation.address': '192.0.2.7' })
  t.equal(main({ ports: { '80/tcp': ['127.0.0.1:8080'] }, labels: address }), '192.0.2.7:80')
  t.equal(main({ ports: { '80/tcp': ['0.0.0.0:8080'] }, labels: address }), '192.0.2.7:8080')
  t.equal(main({ exposed: ['80/tcp'], labels: address }), '192.0.2.7:80')
  t.equal(main({ exposed: ['80/tcp'], labels: labels({ 'kop.bind.ip': '192.0.2.8' }) }), '192.0.2.8:80')
  t.equal(main({ exposed: ['80/tcp'], labels: labels({ 'kop.web.bind.ip': '192.0.2.9' }) }), '192.0.2.9:80')
  const both = labels({ 'kop.bind.ip': '192.0.2.8', 'constellation.address': '192.0.2.7' })
  t.equal(main({ exposed: ['80/tcp'], labels: both }), '192.0.2.7:80', 'ours win')
})

t.test('the main port is that of a label, else the lowest', async (t) => {
  const ports = { '443/tcp': ['0.0.0.0:8443'], '80/tcp': ['0.0.0.0:8080'], '53/udp': ['0.0.0.0:5353'] }
  t.equal(main({ ports }), '10.0.0.1:5353')
  t.equal(main({ ports, labels: labels({ 'constellation.port': '443' }) }), '10.0.0.1:8443')
  t.equal(main({ ports, labels: labels({ 'constellation.port': '53/udp' }) }), '10.0.0.1:5353')
  const traefik = { 'traefik.http.services.x.loadbalancer.server.port': '80' }
  t.equal(main({ ports, labels: labels(traefik) }), '10.0.0.1:8080')
  t.equal(main({ ports, labels: labels({ ...traefik, 'constellation.port': '443' }) }), '10.0.0.1:8443')
  t.equal(
    main({ ports, labels: labels({ 'constellation.port': '8443' }) }),
    '10.0.0.1:8443',
    'as kop reads it',
  )
  const { service } = made({ ports })
  t.same(
    service?.endpoints?.map(({ name, port }) => `${name} ${port}`),
    ['53/udp 5353', '80/tcp 8080', '443/tcp 8443'],
  )
})

t.test('a container in the network of its host is reached on its own port', async (t) => {
  t.equal(main({ mode: 'host', exposed: ['80/tcp'], networks: {} }), '10.0.0.1:80')
  t.equal(
    main({ mode: 'host', networks: {}, labels: labels({ 'constellation.port': '9000' }) }),
    '10.0.0.1:9000',
  )
})

t.test('a container in the network of another is reached through that one', async (t) => {
  const vpn = container({ id: 'v', name: 'vpn', ports: { '80/tcp': ['0.0.0.0:8080'] } })
  const parts = { mode: 'container:v', exposed: ['80/tcp'], networks: {} }
  t.equal(main(parts, { lookUp: (id: string) => (id === 'v' ? vpn : undefined) }), '10.0.0.1:8080')
  t.match(made(parts).output, /shares the network of v, which is not there/)
  const loop = container({ id: 'v', mode: 'container:v' })
  t.match(made(parts, { lookUp: () => loop }).output, /not there/, 'a circle ends')
})

t.test('a container without ports is an instance without one', async (t) => {
  const { service, status } = made({})
  t.match(service, { port: 0, address: '10.0.0.1', endpoints: [] })
  t.equal(status, 'passing')
})

t.test('who is in the catalogue', async (t) => {
  const isIn = (texts: Record<string, string>, options = {}) =>
    made({ labels: texts }, options).service !== null
  t.notOk(isIn({}))
  t.ok(isIn({}, { exposeByDefault: true }))
  t.ok(isIn({ 'traefik.enable': 'true' }))
  t.notOk(isIn({ 'traefik.enable': 'false' }, { exposeByDefault: true }))
  t.ok(isIn({ 'traefik.enable': 'false', 'constellation.enable': 'true' }), 'ours decide')
  t.notOk(isIn({ 'traefik.enable': 'true', 'constellation.enable': 'false' }))
  const routes = made({ labels: { 'traefik.http.routers.x.rule': 'Host(`x`)' } })
  t.equal(routes.service, null)
  t.match(routes.reason, /labels for Traefik, but does not say/)
  t.match(made({ status: 'created' }).reason, /not been started/)
})

t.test('health: only a container that runs and is healthy passes', async (t) => {
  const status = (parts: InspectionParts) => `${made(parts).status}: ${made(parts).output}`
  t.match(status({}), /^passing: running/)
  t.match(status({ health: 'healthy', healthOutput: 'fine' }), /^passing: healthy: fine/)
  t.match(status({ health: 'starting' }), /^critical: starting/)
  t.match(status({ health: 'unhealthy', healthOutput: 'no answer\n' }), /^critical: unhealthy: no answer$/)
  t.match(status({ status: 'paused' }), /^critical: it is paused/)
  t.match(status({ status: 'restarting', exitCode: 3 }), /^critical: .*exit code 3/)
  t.match(status({ status: 'exited', exitCode: 137 }), /^critical: it has ended with exit code 137/)
  t.match(status({ status: 'a word of tomorrow' }), /^critical/)
})

t.test('a job that ended well goes; a server that was stopped stays and is critical', async (t) => {
  t.equal(made({ status: 'exited', exitCode: 0 }).service, null)
  t.equal(made({ status: 'exited', exitCode: 0, policy: 'on-failure' }).service, null)
  const stopped = {
    status: 'exited',
    exitCode: 0,
    policy: 'unless-stopped',
    configured: { '80/tcp': [':8080'] },
  }
  t.match(made(stopped), { service: { port: 8080 }, status: 'critical', isComplete: false })
})

t.test('a label that is unknown or wrong is named, and changes nothing else', async (t) => {
  const { service, problems } = made(
    {
      labels: labels({
        'constellation.wieght': '5',
        'constellation.tier': 'first',
        'constellation.canary': '101',
        'constellation.drain': 'true',
        'constellation.DNS': 'www.example.com',
        'constellation.tags': 'a, b,a',
        'constellation.meta.Team': 'Core',
        'constellation.check.interval': '5s',
        'kop.namespace': 'x',
      }),
    },
    { suggest },
  )
  t.match(problems, [
    { code: 'unused', about: 'kop.namespace' },
    { code: 'value', about: 'constellation.canary', message: /percent/ },
    { code: 'value', about: 'constellation.tier', message: /from 0 to 1000/ },
    { code: 'unknown', message: /did you mean constellation\.weight\?/ },
    { code: 'unused', about: 'constellation.check.interval' },
  ])
  t.same(service?.labels, {
    'constellation.enable': 'true',
    'constellation.dns': 'www.example.com',
    'constellation.drain': 'true',
    'constellation.tags': 'a, b,a',
    'constellation.meta.Team': 'Core',
    'constellation.check.interval': '5s',
  })
  t.same(service?.tags, ['a', 'b'])
  t.same(service?.meta, { Team: 'Core' })
})

t.test('a check of a label looks where others do', async (t) => {
  const ports = { '80/tcp': ['0.0.0.0:8080'], '9000/tcp': ['0.0.0.0:9001'] }
  const check = (more: Record<string, string>) => made({ ports, labels: labels(more) }).probe
  t.match(check({ 'constellation.check.http': '/health', 'constellation.check.interval': '3' }), {
    kind: 'http',
    target: '/health',
    address: '10.0.0.1',
    hostPort: 8080,
    intervalMs: 3000,
  })
  t.match(check({ 'constellation.check.tcp': 'true', 'constellation.check.port': '9000' }), {
    hostPort: 9001,
  })
  t.equal(check({}), null)
  const absolute = { 'constellation.check.http': 'http://169.254.169.254/' }
  t.equal(check(absolute), null, 'no label sends the agent anywhere else')
})

t.test('restarts are asked for by a label and allowed by a setting', async (t) => {
  const parts = {
    health: 'unhealthy' as const,
    labels: labels({ 'deunhealth.restart.on.unhealthy': 'true' }),
  }
  t.match(made(parts), { restart: null, problems: [{ message: /providers\.docker\.restart is off/ }] })
  t.match(made(parts, { mayRestart: true }), { restart: { max: 3 }, problems: [] })
  const without = made({ labels: labels({ 'constellation.restart': 'on-unhealthy' }) }, { mayRestart: true })
  t.match(without.problems, [{ message: /no HEALTHCHECK/ }])
})

t.test('one of several is asked for by a label and allowed by a setting', async (t) => {
  const parts = { labels: labels({ 'constellation.run-once': 'true', 'constellation.service': 'job' }) }
  t.match(made(parts), { runOnce: null, problems: [{ message: /providers\.docker\.run_once is off/ }] })
  const allowed = { mayRunOnce: true }
  t.match(made(parts, allowed), { runOnce: 'job', service: { name: 'job' }, problems: [] })
  for (const status of ['created', 'exited', 'dead']) {
    const resting = made({ ...parts, status, exitCode: 137 }, allowed)
    t.match(
      resting,
      { runOnce: 'job', service: null, reason: /not here/ },
      'where it does not run it is no failure',
    )
  }
  t.match(made({ ...parts, policy: 'always' }, allowed).problems, [
    { code: 'policy', message: /say no instead/ },
  ])
  t.equal(made({ labels: { ...parts.labels, 'constellation.enable': 'false' } }, allowed).runOnce, null)
})

t.test('the name is the one Traefik would use', async (t) => {
  const compose = { 'com.docker.compose.project': 'my_shop', 'com.docker.compose.service': 'web' }
  t.equal(serviceName({ name: 'my_shop-web-1', labels: compose }), 'web-my-shop')
  t.equal(serviceName({ name: 'web_1', labels: {} }), 'web-1')
  t.equal(serviceName({ name: 'x.1.abc', labels: { 'com.docker.swarm.service.name': 's_web' } }), 's-web')
  t.equal(made({ labels: labels({ 'constellation.service': 'shop' }) }).service?.name, 'shop')
})

t.test('every label is documented, and those of other views are known', async (t) => {
  const page = readFileSync(new URL('../../../docs/docker.md', import.meta.url), 'utf8')
  const named = (label: string) =>
    page.includes(label) || page.includes(`\`.${label.slice('constellation.'.length)}\``)
  const checks = (label: string) => label.startsWith('constellation.check.')
  for (const label of LABEL_NAMES) t.ok(checks(label) ? page.includes(`\`${label}\``) : named(label), label)
  for (const label of PLACEMENT_LABELS) t.ok(LABEL_NAMES.includes(label), label)
})

t.test('secrets of the environment are not kept', async (t) => {
  t.notMatch(JSON.stringify(made({ ports: { '80/tcp': [':80'] } })), /hunter2/)
})

const anyLabel = fc.record({
  name: fc.oneof(
    fc.constantFrom(
      'service',
      'port',
      'address',
      'network',
      'tags',
      'tier',
      'weight',
      'drain',
      'check.http',
      'meta.x',
    ),
    fc.string({ maxLength: 12 }),
  ),
  prefix: fc.constantFrom('constellation.', 'traefik.', 'kop.', ''),
  value: fc.oneof(fc.string({ maxLength: 20 }), fc.constantFrom('80', 'true', '10.1.2.3', '/x', 'a,b')),
})
const anyBinding = fc.record({
  port: fc.integer({ min: 1, max: 65_535 }),
  protocol: fc.constantFrom('tcp', 'udp', 'sctp'),
  host: fc.constantFrom(
    '0.0.0.0',
    '::',
    '',
    '127.0.0.1',
    '127.9.9.9',
    '::1',
    '::ffff:127.0.0.1',
    '192.168.0.9',
  ),
  hostPort: fc.integer({ min: 0, max: 65_535 }),
})
const anyContainer = fc.record({
  name: fc.string({ maxLength: 30 }),
  status: fc.constantFrom('running', 'paused', 'exited', 'restarting', 'dead', 'new'),
  labels: fc.array(anyLabel, { maxLength: 8 }),
  bindings: fc.array(anyBinding, { maxLength: 8 }),
  mode: fc.constantFrom('default', 'host', 'none', 'container:x', 'net'),
  networks: fc.dictionary(fc.constantFrom('bridge', 'net'), fc.constantFrom('172.17.0.2', '10.9.9.9', ''), {
    maxKeys: 2,
  }),
})

t.test(
  'whatever a container looks like, the catalogue takes it and nothing of it is on loopback',
  async () => {
    fc.assert(
      fc.property(anyContainer, fc.boolean(), (any, routable) => {
        const ports: Record<string, string[]> = {}
        for (const { port, protocol, host, hostPort } of any.bindings) {
          const key = `${port}/${protocol}`
          ports[key] = [...(ports[key] ?? []), `${host}:${hostPort}`]
        }
        const texts = Object.fromEntries(any.labels.map(({ prefix, name, value }) => [prefix + name, value]))
        const options = {
          ...OPTIONS,
          exposeByDefault: true,
          routableNetworks: new Set(routable ? ['net', 'bridge'] : []),
          suggest,
        }
        const { name, status, mode, networks } = any
        const parts = { name, status, mode, networks, ports, labels: texts }
        const result = translate(container(parts), options)
        if (!isDeepStrictEqual(translate(container(parts), options), result)) return false
        if (result.service === null) return true
        const service = readService({ ...result.service, id: 'x' })
        const wanted = texts['constellation.address'] ?? ''
        return (service.endpoints ?? []).every(
          ({ address, port, problem }) =>
            (problem === undefined) === port > 0 && (!isLoopback(address) || address === wanted),
        )
      }),
      { numRuns: 500 },
    )
  },
)
