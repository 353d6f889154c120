import t from 'tap'
import { type RenderOptions, type RenderVariant, renderTraefik } from '../../../providers/traefik/render.ts'
import { decodeBody } from '../../../providers/traefik/strict-decoder.ts'
import { FakeCatalog, type InstanceSpec, instance } from './fixtures.ts'

const rule = { 'traefik.http.routers.web.rule': 'Host(`web.example`)' }
const health = { 'traefik.http.services.web.loadbalancer.healthcheck.path': '/health' }

/** `web` on nodes n1, n2 … with these labels each. */
function copies(...labels: readonly Readonly<Record<string, string>>[]): InstanceSpec[] {
  return labels.map((own, at) => ({
    node: `n${at + 1}`,
    nodeAddress: `10.0.0.${at + 1}`,
    port: 80,
    own: { ...rule, ...own },
  }))
}

function render(
  specs: readonly InstanceSpec[],
  options: Partial<RenderOptions> = {},
  variant: RenderVariant = {},
) {
  const rendered = renderTraefik(
    new FakeCatalog(specs.map(instance)),
    { entryPoints: [], ...options },
    variant,
  )
  const { accepted, errors } = decodeBody(
    rendered.body,
    options.release === undefined ? {} : { release: options.release },
  )
  if (!accepted) throw new Error(JSON.stringify(errors))
  const document = JSON.parse(rendered.body)
  return { ...rendered, document, services: document.http?.services }
}

const servers = (...hosts: number[]) => hosts.map((host) => ({ url: `http://10.0.0.${host}:80` }))
const plain = (...hosts: number[]) => ({ loadBalancer: { servers: servers(...hosts) } })

t.test('weights are those of servers, and only where one is given', (t) => {
  const { services, problems } = render(
    copies({ 'constellation.weight': '3' }, {}, { 'constellation.weight': '0' }),
  )
  t.same(services, {
    web: {
      loadBalancer: {
        servers: [
          { url: 'http://10.0.0.1:80', weight: 3 },
          { url: 'http://10.0.0.2:80', weight: 1 },
        ],
      },
    },
  })
  t.same(problems, [])
  const labels = { ...rule, 'traefik.http.services.web.loadbalancer.strategy': 'p2c' }
  t.match(render([{ own: { ...labels, 'constellation.weight': '3' } }]).problems, [
    { code: 'unused', label: 'constellation.weight', message: /no effect with the strategy p2c/ },
  ])
  t.end()
})

t.test('TCP has no weights of servers: a load balancer for each weight', (t) => {
  const db = (node: string, weight?: string): InstanceSpec => ({
    service: 'db',
    node,
    nodeAddress: `10.0.0.${node.slice(1)}`,
    port: 5432,
    own: {
      'traefik.tcp.routers.db.rule': 'HostSNI(`*`)',
      ...(weight === undefined ? {} : { 'constellation.weight': weight }),
    },
  })
  const { document } = render([db('n1', '3'), db('n2'), db('n3')])
  t.same(document.tcp.services, {
    db: {
      weighted: {
        services: [
          { name: 'db.weight-1', weight: 2 },
          { name: 'db.weight-3', weight: 3 },
        ],
      },
    },
    'db.weight-1': {
      loadBalancer: { servers: [{ address: '10.0.0.2:5432' }, { address: '10.0.0.3:5432' }] },
    },
    'db.weight-3': { loadBalancer: { servers: [{ address: '10.0.0.1:5432' }] } },
  })
  t.end()
})

t.test('the lowest tier with a copy gets all traffic', (t) => {
  const tiers = copies({}, { 'constellation.tier': '1' }, { 'constellation.tier': '2' })
  t.same(render(tiers).services, { web: plain(1) })
  const dead = (...hosts: number[]) =>
    tiers.map((spec, at) => (hosts.includes(at + 1) ? { ...spec, status: 'critical' as const } : spec))
  t.same(render(dead(1)).services, { web: plain(2) })
  t.same(render(dead(1, 2)).services, { web: plain(3) })
  t.same(render(dead(1, 2, 3)).services, { web: plain() })
  t.end()
})

t.test('with a health check of Traefik, or statuses to fail over upon, Traefik has all tiers', (t) => {
  const watched = copies(
    health,
    { ...health, 'constellation.tier': '1' },
    { ...health, 'constellation.tier': '5' },
  )
  const balancer = (host: number) => ({
    loadBalancer: { healthCheck: { path: '/health' }, servers: servers(host) },
  })
  t.same(render(watched, { release: '3.0' }).services, {
    web: { failover: { service: 'web.tier-0', fallback: 'web.after-0', healthCheck: {} } },
    'web.after-0': { failover: { service: 'web.tier-1', fallback: 'web.tier-2', healthCheck: {} } },
    'web.tier-0': balancer(1),
    'web.tier-1': balancer(2),
    'web.tier-2': balancer(3),
  })

  const asked = copies({ 'constellation.failover': '502-504, 500' }, { 'constellation.tier': '1' })
  t.same(render(asked).services, {
    web: {
      failover: { service: 'web.tier-0', fallback: 'web.tier-1', errors: { status: ['502-504', '500'] } },
    },
    'web.tier-0': plain(1),
    'web.tier-1': plain(2),
  })
  const old = render(asked, { release: '3.6' })
  t.same(old.services, { web: plain(1) })
  t.match(old.problems, [
    { label: 'constellation.failover', message: /needs Traefik 3\.7, configured is 3\.6/ },
  ])
  t.end()
})

