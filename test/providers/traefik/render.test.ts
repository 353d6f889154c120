import t from 'tap'
import { gate } from '../../../providers/traefik/gate.ts'
import type { JsonObject } from '../../../providers/traefik/json.ts'
import { canonicalJson } from '../../../providers/traefik/json.ts'
import { type RenderOptions, renderTraefik } from '../../../providers/traefik/render.ts'
import { FakeCatalog, type InstanceSpec, instance } from './fixtures.ts'

const SENTINEL = { 'constellation-noop': { headers: { customRequestHeaders: { 'X-Constellation': '1' } } } }

function render(specs: readonly InstanceSpec[], options: Partial<RenderOptions> = {}) {
  const rendered = renderTraefik(new FakeCatalog(specs.map(instance)), { entryPoints: [], ...options })
  return { ...rendered, document: JSON.parse(rendered.body) }
}

const rule = { 'traefik.http.routers.web.rule': 'Host(`web.example`)' }

t.test('nothing to serve gives the sentinel, byte for byte', (t) => {
  const expected =
    '{"http":{"middlewares":{"constellation-noop":{"headers":{"customRequestHeaders":{"X-Constellation":"1"}}}}}}'
  t.equal(render([]).body, expected)
  t.equal(render([{ service: 'plain' }]).body, expected)
  t.equal(render([{ labels: { ...rule, 'traefik.enable': 'false' } }]).body, expected)
  t.end()
})

t.test('an instance with a rule', (t) => {
  const { body, problems, counts } = render([{ labels: rule }])
  t.equal(
    body,
    '{"http":{"middlewares":{"constellation-noop":{"headers":{"customRequestHeaders":{"X-Constellation":"1"}}}},' +
      '"routers":{"web":{"rule":"Host(`web.example`)","service":"web"}},' +
      '"services":{"web":{"loadBalancer":{"servers":[{"url":"http://10.0.0.1:8080"}]}}}}}',
  )
  t.same(problems, [])
  t.same(counts, { routers: 1, services: 1, servers: 1 })
  t.end()
})

t.test('traefik.enable=true alone: router and rule from the name of the service', (t) => {
  const { document } = render([{ service: 'my_web.app', labels: { 'traefik.enable': 'true' } }])
  t.same(document.http.routers, { 'my-web-app': { rule: 'Host(`my-web-app`)', service: 'my-web-app' } })
  t.end()
})

t.test('labels in meta count, and a tag wins', (t) => {
  const { document } = render([
    {
      meta: { ...rule, 'traefik.http.routers.web.priority': '7' },
      labels: { 'traefik.http.routers.web.priority': '9' },
    },
  ])
  t.same(document.http.routers.web, { rule: 'Host(`web.example`)', service: 'web', priority: 9 })
  t.end()
})

t.test(
  'server address: own, else of the node; port label, scheme label, url label; IPv6 in brackets',
  (t) => {
    const server = (spec: InstanceSpec, key = '', value = '') =>
      render([
        {
          ...spec,
          labels: {
            ...rule,
            ...(key === '' ? {} : { [`traefik.http.services.web.loadbalancer.server.${key}`]: value }),
          },
        },
      ]).document.http.services.web.loadBalancer.servers[0].url
    t.equal(server({}), 'http://10.0.0.1:8080')
    t.equal(server({ address: '10.9.9.9' }), 'http://10.9.9.9:8080')
    t.equal(server({ address: 'web.internal' }), 'http://web.internal:8080')
    t.equal(server({ nodeAddress: 'fd00::1' }), 'http://[fd00::1]:8080')
    t.equal(server({}, 'port', '81'), 'http://10.0.0.1:81')
    t.equal(server({ port: 0 }, 'port', '81'), 'http://10.0.0.1:81')
    t.equal(server({}, 'scheme', 'h2c'), 'h2c://10.0.0.1:8080')
    t.equal(server({}, 'url', 'https://other.example/base'), 'https://other.example/base')
    t.end()
  },
)

