import t from 'tap'
import { type RenderOptions, renderTraefik } from '../../../providers/traefik/render.ts'
import { withHost } from '../../../providers/traefik/rule.ts'
import { decodeBody } from '../../../providers/traefik/strict-decoder.ts'
import { FakeCatalog, type InstanceSpec, instance } from './fixtures.ts'

const domain = 'example.com'
const labelled = (labels: Record<string, string>) =>
  Object.fromEntries(Object.entries(labels).map(([key, value]) => [`traefik.http.routers.${key}`, value]))

function render(specs: readonly InstanceSpec[], options: Partial<RenderOptions> = {}) {
  const rendered = renderTraefik(new FakeCatalog(specs.map(instance)), {
    entryPoints: [],
    domain,
    ...options,
  })
  if (!decodeBody(rendered.body).accepted) throw new Error(rendered.body)
  return { ...rendered, document: JSON.parse(rendered.body) }
}

t.test('service.domain reaches every copy, service.node.domain that of one node', (t) => {
  const enable = { 'traefik.enable': 'true' }
  const specs: InstanceSpec[] = [
    { service: 'My_App', node: 'n1', nodeAddress: '10.0.0.1', own: enable },
    { service: 'My_App', node: 'n1', nodeAddress: '10.0.0.1', id: 'second', port: 81, own: enable },
    { service: 'My_App', node: 'N2', nodeAddress: '10.0.0.2', own: enable, status: 'critical' },
  ]
  const { document, problems } = render(specs, { entryPoints: ['websecure'], certResolver: 'le' })
  const common = { entryPoints: ['websecure'], tls: { certResolver: 'le' } }
  t.same(document.http.routers, {
    'My-App': { ...common, rule: 'Host(`my-app.example.com`)', service: 'My-App' },
    'My-App.on.N2': { ...common, rule: 'Host(`my-app.n2.example.com`)', service: 'My-App.on.N2' },
    'My-App.on.n1': { ...common, rule: 'Host(`my-app.n1.example.com`)', service: 'My-App.on.n1' },
  })
  t.same(document.http.services, {
    'My-App': { loadBalancer: { servers: [{ url: 'http://10.0.0.1:8080' }, { url: 'http://10.0.0.1:81' }] } },
    'My-App.on.N2': { loadBalancer: { servers: [] } },
    'My-App.on.n1': {
      loadBalancer: { servers: [{ url: 'http://10.0.0.1:8080' }, { url: 'http://10.0.0.1:81' }] },
    },
  })
  t.same(problems, [])
  t.same(Object.keys(render(specs, { nodeHosts: false }).document.http.routers), ['My-App'])
  t.same(render(specs, { domain: null }).document.http.routers['My-App'].rule, 'Host(`My-App`)')
  t.end()
})

t.test('what protects a router protects its counterpart', (t) => {
  const own = labelled({
    'web.rule': 'Host(`a.com`) || Host(`b.com`)',
    'admin.rule': 'Host(`a.com`) && PathPrefix(`/admin`) && !ClientIP(`1.2.3.4`)',
    'admin.middlewares': 'auth@file',
    'admin.priority': '99',
  })
  const { document } = render([{ own }])
  t.same(document.http.routers['web.on.n1'].rule, 'Host(`web.n1.example.com`) || Host(`web.n1.example.com`)')
  t.same(document.http.routers['admin.on.n1'], {
    rule: 'Host(`web.n1.example.com`) && PathPrefix(`/admin`) && !ClientIP(`1.2.3.4`)',
    middlewares: ['auth@file'],
    priority: 99,
    service: 'web.on.n1',
  })
  t.end()
})

t.test('where two would answer the same requests differently, there is neither', (t) => {
  const own = labelled({
    'open.rule': 'Host(`a.com`)',
    'closed.rule': 'Host(`b.com`)',
    'closed.middlewares': 'auth@file',
    'redirect.rule': 'Host(`a.com`)',
    'redirect.entrypoints': 'web',
    'redirect.tls': 'true',
  })
  const { document, problems } = render([{ own }])
  t.same(Object.keys(document.http.routers), ['closed', 'open', 'redirect', 'redirect.on.n1'])
  t.match(problems, [
    {
      code: 'link',
      label: 'traefik.http.routers.closed.on.n1',
      message: /answer the same requests differently/,
    },
    { code: 'link', label: 'traefik.http.routers.open.on.n1' },
  ])
  const excluded = render([{ own: labelled({ 'web.rule': '!Host(`a.com`)' }) }])
  t.same(Object.keys(excluded.document.http.routers), ['web'])
  t.match(excluded.problems, [{ code: 'link', message: /its rule excludes hosts/ }])
  t.end()
})