t.test('constellation.tier=priority is the priority of the node', (t) => {
  const specs = copies(...[1, 2, 3].map(() => ({ 'constellation.tier': 'priority' })))
  const priorities = new Map([
    ['n1', 200],
    ['n3', 50],
  ])
  t.same(render(specs, {}, { priorities }).services, { web: plain(3) })
  t.same(render(specs.slice(0, 2), {}, { priorities }).services, { web: plain(2) }, 'the default is 100')
  t.same(render(specs).services, { web: plain(1, 2, 3) })
  t.end()
})

t.test('local first: only for services that ask, and only for a Traefik that says where it is', (t) => {
  const specs = copies(...[1, 2, 3].map(() => ({ 'constellation.local-first': 'true' })))
  const priorities = new Map([['n3', 50]])
  t.same(render(specs, {}, { priorities }).services, { web: plain(1, 2, 3) })
  t.same(render(specs, {}, { priorities, local: 'n2' }).services, { web: plain(2) })
  const elsewhere = specs.filter(({ node }) => node !== 'n2')
  t.same(render(elsewhere, {}, { priorities, local: 'n2' }).services, { web: plain(3) }, 'then by priority')
  t.same(render(copies({}, {}), {}, { local: 'n2' }).services, { web: plain(1, 2) })
  t.end()
})

t.test('canaries share their percent, and take over when nobody else is left', (t) => {
  const canary = { 'constellation.canary': '10%' }
  const specs = copies({}, {}, canary, canary)
  t.same(render(specs).services, {
    web: {
      weighted: {
        services: [
          { name: 'web.stable', weight: 90 },
          { name: 'web.canary', weight: 10 },
        ],
      },
    },
    'web.stable': plain(1, 2),
    'web.canary': plain(3, 4),
  })
  t.same(render(specs.slice(2)).services, { web: plain(1 + 2, 4) })
  t.same(render(specs.slice(0, 2)).services, { web: plain(1, 2) })
  t.same(render(copies({}, { 'constellation.canary': '0' })).services, { web: plain(1) })
  t.same(render(copies({}, { 'constellation.canary': '100' })).services, { web: plain(2) })

  const disagree = render(copies({}, canary, { 'constellation.canary': '50' }))
  t.match(disagree.services.web.weighted.services, [{ weight: 90 }, { weight: 10 }])
  t.match(disagree.problems, [
    { node: 'n3', label: 'constellation.canary', message: /differs from that of "n2", 10, which counts/ },
  ])

  const sticky = { 'traefik.http.services.web.loadbalancer.sticky.cookie.name': 'c', ...health }
  const { services } = render(copies(sticky, { ...sticky, ...canary }), { release: '3.0' })
  t.match(services.web.weighted, { healthCheck: {}, sticky: { cookie: { name: 'c_part' } } })
  t.match(services['web.canary'].loadBalancer.sticky, { cookie: { name: 'c' } })
  t.end()
})

t.test('a mirror gets copies of requests and answers none', (t) => {
  const mirror = { 'constellation.mirror': '20' }
  t.same(render(copies({}, mirror, mirror)).services, {
    web: { mirroring: { service: 'web.live', mirrors: [{ name: 'web.mirror-20', percent: 20 }] } },
    'web.live': plain(1),
    'web.mirror-20': plain(2, 3),
  })
  t.same(render(copies(mirror)).services.web, {
    mirroring: { service: 'web.live', mirrors: [{ name: 'web.mirror-20', percent: 20 }] },
  })
  const tcp = { 'traefik.tcp.routers.db.rule': 'HostSNI(`*`)', ...mirror }
  const { document, problems } = render([{ service: 'db', own: tcp }])
  t.same(document.tcp.services.db, { loadBalancer: { servers: [] } })
  t.match(problems, [{ code: 'unused', label: 'constellation.mirror', message: /no meaning for tcp/ }])
  t.end()
})

t.test('a drained copy, and all on a cordoned node, get nothing', (t) => {
  const [first, second] = copies({ 'constellation.drain': 'true' }, {})
  t.same(render([first, second] as InstanceSpec[]).services, { web: plain(2) })
  t.same(render([{ ...second, cordoned: true }]).services, { web: plain() })
  t.end()
})

t.test('a bad label of ours refuses the labels of its container, and no other', (t) => {
  const bad: readonly (readonly [Record<string, string>, RegExp])[] = [
    [{ 'constellation.tier': '-1' }, /whole number from 0 to 1000, or priority/],
    [{ 'constellation.weight': 'x' }, /whole number from 0 to 1000/],
    [{ 'constellation.canary': '101' }, /from 0 to 100/],
    [{ 'constellation.local-first': 'maybe' }, /must be true or false/],
    [{ 'constellation.failover': 'yes' }, /statuses such as 502-504/],
    [{ 'constellation.mirror': '1', 'constellation.canary': '1' }, /excludes constellation\.canary/],
  ]
  const good = copies({})
  for (const [own, message] of bad) {
    const { services, problems } = render([
      ...good,
      { service: 'other', node: 'n9', own: { ...rule, ...own } },
    ])
    t.same(services, { web: plain(1) })
    t.match(problems, [{ code: 'label', service: 'other', message }])
  }
  t.same(render(copies({ 'constellation.something-else': 'x' })).problems, [])
  t.end()
})