t.test('same-named services share their servers, sorted and once each', (t) => {
  const { document, problems } = render([
    { node: 'n2', nodeAddress: '10.0.0.2', labels: rule },
    { node: 'n1', nodeAddress: '10.0.0.1', labels: rule },
    { node: 'n3', nodeAddress: '10.0.0.1', labels: rule },
  ])
  t.same(document.http.services.web.loadBalancer.servers, [
    { url: 'http://10.0.0.1:8080' },
    { url: 'http://10.0.0.2:8080' },
  ])
  t.same(problems, [])
  t.end()
})

t.test('only passing and warning instances are servers; the last one going leaves an empty list', (t) => {
  const specs = (a: 'passing' | 'warning' | 'critical'): InstanceSpec[] => [
    { node: 'n1', nodeAddress: '10.0.0.1', labels: rule, status: a },
    { node: 'n2', nodeAddress: '10.0.0.2', labels: rule, status: 'critical' },
  ]
  t.same(render(specs('warning')).document.http.services.web.loadBalancer.servers, [
    { url: 'http://10.0.0.1:8080' },
  ])
  const { document } = render(specs('critical'))
  t.same(document.http.services.web, { loadBalancer: { servers: [] } })
  t.same(document.http.routers.web, { rule: 'Host(`web.example`)', service: 'web' })
  t.end()
})

t.test('configured entry points are given to HTTP routers that name none', (t) => {
  const labels = {
    ...rule,
    'traefik.http.routers.own.rule': 'x',
    'traefik.http.routers.own.entrypoints': 'other',
  }
  const { document } = render([{ labels }], { entryPoints: ['web', 'websecure'] })
  t.same(document.http.routers.web.entryPoints, ['web', 'websecure'])
  t.same(document.http.routers.own.entryPoints, ['other'])
  t.end()
})

t.test('TCP and UDP', (t) => {
  const { document, problems } = render([
    {
      service: 'db',
      port: 5432,
      labels: {
        'traefik.tcp.routers.db.rule': 'HostSNI(`db.example`)',
        'traefik.tcp.routers.db.tls.passthrough': 'true',
        'traefik.udp.routers.log.entrypoints': 'syslog',
        'traefik.udp.services.log.loadbalancer.server.port': '514',
      },
    },
  ])
  t.same(document.tcp, {
    routers: { db: { rule: 'HostSNI(`db.example`)', service: 'db', tls: { passthrough: true } } },
    services: { db: { loadBalancer: { servers: [{ address: '10.0.0.1:5432' }] } } },
  })
  t.same(document.udp, {
    routers: { log: { entryPoints: ['syslog'], service: 'log' } },
    services: { log: { loadBalancer: { servers: [{ address: '10.0.0.1:514' }] } } },
  })
  t.same(document.http, { middlewares: SENTINEL })
  t.same(problems, [])
  t.end()
})

