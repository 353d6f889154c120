import t from 'tap'
import { type Remembered, readRemembered } from '../../../providers/traefik/remembered.ts'
import { TraefikView, type TraefikViewOptions } from '../../../providers/traefik/view.ts'
import { memoryLog } from '../../discovery/health/fixtures.ts'
import { FakeCatalog, type InstanceSpec, instance } from './fixtures.ts'

const labels = { 'traefik.http.routers.web.rule': 'Host(`x`)' }
const OPTIONS: TraefikViewOptions = {
  render: { entryPoints: [] },
  guard: { percent: 50, holdMs: 60_000 },
  settleMs: 1000,
}

/** A view over these instances, and the clock it goes by. */
function setUp(specs: readonly InstanceSpec[], options: Partial<TraefikViewOptions> = {}) {
  const catalog = new FakeCatalog(specs.map(instance))
  const { log, lines } = memoryLog()
  const time = { at: 100_000 }
  const memory = { version: 1, remembered: new Map<string, Remembered>() }
  const clock = { now: () => time.at, wall: () => time.at }
  const priorities = new Map<string, number>()
  const view = new TraefikView(
    { ...OPTIONS, ...options },
    { catalog, log, clock, memory, priorities: () => priorities },
  )
  const set = (next: readonly InstanceSpec[]) => catalog.set(next.map(instance))
  const remember = (name: string, own: Record<string, string>, leaving = false, nodes = ['n1']) => {
    const text = JSON.stringify({ sets: [{ labels: own, nodes }] })
    const known = readRemembered(name, text)
    if (known === null) throw new Error(text)
    memory.remembered.set(name, { ...known, text, leaving })
    memory.version += 1
  }
  const services = () => JSON.parse(view.document().body).http.services
  return { catalog, view, time, lines, memory, priorities, set, remember, services }
}

t.test('renders once per change of the catalogue', (t) => {
  const { view, catalog, set, time } = setUp([{ labels }])
  const first = view.document()
  t.equal(view.document(), first)
  const { reads } = catalog
  view.document()
  view.current()
  t.equal(catalog.reads, reads)

  set([{ labels }, { service: 'unrelated' }])
  const second = view.document()
  t.ok(catalog.reads > reads)
  t.equal(second.body, first.body)
  t.equal(second.etag, first.etag)
  t.match(first.etag, /^"[\w-]{22}"$/)

  time.at += 5000
  set([{ labels, port: 81 }])
  t.not(view.document().etag, first.etag)
  t.end()
})

t.test('logs a problem when it appears, and not at every change', (t) => {
  const bad = { labels: { 'traefik.http.routers.web.rul': 'x' } }
  const { view, lines, set } = setUp([bad])
  t.match(view.document().problems, [{ code: 'label' }])
  set([bad])
  view.document()
  t.equal(lines.length, 1)
  t.match(JSON.parse(lines[0] ?? '{}'), { level: 40, service: 'web', msg: /no field "rul"/ })
  t.end()
})

t.test('other settings and other priorities of nodes make another document', (t) => {
  const copy = (node: string): InstanceSpec => ({
    node,
    nodeAddress: `10.0.0.${node.slice(1)}`,
    labels: { ...labels, 'constellation.local-first': 'true', 'constellation.tier': 'priority' },
  })
  const { view, time, priorities } = setUp([copy('n1'), copy('n2'), copy('n3')])
  const urls = (local?: string) =>
    JSON.parse(view.document(local).body).http.services.web.loadBalancer.servers.map(
      ({ url }: { url: string }) => url.slice(14, 15),
    )
  t.same(urls(), ['1', '2', '3'])
  t.same(urls('n2'), ['2'])
  t.same(urls('unknown'), ['1', '2', '3'])
  time.at += 2000
  priorities.set('n3', 7)
  t.same(urls(), ['3'])
  t.same(urls('n2'), ['2'])
  time.at += 2000
  view.configure({ ...OPTIONS, render: { entryPoints: ['websecure'] } })
  t.same(JSON.parse(view.document().body).http.routers.web.entryPoints, ['websecure'])
  t.end()
})

