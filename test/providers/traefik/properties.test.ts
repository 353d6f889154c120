import fc from 'fast-check'
import t from 'tap'
import type { CatalogInstance } from '../../../discovery/catalog/types.ts'
import { type Contribution, contributionOf } from '../../../providers/traefik/instance.ts'
import { canonicalJson } from '../../../providers/traefik/json.ts'
import {
  type Rendered,
  type RenderOptions,
  type RenderVariant,
  renderContributions,
  renderTraefik,
} from '../../../providers/traefik/render.ts'
import { RenderCache } from '../../../providers/traefik/render-cache.ts'
import { decodeBody } from '../../../providers/traefik/strict-decoder.ts'
import { FakeCatalog, type InstanceSpec, instance } from './fixtures.ts'

const name = fc.constantFrom('web', 'api', '__proto__', 'W')
const target = fc.constantFrom('web', 'api', 'x@file', 'nobody')
const anyText = fc.string({ unit: 'binary', maxLength: 8 })

/** Paths of labels, `$` for a name, with values Traefik takes for them. */
const goodPaths: readonly (readonly [string, fc.Arbitrary<string>])[] = [
  ['http.routers.$.rule', fc.oneof(fc.constantFrom('Host(`x`)', 'Path(`/`)', ''), fc.string())],
  ['http.routers.$.middlewares', fc.constantFrom('web,api', 'a@file', '')],
  ['http.routers.$.service', target],
  ['http.routers.$.tls', fc.constantFrom('true', 'false', '')],
  ['http.routers.$.tls.certresolver', fc.constantFrom('le', '')],
  ['http.routers.$.priority', fc.constantFrom('1', '-5', '0')],
  ['http.services.$.loadbalancer.server.port', fc.constantFrom('80', '81')],
  ['http.services.$.loadbalancer.server.scheme', fc.constantFrom('http', 'h2c')],
  ['http.services.$.loadbalancer.sticky', fc.constantFrom('true', 'false')],
  ['http.services.$.loadbalancer.sticky.cookie', fc.constantFrom('true', '')],
  ['http.services.$.loadbalancer.healthcheck.interval', fc.constantFrom('10', '1m30s')],
  ['http.services.$.weighted.services[0].name', target],
  ['http.middlewares.$.compress', fc.constantFrom('true', 'false')],
  ['http.middlewares.$.headers.customrequestheaders.X-A', fc.string()],
  ['http.middlewares.$.chain.middlewares', fc.constantFrom('web', '')],
  ['http.serverstransports.$.insecureskipverify', fc.constantFrom('true', 'false')],
  ['tcp.routers.$.rule', fc.constantFrom('HostSNI(`*`)', '')],
  ['tcp.services.$.loadbalancer.server.port', fc.constantFrom('80', '81')],
  ['udp.routers.$.service', target],
  ['udp.services.$.loadbalancer.server.port', fc.constantFrom('53')],
]
const goodLabel = fc
  .tuple(name, fc.oneof(...goodPaths.map(([path, value]) => fc.tuple(fc.constant(path), value))))
  .map(([chosen, [path, value]]) => [`traefik.${path.replace('$', chosen)}`, value] as const)
const anyLabel = fc.tuple(
  fc.oneof(
    fc.constantFrom(
      'traefik.enable',
      'traefik.http',
      'traefik.tls.stores.x',
      'traefik.http.routers.a@b.rule',
    ),
    fc
      .tuple(name, fc.constantFrom(...goodPaths.map(([path]) => path)))
      .map(([chosen, path]) => `traefik.${path.replace('$', chosen)}`),
  ),
  anyText,
)
const labels = fc
  .oneof(
    { weight: 4, arbitrary: fc.array(goodLabel, { maxLength: 6 }) },
    { weight: 1, arbitrary: fc.array(fc.oneof(goodLabel, anyLabel), { maxLength: 4 }) },
  )
  .map((list) => Object.fromEntries(list))
const ownLabel: fc.Arbitrary<readonly [string, string]> = fc.oneof(
  fc.tuple(fc.constant('constellation.tier'), fc.constantFrom('0', '1', '7', 'priority')),
  fc.tuple(fc.constant('constellation.weight'), fc.constantFrom('0', '1', '5')),
  fc.tuple(fc.constant('constellation.canary'), fc.constantFrom('0', '10', '100')),
  fc.tuple(fc.constant('constellation.mirror'), fc.constantFrom('0', '20')),
  fc.tuple(
    fc.constantFrom('constellation.local-first', 'constellation.drain'),
    fc.constantFrom('true', 'false'),
  ),
  fc.tuple(fc.constant('constellation.failover'), fc.constantFrom('502-504')),
)
const ownLabels = fc.array(ownLabel, { maxLength: 3 }).map((list) => Object.fromEntries(list))
const spec: fc.Arbitrary<InstanceSpec> = fc.record({
  node: fc.constantFrom('n1', 'n2', 'n3'),
  id: fc.uuid(),
  service: fc.constantFrom('web', 'api', 'my.db', 'ünï', '--'),
  alive: fc.boolean(),
  nodeAddress: fc.constantFrom('10.0.0.1', '10.0.0.2', '10.0.0.3', 'fd00::1', 'host', 'not a host'),
  port: fc.constantFrom(0, 80, 8080),
  status: fc.constantFrom('passing' as const, 'warning' as const, 'critical' as const),
  labels,
  own: ownLabels,
})
const specs = fc.array(spec, { maxLength: 8 })
const release = fc.constantFrom('3.0', '3.3', '3.4', '3.5', '3.6', '3.7')
const variant = fc.record({
  local: fc.constantFrom('n1', 'n2'),
  priorities: fc.constantFrom(new Map(), new Map([['n2', 5]])),
})
const bodyOf = (
  list: readonly InstanceSpec[],
  options: Partial<RenderOptions> = {},
  poller: RenderVariant = {},
) =>
  renderTraefik(
    new FakeCatalog(list.map(instance)),
    { entryPoints: ['web'], domain: 'example.com', certResolver: 'le', ...options },
    poller,
  ).body

