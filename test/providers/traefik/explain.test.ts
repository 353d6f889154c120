import t from 'tap'
import { explainService } from '../../../providers/traefik/explain.ts'
import { renderTraefik } from '../../../providers/traefik/render.ts'
import { FakeCatalog, type InstanceSpec, instance } from './fixtures.ts'

const explain = (specs: readonly InstanceSpec[], service = 'web', release = '3.0') =>
  explainService(renderTraefik(new FakeCatalog(specs.map(instance)), { entryPoints: [], release }), service)

const rule = 'traefik.http.routers.web.rule'

t.test('for every label of every instance', (t) => {
  const [first, second] = explain([
    {
      node: 'n1',
      own: {
        'traefik.enable': 'true',
        [rule]: 'Host(`a`)',
        'traefik.http.services.web.loadbalancer.strategy': 'p2c',
        'traefik.http.middlewares.m.compress': 'true',
        'traefik.docker.network': 'x',
        'traefik.oops': 'x',
        'constellation.tier': '0',
        'constellation.dns': 'x',
      },
    },
    {
      node: 'n2',
      nodeAddress: '10.0.0.2',
      own: { [rule]: 'Host(`b`)', 'traefik.http.middlewares.m.compress': 'true' },
    },
  ])
  t.match(first, {
    service: 'web',
    node: 'n1',
    inDocument: true,
    why: null,
    servers: { 'http.services.web': ['http://10.0.0.1:8080'] },
    routers: ['http.routers.web'],
    labels: [
      { label: 'constellation.dns', fate: 'ignored' },
      { label: 'constellation.tier', fate: 'used' },
      { label: 'traefik.docker.network', fate: 'ignored' },
      { label: 'traefik.enable', fate: 'used' },
      { label: 'traefik.http.middlewares.m.compress', fate: 'used', why: null },
      { label: rule, fate: 'used', why: null },
      {
        label: 'traefik.http.services.web.loadbalancer.strategy',
        fate: 'left out',
        why: /needs Traefik 3\.4/,
      },
      { label: 'traefik.oops', fate: 'left out', why: /has no effect/ },
    ],
  })
  t.match(second, {
    node: 'n2',
    inDocument: true,
    servers: { 'http.services.web': ['http://10.0.0.2:8080'] },
    labels: [
      {
        label: 'traefik.http.middlewares.m.compress',
        fate: 'used',
        why: /"web" on node "n1", which says the same/,
      },
      { label: rule, fate: 'elsewhere', why: /differs from the one of "web" on node "n1"/ },
    ],
  })
  t.end()
})

t.test('why an instance is not there', (t) => {
  const own = { [rule]: 'x' }
  const why = (spec: InstanceSpec) => {
    const [found] = explain([{ own, ...spec }])
    if (found === undefined) throw new Error('not explained')
    t.notOk(found.inDocument)
    return found.why
  }
  t.match(why({ status: 'critical' }), /it is critical/)
  t.match(why({ status: 'critical', alive: false }), /its node has failed/)
  t.match(why({ status: 'critical', cordoned: true }), /its node is cordoned/)
  t.match(why({ own: { ...own, 'constellation.drain': 'true' } }), /constellation\.drain says so/)
  t.match(why({ own: { ...own, 'traefik.enable': 'false' } }), /not exposed/)
  t.match(why({ own: {} }), /not exposed/)
  t.match(why({ own: { ...own, 'traefik.http.routers.web.rul': 'x' } }), /refused: .*rul has no field/)
  t.match(
    why({ own: { 'traefik.http.routers.web.service': 'x@file', ...own }, port: 0 }),
    /declare no load balancer/,
  )
  const problem = 'it is published on 127.0.0.1 only'
  const endpoints = [
    { name: '80/tcp', protocol: 'tcp' as const, containerPort: 80, address: '', port: 0, problem },
  ]
  t.match(why({ endpoints }), /published on 127\.0\.0\.1 only/)

  const refused = explain([{ own: { ...own, 'traefik.http.routers.web.rul': 'x' } }])[0]?.labels
  t.match(refused, [
    { label: 'traefik.http.routers.web.rul', fate: 'left out', why: /no field "rul"/ },
    { label: rule, fate: 'left out', why: 'traefik.http.routers.web.rul has a mistake' },
  ])
  t.same(explain([{ own }], 'nobody'), [])
  t.end()
})