t.test('a mistake refuses the labels of that instance, says so, and harms no other', (t) => {
  const good: InstanceSpec = { node: 'n1', labels: rule }
  const alone = render([good])
  const bad: readonly [Record<string, string>, string, RegExp][] = [
    [
      { ...rule, 'traefik.http.routers.web.prio': '1' },
      'traefik.http.routers.web.prio',
      /allowed are .*priority/,
    ],
    [{ ...rule, 'traefik.enable': 'maybe' }, 'traefik.enable', /must be true or false/],
    [{ 'traefik.http.routers.a@b.rule': 'x' }, 'traefik.http.routers.a@b', /must not hold "@"/],
    [
      { 'traefik.http.middlewares.constellation-noop.compress': 'true' },
      'traefik.http.middlewares.constellation-noop',
      /choose another/,
    ],
    [
      { 'traefik.http.services.x.loadbalancer.server.port': 'http' },
      'traefik.http.services.x.loadbalancer.server.port',
      /1 to 65535/,
    ],
    [
      { 'traefik.http.services.x.loadbalancer.server.scheme': 'ftp' },
      'traefik.http.services.x.loadbalancer.server.scheme',
      /http, https, h2c/,
    ],
    [
      { 'traefik.http.services.x.loadbalancer.server.url': 'h:80' },
      'traefik.http.services.x.loadbalancer.server.url',
      /must be a URL/,
    ],
    [
      {
        'traefik.http.services.x.loadbalancer.server.url': 'http://h',
        'traefik.http.services.x.loadbalancer.server.port': '1',
      },
      'traefik.http.services.x.loadbalancer.server.url',
      /excludes server\.port/,
    ],
  ]
  for (const [labels, label, message] of bad) {
    const { body, problems } = render([{ node: 'n0', service: 'other', labels }, good])
    t.equal(body, alone.body, label)
    t.match(problems, [{ code: 'label', service: 'other', node: 'n0', label, message }])
    t.match(problems[0]?.message, /^service "other" on node "n0": traefik\..*None of its labels are used\.$/)
  }
  const { problems } = render([{ service: 'portless', port: 0, labels: { 'traefik.enable': 'true' } }, good])
  t.match(problems, [{ code: 'label', message: /server\.port is missing and the service has no port/ }])
  t.match(render([{ address: 'bad host', labels: rule }]).problems, [
    { code: 'label', message: /can be dialled, not "bad host"/ },
  ])
  t.end()
})

t.test('a router alone that leads elsewhere needs no port', (t) => {
  const labels = { ...rule, 'traefik.http.routers.web.service': 'api@internal' }
  const { document, problems } = render([{ port: 0, labels }])
  t.same(document.http.routers.web.service, 'api@internal')
  t.equal(document.http.services, undefined)
  t.same(problems, [])
  t.end()
})

t.test('routers that cannot be linked to one service are left out', (t) => {
  const services = {
    'traefik.http.services.a.loadbalancer.server.port': '1',
    'traefik.http.services.b.loadbalancer.server.port': '2',
  }
  const labels = {
    ...services,
    ...rule,
    'traefik.http.routers.ok.rule': 'x',
    'traefik.http.routers.ok.service': 'b',
  }
  const { document, problems } = render([{ labels }])
  t.same(Object.keys(document.http.routers), ['ok'])
  t.match(problems, [{ code: 'link', label: 'traefik.http.routers.web', message: /name one of a, b/ }])
  t.match(render([{ labels: services }]).problems, [{ code: 'link', label: 'traefik.http.routers' }])
  t.match(render([{ labels: { 'traefik.tcp.routers.t.service': 'web' } }]).problems, [
    { code: 'link', message: /needs a rule, such as HostSNI/ },
  ])
  t.end()
})

t.test('a conflict has the same winner whatever came first, and a problem', (t) => {
  const spec = (node: string, text: string, alive = true): InstanceSpec => ({
    node,
    alive,
    nodeAddress: `10.0.0.${node.slice(1)}`,
    status: alive ? 'passing' : 'critical',
    labels: {
      'traefik.http.routers.web.rule': text,
      'traefik.http.services.web.loadbalancer.passhostheader': text === 'B' ? 'false' : 'true',
    },
  })
  const both = [spec('n1', 'A'), spec('n2', 'B')]
  const { document, problems, body } = render(both)
  t.equal(render([...both].reverse()).body, body)
  t.equal(document.http.routers.web.rule, 'A')
  t.equal(document.http.services.web.loadBalancer.passHostHeader, true)
  t.same(document.http.services.web.loadBalancer.servers, [
    { url: 'http://10.0.0.1:8080' },
    { url: 'http://10.0.0.2:8080' },
  ])
  t.match(problems, [
    {
      code: 'conflict',
      node: 'n2',
      label: 'traefik.http.routers.web',
      message: /of "web" on node "n1", which is used/,
    },
    { code: 'conflict', node: 'n2', label: 'traefik.http.services.web' },
  ])
  t.equal(
    render([spec('n1', 'A', false), spec('n2', 'B')]).document.http.routers.web.rule,
    'B',
    'a failed node yields',
  )
  t.end()
})

