import fc from 'fast-check'
import t from 'tap'
import { TraefikView } from '../../../providers/traefik/view.ts'
import { memoryLog } from '../../discovery/health/fixtures.ts'
import { FakeCatalog, type InstanceSpec, instance } from './fixtures.ts'
import { type PollAnswer, SimulatedPoller } from './poller.ts'

const RELEASE = '3.2'
const NODES = ['n1', 'n2', 'n3']
const NAMES = ['a', 'b', 'c', 'd', 'e']
/** A minute and a half of waiting, then one more poll. */
const QUIET_MS = 100_000
const STEP_MS = 250

type Event =
  | { readonly kind: 'toggle' | 'remove' | 'add'; readonly which: number }
  | { readonly kind: 'node'; readonly node: number; readonly alive: boolean }
  | { readonly kind: 'label'; readonly which: number; readonly label: string; readonly value: string }
  | { readonly kind: 'agent'; readonly state: 'down' | 'starting' | 'up' }
  | { readonly kind: 'all gone' | 'all back' }
  | { readonly kind: 'wait'; readonly ms: number }

const which = fc.nat({ max: NODES.length * NAMES.length - 1 })
const event: fc.Arbitrary<Event> = fc.oneof(
  fc.record({ kind: fc.constantFrom('toggle' as const, 'remove' as const, 'add' as const), which }),
  fc.record({ kind: fc.constant('node' as const), node: fc.nat({ max: 2 }), alive: fc.boolean() }),
  fc.record({
    kind: fc.constant('label' as const),
    which,
    label: fc.constantFrom(
      'traefik.http.routers.a.rul',
      'traefik.http.services.a.loadbalancer.strategy',
      'traefik.http.routers.b.priority',
      'traefik.http.middlewares.c.ratelimit.redis.db',
      'constellation.tier',
      'constellation.canary',
      'constellation.weight',
    ),
    value: fc.constantFrom('1', 'p2c', 'x'),
  }),
  fc.record({
    kind: fc.constant('agent' as const),
    state: fc.constantFrom('down' as const, 'starting' as const, 'up' as const),
  }),
  fc.record({ kind: fc.constantFrom('all gone' as const, 'all back' as const) }),
  fc.record({ kind: fc.constant('wait' as const), ms: fc.constantFrom(500, 3000, 12_000, 70_000) }),
)

/** The agent's side: instances that change, and a view over them that a restart begins anew. */
class World {
  time = 1_000_000
  agent: 'down' | 'starting' | 'up' = 'up'
  readonly #specs: (InstanceSpec | null)[]
  readonly #alive = new Set(NODES)
  readonly #catalog: FakeCatalog
  #view: TraefikView

  constructor() {
    this.#specs = this.#initial()
    this.#catalog = new FakeCatalog(this.#instances())
    this.#view = this.#start()
  }