t.test(
  'of a burst of changes the first and the last are served, and what changes back changes no byte',
  (t) => {
    const { view, time, set } = setUp([{ labels, port: 1 }])
    const port = () => Number(/:(\d+)"/.exec(view.document().body)?.[1])
    t.equal(port(), 1)
    set([{ labels, port: 2 }])
    t.equal(port(), 2, 'at once')
    time.at += 400
    set([{ labels, port: 3 }])
    t.equal(port(), 2)
    set([{ labels, port: 4 }])
    t.equal(port(), 2)
    time.at += 500
    t.equal(port(), 2)
    t.equal(Number(/:(\d+)"/.exec(view.current().body)?.[1]), 4)
    time.at += 100
    t.equal(port(), 4)
    const { body } = view.document()
    set([{ labels, port: 5 }])
    t.equal(port(), 4)
    set([{ labels, port: 4 }])
    time.at += 5000
    t.equal(view.document().body, body)
    t.end()
  },
)

t.test('servers are taken away without waiting', (t) => {
  const copies: InstanceSpec[] = [1, 2, 3].map((i) => ({ node: `n${i}`, nodeAddress: `10.0.0.${i}`, labels }))
  const { set, services, time } = setUp(copies.slice(0, 2))
  const count = () => services().web.loadBalancer.servers.length
  count()
  set(copies)
  t.equal(count(), 3)
  set(copies.map((spec) => (spec.node === 'n1' ? { ...spec, status: 'critical' as const } : spec)))
  t.equal(count(), 2)
  set(copies)
  t.equal(count(), 2, 'what comes does')
  time.at += 1000
  t.equal(count(), 3)
  t.end()
})

t.test('a service without instances keeps its routers while it is remembered', (t) => {
  const { view, remember, memory, time, services } = setUp(
    [{ service: 'other', labels: { 'traefik.enable': 'true' } }],
    {
      render: { entryPoints: [], domain: 'example.com' },
    },
  )
  t.notOk(services().web)
  time.at += 2000
  remember('web', labels, false, ['n1', 'n2'])
  t.same(services().web, { loadBalancer: { servers: [] } })
  t.same(services()['web.on.n2'], { loadBalancer: { servers: [] } })
  const { routers } = JSON.parse(view.document().body).http
  t.same(routers['web.on.n2'], { rule: 'Host(`web.n2.example.com`)', service: 'web.on.n2' })
  t.same(view.document().problems, [])
  time.at += 2000
  memory.remembered.clear()
  memory.version += 1
  t.notOk(services().web)
  t.end()
})

t.test('what is remembered yields to what is there', (t) => {
  const { view, remember, services, time } = setUp([
    { service: 'web2', labels: { 'traefik.http.routers.web2.rule': 'Host(`x`)' } },
  ])
  services()
  time.at += 2000
  remember('web', { ...labels, 'traefik.http.routers.web.priority': '1000' })
  remember('web2', { 'traefik.http.routers.older.rule': 'Host(`y`)' })
  const { routers } = JSON.parse(view.document().body).http
  t.same(Object.keys(routers), ['web2'], 'its rule is in use, and a service with instances is as they say')
  t.end()
})

t.test('a mass disappearance is held back for a while, and then let through', (t) => {
  const specs = [1, 2, 3, 4].map(
    (i): InstanceSpec => ({
      service: `s${i}`,
      node: `n${i}`,
      labels: { [`traefik.http.routers.s${i}.rule`]: `Host(\`${i}\`)` },
    }),
  )
  const dead = (...which: number[]) =>
    specs.map((spec, at) =>
      which.includes(at + 1) ? { ...spec, status: 'critical' as const, alive: false } : spec,
    )
  const left = (all: Record<string, { loadBalancer: { servers: unknown[] } }>) =>
    Object.entries(all).flatMap(([name, { loadBalancer }]) => (loadBalancer.servers.length > 0 ? [name] : []))

  const { view, set, services, time, lines } = setUp(specs)
  t.same(left(services()), ['s1', 's2', 's3', 's4'])
  const { body } = view.document()
  set(dead(1, 2, 3))
  t.equal(view.document().body, body)
  t.same(view.document().held, ['http.services.s1', 'http.services.s2', 'http.services.s3'])
  t.match(JSON.parse(lines[0] ?? '{}'), { count: 3, msg: /held back/ })
  set(dead(1, 2, 3, 4))
  t.equal(view.document().body, body, 'more of them')
  time.at += 59_999
  t.equal(view.document().body, body)
  time.at += 10_001
  t.same(left(services()), [])
  t.same(view.document().held, [])

  const gone = setUp(specs)
  gone.services()
  gone.set([])
  t.same(left(gone.services()), ['s1', 's2', 's3', 's4'], 'also if nothing is left of them')
  gone.set(dead(1))
  t.same(left(gone.services()), ['s2', 's3', 's4'], 'they are back: the rest is as it is')
  t.end()
})

t.test('the guard holds nothing back that is wanted, or that is few', (t) => {
  const specs = [1, 2, 3, 4].map(
    (i): InstanceSpec => ({
      service: `s${i}`,
      node: 'n1',
      labels: { [`traefik.http.routers.s${i}.rule`]: 'x' },
    }),
  )
  const cordoned = setUp(specs)
  cordoned.services()
  cordoned.set(specs.map((spec) => ({ ...spec, cordoned: true, status: 'critical' })))
  t.same(cordoned.view.document().held, [])
  const two = setUp(specs.slice(0, 2))
  two.services()
  two.set([])
  t.same(two.view.document().held, [])
  const off = setUp(specs, { guard: { percent: 100, holdMs: 60_000 } })
  off.services()
  off.set([])
  t.same(off.view.document().held, [])
  t.end()
})

t.test('after a start, services that are remembered and not there are a reason for distrust', (t) => {
  const { view, remember } = setUp([{ service: 's1', labels }])
  for (const name of ['s1', 's2', 's3']) remember(name, labels)
  t.same(view.missing(), [], 'two of three are few')
  remember('s4', labels)
  t.same(view.missing(), ['s2', 's3', 's4'])
  for (const name of ['s2', 's3', 's4']) remember(name, labels, true)
  t.same(view.missing(), [], 'they were seen to go')
  t.end()
})

t.test('what is to be remembered is the same map while nothing has changed', (t) => {
  const { view, set } = setUp([
    { node: 'n2', labels },
    { node: 'n1', labels },
    { service: 'plain' },
    { service: 'bad', labels: { 'traefik.http.x': '' } },
  ])
  const first = view.toRemember()
  t.same([...first], [['web', JSON.stringify({ sets: [{ labels, nodes: ['n1', 'n2'] }] })]])
  t.equal(view.toRemember(), first)
  set([{ node: 'n1', labels }])
  t.not(view.toRemember(), first)
  t.end()
})

t.test(
  'what is remembered follows the lists of the catalogue, which are others when something has changed',
  (t) => {
    const { view, catalog, set } = setUp([{ labels }, { service: 'api', labels, node: 'n2' }])
    const lists = new Map<string, ReturnType<FakeCatalog['instances']>>()
    const fresh = catalog.instances.bind(catalog)
    catalog.instances = (name) => {
      const list = lists.get(name) ?? fresh(name)
      lists.set(name, list)
      return list
    }
    const before = view.toRemember()
    set([
      { labels, node: 'n3' },
      { service: 'api', labels, node: 'n2' },
    ])
    lists.delete('web')
    const after = view.toRemember()
    t.match(after.get('web'), /"nodes":\["n3"\]/)
    t.equal(after.get('api'), before.get('api'))
    view.configure({ ...OPTIONS, render: { entryPoints: ['web'] } })
    t.same([...view.toRemember()], [...after])
    set([{ service: 'api', labels, node: 'n2' }])
    lists.clear()
    t.same([...view.toRemember().keys()], ['api'])
    t.end()
  },
)
