import t from 'tap'
import type { Endpoint } from '../../../discovery/catalog/types.ts'
import { renderTraefik } from '../../../providers/traefik/render.ts'
import { FakeCatalog, type InstanceSpec, instance } from './fixtures.ts'

const rule = { 'traefik.http.routers.web.rule': 'Host(`web.example`)' }
const published = (containerPort: number, port: number, protocol: 'tcp' | 'udp' = 'tcp'): Endpoint => ({
  name: `${containerPort}/${protocol}`,
  protocol,
  containerPort,
  address: '',
  port,
})

function urls(spec: InstanceSpec) {
  const { body, problems } = renderTraefik(new FakeCatalog([instance(spec)]), { entryPoints: [] })
  const balancer = JSON.parse(body).http.services.web.loadBalancer
  return { urls: balancer.servers.map(({ url }: { url: string }) => url), problems }
}

const port = (value: string) => ({
  own: { ...rule, 'traefik.http.services.web.loadbalancer.server.port': value },
})

t.test('the label names the port in the container, the server has that of the host', (t) => {
  const endpoints = [published(9000, 32_001), published(80, 32_000)]
  t.same(urls({ endpoints, ...port('9000') }).urls, ['http://10.0.0.1:32001'])
  t.same(urls({ endpoints, ...port('80') }).urls, ['http://10.0.0.1:32000'])
  t.same(urls({ endpoints, own: rule }).urls, ['http://10.0.0.1:32001'], 'else the first')
  t.same(urls({ endpoints, ...port('32001') }).urls, ['http://10.0.0.1:32001'], 'or one of the host')
  const both = [published(80, 8080), published(8080, 80)]
  t.same(urls({ endpoints: both, ...port('80') }).urls, ['http://10.0.0.1:8080'], 'the container goes first')
  t.end()
})

t.test('an endpoint has an address of its own, or that of the instance', (t) => {
  const endpoints = [{ ...published(80, 32_000), address: 'fd00::9' }]
  t.same(urls({ endpoints, ...port('80') }).urls, ['http://[fd00::9]:32000'])
  t.same(urls({ endpoints: [published(80, 1)], address: '10.9.9.9', ...port('80') }).urls, [
    'http://10.9.9.9:1',
  ])
  t.end()
})

t.test('what cannot be reached is no server, the router stays, and the reason is told', (t) => {
  const problem = 'it is published on 127.0.0.1 only'
  const endpoints = [{ ...published(80, 0), problem }, published(81, 8081)]
  const hidden = urls({ endpoints, ...port('80') })
  t.same(hidden.urls, [])
  t.match(hidden.problems, [
    {
      code: 'unreachable',
      label: 'traefik.http.services.web.loadbalancer',
      message: /port 80 cannot be reached: it is published on 127\.0\.0\.1 only/,
    },
  ])
  t.same(urls({ endpoints, own: rule }).urls, ['http://10.0.0.1:8081'], 'the only one that can')
  const several = [...endpoints, published(82, 8082)]
  t.same(urls({ endpoints: several, own: rule }).urls, [], 'of several, nobody said which')
  const unknown = urls({ endpoints, ...port('99') })
  t.same(unknown.urls, [])
  t.match(unknown.problems, [
    { code: 'unreachable', message: /has no port 99; its ports are 80, 81 \(8081 on its host\)/ },
  ])
  t.end()
})

t.test('UDP looks among UDP ports', (t) => {
  const own = {
    'traefik.udp.routers.dns.entrypoints': 'dns',
    'traefik.udp.services.dns.loadbalancer.server.port': '53',
  }
  const endpoints = [published(53, 1053), published(53, 2053, 'udp')]
  const { body } = renderTraefik(new FakeCatalog([instance({ own, endpoints })]), { entryPoints: [] })
  t.same(JSON.parse(body).udp.services.dns.loadBalancer.servers, [{ address: '10.0.0.1:2053' }])
  t.end()
})