  #initial(): InstanceSpec[] {
    return NAMES.flatMap((service) =>
      NODES.map((node, at) => ({
        service,
        node,
        nodeAddress: `10.0.0.${at + 1}`,
        own: { [`traefik.http.routers.${service}.rule`]: `Host(\`${service}\`)` },
      })),
    )
  }

  #start(): TraefikView {
    const clock = { now: () => this.time, wall: () => this.time }
    return new TraefikView(
      {
        render: { entryPoints: ['web'], release: RELEASE, domain: 'example.com' },
        guard: { percent: 50, holdMs: 60_000 },
        settleMs: 1000,
      },
      { catalog: this.#catalog, log: memoryLog().log, clock },
    )
  }

  #instances() {
    return this.#specs.flatMap((spec) => {
      if (spec === null) return []
      const alive = this.#alive.has(spec.node ?? '')
      return [instance({ ...spec, alive, status: alive ? (spec.status ?? 'passing') : 'critical' })]
    })
  }

  apply(event: Exclude<Event, { kind: 'wait' }>): void {
    switch (event.kind) {
      case 'toggle': {
        const spec = this.#specs[event.which]
        const status = spec?.status === 'critical' ? 'passing' : 'critical'
        if (spec) this.#specs[event.which] = { ...spec, status }
        break
      }
      case 'remove':
        this.#specs[event.which] = null
        break
      case 'add':
        this.#specs[event.which] = this.#initial()[event.which] ?? null
        break
      case 'node':
        if (event.alive) this.#alive.add(NODES[event.node] ?? '')
        else this.#alive.delete(NODES[event.node] ?? '')
        break
      case 'label': {
        const spec = this.#specs[event.which]
        if (spec) this.#specs[event.which] = { ...spec, own: { ...spec.own, [event.label]: event.value } }
        break
      }
      case 'agent':
        if (this.agent !== 'up' && event.state === 'up') this.#view = this.#start()
        this.agent = event.state
        break
      case 'all gone':
        this.#specs.fill(null)
        break
      case 'all back':
        this.#specs.splice(0, this.#specs.length, ...this.#initial())
        break
    }
    this.#catalog.set(this.#instances())
  }

  answer(): PollAnswer {
    if (this.agent === 'down') return 'down'
    if (this.agent === 'starting') return { status: 503, body: '{"error":{}}' }
    return { status: 200, body: this.#view.document().body }
  }

  /** What the document is when nothing is waited for any more. */
  final(): string {
    return this.#start().document().body
  }

  run(ms: number, poller: SimulatedPoller): void {
    for (const end = this.time + ms; this.time < end; this.time += STEP_MS) {
      if (this.time >= poller.next) poller.poll(this.time, this.answer())
    }
  }
}

function play(events: readonly Event[], seed: number) {
  let state = seed
  const random = () => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31
    return state / 2 ** 31
  }
  const poller = new SimulatedPoller(RELEASE, random)
  const world = new World()
  world.run(10_000, poller)
  for (const event of events) {
    if (event.kind === 'wait') world.run(event.ms, poller)
    else world.apply(event)
  }
  world.apply({ kind: 'agent', state: 'up' })
  world.run(QUIET_MS, poller)
  return { poller, world }
}

t.test('no sequence of events leaves Traefik with a stale or an empty configuration', (t) => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 25 }), fc.nat(), (events, seed) => {
      const { poller, world } = play(events, seed)
      if (poller.refused.length > 0) throw new Error(`refused: ${poller.refused[0]}`)
      if (poller.emptied > 0) throw new Error('emptied')
      if (poller.applied !== world.final()) throw new Error(`stale: ${poller.applied}\nnot ${world.final()}`)
    }),
    { numRuns: 60 },
  )
  t.end()
})

t.test('a service that comes and goes within a second costs no reload', (t) => {
  const quiet = play([], 1).poller.reloads
  const toggle = { kind: 'toggle', which: 0 } as const
  const flap = Array.from({ length: 20 }, () => toggle)
  t.equal(play(flap, 1).poller.reloads, quiet)
  t.end()
})

t.test('the poller is one that would notice', (t) => {
  const poller = new SimulatedPoller('3.0', () => 0.5)
  const good = '{"http":{"middlewares":{"m":{"compress":{}}}}}'
  poller.poll(0, { status: 200, body: good })
  t.match([poller.applied, poller.next], [good, 5000])
  const bad = '{"http":{}}'
  poller.poll(5000, { status: 200, body: bad })
  t.same([poller.applied, poller.refused], [good, [bad]])
  poller.poll(5500, { status: 200, body: bad })
  t.same(poller.refused, [bad], 'the same bytes are not looked at again')
  for (const status of [204, 304, 404, 503]) {
    poller.poll(6000, { status, body: '' })
    t.equal(poller.applied, good, `${status}`)
  }
  for (let i = 0; i < 40; i += 1) poller.poll(7000, 'down')
  t.equal(poller.next, 67_000, 'at most a minute')
  poller.poll(67_000, { status: 200, body: '{}' })
  t.equal(poller.emptied, 1)
  t.end()
})