/** Paths of objects with nothing in them. */
function empties(node: unknown, path: string): string[] {
  if (typeof node !== 'object' || node === null) return []
  const below = Object.entries(node).flatMap(([key, child]) => empties(child, `${path}.${key}`))
  return !Array.isArray(node) && Object.keys(node).length === 0 ? [path, ...below] : below
}

t.test('every document is accepted by the strict decoder, not empty, and sorted', (t) => {
  fc.assert(
    fc.property(specs, release, variant, (list, release, poller) => {
      const body = bodyOf(list, { release }, poller)
      const { accepted, empty, errors } = decodeBody(body, { release })
      if (!accepted || empty) throw new Error(JSON.stringify(errors))
      const document = JSON.parse(body)
      const bad = empties(document, '').filter(
        (path) => !/\.(tls|sticky|cookie|compress|healthCheck)$/.test(path),
      )
      if (bad.length > 0) throw new Error(`empty objects: ${bad}`)
      const services: { loadBalancer?: { servers: { url: string }[] } }[] = Object.values(
        document.http.services ?? {},
      )
      for (const { loadBalancer } of services) {
        const urls = loadBalancer?.servers.map(({ url }) => url) ?? []
        if (String([...new Set(urls)].sort()) !== String(urls)) throw new Error(`servers not sorted: ${urls}`)
      }
      return canonicalJson(document) === body && !/[:,[]null/.test(body)
    }),
    { numRuns: 300 },
  )
  t.end()
})

t.test('the order of registration does not show', (t) => {
  const shuffled = specs.chain((list) =>
    fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length })),
  )
  fc.assert(
    fc.property(shuffled, ([list, other]) => bodyOf(list) === bodyOf(other)),
    { numRuns: 200 },
  )
  t.end()
})

t.test('an instance whose labels are refused changes no byte', (t) => {
  fc.assert(
    fc.property(specs, spec, (list, extra) => {
      const bad = {
        ...extra,
        labels: { ...extra.labels, 'traefik.enable': 'true', 'traefik.http.routers.x.nonsense': '1' },
      }
      return bodyOf([...list, bad]) === bodyOf(list)
    }),
    { numRuns: 300 },
  )
  t.end()
})

/** What may happen to a list of instances. The records of the others stay the objects they are. */
const change: fc.Arbitrary<(list: readonly CatalogInstance[]) => readonly CatalogInstance[]> = fc
  .record({
    type: fc.constantFrom('add', 'replace', 'status', 'death', 'same', 'remove', 'reverse'),
    at: fc.nat(9),
    spec,
  })
  .map(({ type, at, spec }) => (list) => {
    const place = at % Math.max(1, list.length)
    const old = list[place]
    if (type === 'add' || old === undefined) return [...list, instance(spec)]
    if (type === 'remove') return list.toSpliced(place, 1)
    if (type === 'reverse') return list.toReversed()
    if (type === 'replace') return list.with(place, instance(spec))
    if (type === 'death') return list.with(place, { ...old, node: { ...old.node, alive: !old.node.alive } })
    const status = old.status === 'critical' ? 'passing' : 'critical'
    return list.with(place, type === 'same' ? { ...old } : { ...old, status })
  })

t.test('a document made out of the one before is the one made from scratch, to the byte', (t) => {
  const settings = { entryPoints: ['web'], domain: 'example.com', release: '3.4' }
  const everything = ({ body, problems, counts, trace }: Rendered) =>
    `${body}\n${JSON.stringify([problems, counts, trace.quarantined])}\n${canonicalJson(trace.document)}`
  const steps = fc.array(fc.tuple(change, variant), { minLength: 1, maxLength: 10 })
  fc.assert(
    fc.property(specs, steps, (list, changes) => {
      const cache = new RenderCache()
      const read = new WeakMap<CatalogInstance, Contribution>()
      let instances: readonly CatalogInstance[] = list.map(instance)
      for (const [apply, poller] of changes) {
        instances = apply(instances)
        for (const each of instances) if (!read.has(each)) read.set(each, contributionOf(each, settings))
        const kept = instances.flatMap((each) => read.get(each) ?? [])
        const anew = instances.map((each) => contributionOf(each, settings))
        for (const each of [poller, {}]) {
          const after = everything(renderContributions(kept, settings, { ...each, cache }))
          const scratch = everything(renderContributions(anew, settings, each))
          if (after !== scratch) throw new Error(`${after}\n\nfrom scratch:\n${scratch}`)
        }
      }
    }),
    { numRuns: 150 },
  )
  t.end()
})