t.test('a missing reference is a problem; the router stays for Traefik to show', (t) => {
  const labels = { ...rule, 'traefik.http.routers.web.middlewares': 'auth,compress@file' }
  const { document, problems } = render([{ labels }])
  t.same(document.http.routers.web.middlewares, ['auth', 'compress@file'])
  t.match(problems, [
    {
      code: 'reference',
      label: 'traefik.http.routers.web',
      message: /middlewares "auth", which nobody defines/,
    },
  ])
  const other = { service: 'auth', labels: { 'traefik.http.middlewares.auth.basicauth.users': 'u:h' } }
  t.same(render([{ labels }, other]).problems, [])
  t.match(render([{ labels: { ...rule, 'traefik.http.routers.web.service': 'constructor' } }]).problems, [
    { code: 'reference' },
  ])
  t.end()
})

t.test('labels without effect are reported and harm nothing', (t) => {
  const labels = {
    ...rule,
    'traefik.htpp.routers.x.rule': 'x',
    'traefik.tls.stores.default.defaultgeneratedcert.resolver': 'le',
    'traefik.docker.network': 'x',
  }
  const { body, problems } = render([{ labels }])
  t.equal(body, render([{ labels: rule }]).body)
  t.match(
    problems.map((p) => [p.code, p.label]),
    [
      ['unused', 'traefik.htpp.routers.x.rule'],
      ['unused', 'traefik.tls.stores.default.defaultgeneratedcert.resolver'],
    ],
  )
  t.end()
})

t.test('a release that lacks a field or a value gets no document with it, and everything else', (t) => {
  const strategy = (value: string) => ({ ...rule, 'traefik.http.services.web.loadbalancer.strategy': value })
  const old = render([{ labels: strategy('p2c') }], { release: '3.3' })
  t.match(old.problems, [
    {
      code: 'version',
      label: 'traefik.http.services.web.loadbalancer.strategy',
      message: /needs Traefik 3\.4, configured is 3\.3/,
    },
  ])
  t.equal(old.body, render([{ labels: rule }]).body)
  t.same(render([{ labels: strategy('p2c') }], { release: '3.4' }).problems, [])
  const between = render([{ labels: strategy('leasttime') }], { release: '3.5' })
  t.match(between.problems, [{ code: 'version', message: /leasttime needs Traefik 3\.6/ }])
  t.equal(between.body, old.body)
  t.match(render([{ labels: strategy('P2C') }]).problems, [
    { code: 'label', message: /must be one of wrr, p2c/ },
  ])
  t.end()
})

t.test('a name that JavaScript knows is a name like any other', (t) => {
  const { document } = render([{ labels: { 'traefik.http.routers.__proto__.rule': 'x' } }])
  t.ok(Object.hasOwn(document.http.routers, '__proto__'))
  t.end()
})

t.test('the gate takes out what would reject the document, and serves the rest', (t) => {
  const servers = { loadBalancer: { servers: [] } }
  const document: JsonObject = {
    http: {
      services: { good: servers, bad: { loadBalancer: {} }, worse: { nonsense: 1 } },
      routers: { r: { priority: 'x' } },
    },
    tcp: { services: {} },
  }
  const result = gate(document)
  t.equal(canonicalJson(result.document), '{"http":{"services":{"good":{"loadBalancer":{"servers":[]}}}}}')
  t.same(result.quarantined.map(({ key }) => key).sort(), [
    'http.routers.r',
    'http.services.bad',
    'http.services.worse',
  ])
  t.equal(canonicalJson(gate({ http: 1, bogus: 2, udp: { x: {} } }).document), '{"bogus":2}')
  t.end()
})

t.test('bytes a YAML reader would refuse are escaped', (t) => {
  t.equal(
    canonicalJson({ b: 'a\u007f\u0085\u2028\ufeffé😀', a: [true, 1] }),
    '{"a":[true,1],"b":"a\\u007f\\u0085\\u2028\\ufeffé😀"}',
  )
  t.end()
})