t.test('TCP: only with TLS and a name', (t) => {
  const tcp = (rule: string, tls: Record<string, string>): InstanceSpec => ({
    service: 'db',
    own: { 'traefik.tcp.routers.db.rule': rule, ...tls },
  })
  const passthrough = { 'traefik.tcp.routers.db.tls.passthrough': 'true' }
  const { document } = render([tcp('HostSNI(`db.a.com`)', passthrough)])
  t.same(document.tcp.routers['db.on.n1'], {
    rule: 'HostSNI(`db.n1.example.com`)',
    service: 'db.on.n1',
    tls: { passthrough: true },
  })
  t.same(Object.keys(render([tcp('HostSNI(`*`)', passthrough)]).document.tcp.routers), ['db'])
  t.same(Object.keys(render([tcp('HostSNI(`db.a.com`)', {})]).document.tcp.routers), ['db'])
  t.end()
})

t.test('hosts in rules', (t) => {
  const cases: readonly (readonly [string, string | null])[] = [
    ['Host(`a`)', 'Host(`x`)'],
    ['Host( `a`, `b` )&&Path(`/`)', 'Host(`x`)&&Path(`/`)'],
    ['HostRegexp(`^(a|b)\\.c$`)', 'Host(`x`)'],
    ['Path(`/Host(`) || Host("a\\")b")', 'Path(`/Host(`) || Host(`x`)'],
    ['PathPrefix(`/`) || Path(`/b`)', 'Host(`x`) && (PathPrefix(`/`) || Path(`/b`))'],
    ['Header(`Host`, `a`)', 'Host(`x`) && (Header(`Host`, `a`))'],
    ['', 'Host(`x`)'],
    ['!Host(`a`)', null],
    ['Path(`/`) && ! ( Host(`a`) )', null],
    ['Host(`a`', null],
    ['Host(Path(`a`))', null],
  ]
  for (const [rule, expected] of cases) t.equal(withHost(rule, 'Host', 'x'), expected, rule)
  t.equal(
    withHost('HostSNI(`a`) && ClientIP(`1.1.1.1`)', 'HostSNI', 'x'),
    'HostSNI(`x`) && ClientIP(`1.1.1.1`)',
  )
  t.end()
})

t.test(
  'TLS by the settings: where labels leave it and the entry points out, or ask for it without a resolver',
  (t) => {
    const tls = (labels: Record<string, string>) =>
      render([{ own: labelled({ 'web.rule': 'Host(`a`)', ...labels }) }], {
        domain: null,
        entryPoints: ['websecure'],
        certResolver: 'le',
      }).document.http.routers.web.tls
    t.same(tls({}), { certResolver: 'le' })
    t.equal(tls({ 'web.entrypoints': 'web' }), undefined)
    t.equal(tls({ 'web.tls': 'false' }), undefined)
    t.same(tls({ 'web.tls': 'true', 'web.entrypoints': 'other' }), { certResolver: 'le' })
    t.same(tls({ 'web.tls.options': 'strict' }), { certResolver: 'le', options: 'strict' })
    t.same(tls({ 'web.tls.certresolver': 'own' }), { certResolver: 'own' })
    t.end()
  },
)

t.test('two routers that ask for the same requests: the first is used, whatever came first', (t) => {
  const spec = (service: string, node: string, labels: Record<string, string> = {}): InstanceSpec => ({
    service,
    node,
    own: labelled({ [`${service}.rule`]: 'Host(`a`)', ...labels }),
  })
  const specs = [spec('zeta', 'n1'), spec('alpha', 'n2')]
  const { document, problems, body } = render(specs, { domain: null })
  t.same(Object.keys(document.http.routers), ['zeta'])
  t.match(problems, [
    {
      code: 'conflict',
      service: 'alpha',
      label: 'traefik.http.routers.alpha',
      message: /entry points of zeta, which is used/,
    },
  ])
  t.equal(render([...specs].reverse(), { domain: null }).body, body)
  for (const labels of [{ 'alpha.priority': '5' }, { 'alpha.tls': 'true' }]) {
    const both = render([spec('zeta', 'n1'), spec('alpha', 'n2', labels)], { domain: null })
    t.same(Object.keys(both.document.http.routers), ['alpha', 'zeta'], JSON.stringify(labels))
  }
  t.end()
})
