import fc from 'fast-check'
import t from 'tap'
import { LabelError } from '../../../providers/traefik/errors.ts'
import { canonicalJson } from '../../../providers/traefik/json.ts'
import { parseLabels } from '../../../providers/traefik/labels.ts'
import { decodeDocument } from '../../../providers/traefik/strict-decoder.ts'

const parse = (labels: Record<string, string>, release?: string) =>
  JSON.parse(
    canonicalJson(parseLabels(new Map(Object.entries(labels)), release === undefined ? {} : { release })),
  )

t.test('what Traefik takes', (t) => {
  const cases: readonly [string, Record<string, string>, unknown][] = [
    [
      'a router, in any case, with lists and an escaped rule left alone',
      {
        'traefik.http.routers.Web.RULE': 'Host(`a.example`) && PathPrefix(`/$$`)',
        'Traefik.HTTP.routers.Web.entrypoints': 'web, websecure',
        'traefik.http.routers.Web.priority': '10',
      },
      {
        http: {
          routers: {
            Web: {
              rule: 'Host(`a.example`) && PathPrefix(`/$$`)',
              entryPoints: ['web', 'websecure'],
              priority: 10,
            },
          },
        },
      },
    ],
    ['tls=true', { 'traefik.http.routers.w.tls': 'true' }, { http: { routers: { w: { tls: {} } } } }],
    ['tls without a value', { 'traefik.http.routers.w.tls': '' }, { http: { routers: { w: { tls: {} } } } }],
    [
      'tls=false',
      { 'traefik.http.routers.w.tls': 'false', 'traefik.http.routers.w.rule': 'x' },
      { http: { routers: { w: { rule: 'x' } } } },
    ],
    [
      'tls with fields and indices',
      {
        'traefik.http.routers.w.tls': 'true',
        'traefik.http.routers.w.tls.certresolver': 'le',
        'traefik.http.routers.w.tls.domains[1].main': 'b.example',
        'traefik.http.routers.w.tls.domains[0].main': 'a.example',
        'traefik.http.routers.w.tls.domains[0].sans': 'x.a.example,y.a.example',
      },
      {
        http: {
          routers: {
            w: {
              tls: {
                certResolver: 'le',
                domains: [{ main: 'a.example', sans: ['x.a.example', 'y.a.example'] }, { main: 'b.example' }],
              },
            },
          },
        },
      },
    ],
    [
      'the single server',
      {
        'traefik.http.services.s.loadbalancer.server.port': '80',
        'traefik.http.services.s.loadbalancer.server.weight': '3',
      },
      { http: { services: { s: { loadBalancer: { servers: [{ port: '80', weight: 3 }] } } } } },
    ],
    [
      'servers by index',
      { 'traefik.http.services.s.loadbalancer.servers[0].url': 'http://h:1' },
      { http: { services: { s: { loadBalancer: { servers: [{ url: 'http://h:1' }] } } } } },
    ],
    [
      'durations and headers',
      {
        'traefik.http.services.s.loadbalancer.healthcheck.interval': '90',
        'traefik.http.services.s.loadbalancer.healthcheck.timeout': '1500ms',
        'traefik.http.services.s.loadbalancer.healthcheck.headers.X-Foo': 'a.b=c',
      },
      {
        http: {
          services: {
            s: {
              loadBalancer: {
                healthCheck: { interval: '1m30s', timeout: '1.5s', headers: { 'X-Foo': 'a.b=c' } },
              },
            },
          },
        },
      },
    ],
    [
      'sticky cookies',
      { 'traefik.http.services.s.loadbalancer.sticky.cookie': 'true' },
      { http: { services: { s: { loadBalancer: { sticky: { cookie: {} } } } } } },
    ],
    [
      'middlewares',
      {
        'traefik.http.middlewares.m.headers.customrequestheaders.X-A': '1',
        'traefik.http.middlewares.c.compress': 'true',
        'traefik.http.middlewares.p.plugin.my.list[0]': 'x',
        'traefik.http.middlewares.p.plugin.my.deep.Key': 'y',
      },
      {
        http: {
          middlewares: {
            m: { headers: { customRequestHeaders: { 'X-A': '1' } } },
            c: { compress: {} },
            p: { plugin: { my: { list: ['x'], deep: { Key: 'y' } } } },
          },
        },
      },
    ],
    [
      'an empty list is left out',
      { 'traefik.http.routers.w.middlewares': '', 'traefik.http.routers.w.rule': 'x' },
      { http: { routers: { w: { rule: 'x' } } } },
    ],
    [
      'TCP and UDP',
      {
        'traefik.tcp.routers.t.rule': 'HostSNI(`*`)',
        'traefik.tcp.routers.t.tls.passthrough': 'true',
        'traefik.udp.services.u.loadbalancer.server.port': '53',
      },
      {
        tcp: { routers: { t: { rule: 'HostSNI(`*`)', tls: { passthrough: true } } } },
        udp: { services: { u: { loadBalancer: { servers: [{ port: '53' }] } } } },
      },
    ],
    [
      'a weighted service',
      { 'traefik.http.services.s.weighted.services[0].name': 'a' },
      { http: { services: { s: { weighted: { services: [{ name: 'a' }] } } } } },
    ],
    ['other labels are not looked at', { 'traefik.enable': 'x', 'other.http.routers..': 'x' }, {}],
    [
      'a key that JavaScript knows',
      { 'traefik.http.routers.__proto__.rule': 'x' },
      JSON.parse('{"http":{"routers":{"__proto__":{"rule":"x"}}}}'),
    ],
  ]
  for (const [name, labels, expected] of cases) t.same(parse(labels), expected, name)
  t.end()
})

t.test('what it refuses, and what it says', (t) => {
  const cases: readonly [string, string, RegExp][] = [
    ['traefik.http.routers..rule', 'x', /empty part/],
    ['traefik.http.routers.w.', 'x', /empty part/],
    ['traefik.http.[0].x', 'x', /begins with "\["/],
    ['traefik.http.routers.w.rul', 'x', /no field "rul"; allowed are .*rule/],
    ['traefik.http.routrs.w.rule', 'x', /no field "routrs"; allowed are routers, services, middlewares/],
    ['traefik.http.services.s.loadbalancer.metadata.x', 'x', /allowed are server, strategy/],
    ['traefik.http.routers.w', 'x', /cannot stand alone/],
    ['traefik.http', 'x', /cannot stand alone/],
    ['traefik.http.services.s.loadbalancer', 'true', /cannot stand alone/],
    ['traefik.http.routers.w.priority', 'high', /a whole number/],
    ['traefik.http.routers.w.priority', '1.5', /a whole number/],
    ['traefik.http.routers.w.tls', 'yes', /true or false/],
    ['traefik.http.services.s.loadbalancer.passhostheader', 'yes', /true or false/],
    ['traefik.http.services.s.loadbalancer.healthcheck.interval', '1d', /a duration such as 10s/],
    ['traefik.http.services.s.loadbalancer.healthcheck.interval', '99999999999999', /a duration such as 10s/],
    ['traefik.http.routers.w.rule.x', 'x', /takes a value, not fields/],
    ['traefik.http.routers.w.tls.domains', 'a', /domains\[0\]/],
    ['traefik.http.routers.w.tls.domains.main', 'a', /domains\[0\]/],
    ['traefik.http.routers.w.middlewares', 'a║b', /║/],
    ['traefik.http.middlewares.m.headers.customrequestheaders', 'x', /cannot stand alone/],
    ['traefik.http.routers.w.rule', '\ud800', /valid Unicode/],
    [`traefik.http.routers.${'w'.repeat(1000)}.rule`, 'x', /longer than 1000/],
  ]
  for (const [label, value, message] of cases) {
    t.throws(
      () => parse({ [label]: value }),
      { name: 'LabelError', message },
      `${label.slice(0, 80)}=${value}`,
    )
  }
  t.throws(
    () =>
      parse({
        'traefik.http.services.s.loadbalancer.server.port': '1',
        'traefik.http.services.s.loadbalancer.servers[0].url': 'http://h',
      }),
    { message: /gives servers twice/ },
  )
  t.end()
})

t.test('any label gives a LabelError or something the decoder accepts but for servers', (t) => {
  const words = [
    'http',
    'tcp',
    'udp',
    'routers',
    'services',
    'middlewares',
    'w',
    'x@y',
    'rule',
    'tls',
    'loadbalancer',
    'server',
    'servers[0]',
    'url',
    'sticky',
    'cookie',
    'healthcheck',
    'interval',
    'compress',
    'headers',
    'plugin',
    '[0]',
    '',
    'toString',
  ]
  const label = fc
    .array(fc.constantFrom(...words), { minLength: 1, maxLength: 7 })
    .map((parts) => `traefik.${parts.join('.')}`)
  const value = fc.oneof(fc.constantFrom('', 'true', 'false', '10', '10s', 'a,b'), fc.string())
  fc.assert(
    fc.property(fc.dictionary(label, value, { maxKeys: 6 }), (labels) => {
      let config: ReturnType<typeof parseLabels>
      try {
        config = parseLabels(new Map(Object.entries(labels)))
      } catch (error) {
        return error instanceof LabelError
      }
      const { errors } = decodeDocument(JSON.parse(canonicalJson(config)))
      return errors.every((issue) => /^(port|scheme)$/.test(issue.path.at(-1) ?? ''))
    }),
    { numRuns: 500 },
  )
  t.end()
})

t.test('a field the release lacks is left out, the rest is read, and who asked is told', (t) => {
  const labels = new Map(
    Object.entries({
      'traefik.http.services.s.loadbalancer.strategy': 'p2c',
      'traefik.http.services.s.loadbalancer.passhostheader': 'false',
      'traefik.http.middlewares.m.ratelimit.redis.tls.ca': 'x',
      'traefik.http.middlewares.m.ratelimit.redis.db': '1',
    }),
  )
  const told: string[] = []
  const onTooNew = ({ label, since }: { label: string; since: string }) => told.push(`${label} ${since}`)
  t.equal(
    canonicalJson(parseLabels(labels, { release: '3.3', onTooNew })),
    '{"http":{"services":{"s":{"loadBalancer":{"passHostHeader":false}}}}}',
  )
  t.same(told, [
    'traefik.http.middlewares.m.ratelimit.redis.db 3.4',
    'traefik.http.middlewares.m.ratelimit.redis.tls.ca 3.4',
    'traefik.http.services.s.loadbalancer.strategy 3.4',
  ])
  t.match(canonicalJson(parseLabels(labels, { release: '3.4' })), /p2c.*|redis/)
  t.end()
})
