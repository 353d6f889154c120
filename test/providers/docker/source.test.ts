import { setImmediate as turn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { CatalogError } from '../../../discovery/catalog/errors.ts'
import type { ServiceInstance } from '../../../discovery/catalog/types.ts'
import type { CheckDefinition } from '../../../discovery/health/types.ts'
import { DockerError } from '../../../providers/docker/errors.ts'
import { dockerReport } from '../../../providers/docker/report.ts'
import { DockerSource, forgetContainers } from '../../../providers/docker/source.ts'
import { FakeLocal, FakeTimers, memoryLog, service } from '../../discovery/health/fixtures.ts'
import { FakeEngine } from './fixtures.ts'

const PORTS = { '80/tcp': ['0.0.0.0:8080'] }

class FakeHealth {
  readonly running = new Map<string, CheckDefinition>()
  readonly puts: string[] = []
  readonly #local: FakeLocal

  constructor(local: FakeLocal) {
    this.#local = local
  }

  put(definition: CheckDefinition): void {
    this.puts.push(definition.id)
    this.running.set(definition.id, definition)
  }

  remove(id: string): boolean {
    this.#local.removeCheck(id)
    return this.running.delete(id)
  }

  definitions(): readonly CheckDefinition[] {
    return [...this.running.values()]
  }
}

async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await turn()
}

async function source(t: Test, engine = new FakeEngine(), local = new FakeLocal()) {
  const timers = new FakeTimers()
  const { log, lines } = memoryLog()
  const health = new FakeHealth(local)
  const made = new DockerSource(
    {
      node: 'n1',
      exposeByDefault: false,
      mayRestart: false,
      mayRunOnce: false,
      routableNetworks: [],
      address: null,
    },
    { engine, local, health, timers, random: () => 0.5, log },
  )
  t.teardown(() => made.stop())
  // Resolves without the clock: it waits for the first look and no longer.
  await made.start()
  return {
    engine,
    local,
    health,
    lines,
    source: made,
    timers,
    async pass(ms: number) {
      timers.advance(ms)
      await settle()
    },
    ids: () => [...local.services.keys()].sort(),
    check: (id: string) => {
      const { status, output } = local.checks.get(id) ?? {}
      return `${status}: ${output}`
    },
  }
}

t.test('containers are instances before start resolves', async (t) => {
  const engine = new FakeEngine()
  engine.put({ id: 'a', ports: PORTS }, null)
  engine.put({ id: 'b', name: 'db', labels: {} }, null)
  const { local, ids, check, source: made, timers } = await source(t, engine)
  t.same(ids(), ['web@n1'])
  t.match(local.services.get('web@n1'), { address: '127.0.0.1', port: 8080, source: { id: 'a' } })
  t.equal(check('docker:web@n1'), 'passing: running; it has no HEALTHCHECK')
  const report = dockerReport(made, { kind: 'unix', path: '/x.sock' }, timers.now(), () => ({
    holder: null,
    note: null,
  }))
  t.match(report, {
    engine: { address: '/x.sock', connected: true, product: 'docker', apiVersion: '1.44', error: null },
    containers: [
      { name: 'db', service: null, instance: null, status: null, reason: /does not say/ },
      {
        name: 'web',
        service: 'web',
        instance: 'web@n1',
        status: 'passing',
        output: 'running; it has no HEALTHCHECK',
        runOnce: null,
      },
    ],
  })
})

t.test('what has ended is not passing again because of news of another container', async (t) => {
  const { engine, pass, check } = await source(t)
  engine.put({ id: 'a', name: 'a', ports: PORTS })
  engine.put({ id: 'b', name: 'b', ports: PORTS })
  await pass(300)
  engine.tell('a', 'kill', '15')
  engine.put({ id: 'a', name: 'a', status: 'exited', exitCode: 143 }, 'die')
  engine.tell('b', 'kill', '15')
  t.equal(check('docker:a@n1'), 'critical: it is asked to end')
  await pass(300)
  t.match(check('docker:a@n1'), /^critical: it has ended/)
})

t.test('what happens to a container happens to its instance', async (t) => {
  const { engine, pass, ids, check, local } = await source(t)
  engine.put({ id: 'a', ports: PORTS, health: 'starting' })
  await pass(300)
  t.match(check('docker:web@n1'), /^critical: starting/)
  engine.put({ id: 'a', ports: PORTS, health: 'healthy' }, 'health_status')
  await pass(300)
  t.match(check('docker:web@n1'), /^passing: healthy/)
  engine.tell('a', 'kill', '15')
  t.equal(check('docker:web@n1'), 'critical: it is asked to end', 'before the program has ended')
  engine.put({ id: 'a', status: 'exited', exitCode: 143 }, 'die')
  await pass(300)
  t.match(check('docker:web@n1'), /^critical: it has ended with exit code 143/)
  t.match(local.services.get('web@n1'), { port: 8080 }, 'where it was is still known')
  engine.put({ id: 'a', name: 'shop', ports: PORTS }, 'rename')
  await pass(300)
  t.same(ids(), ['shop@n1'])
  engine.remove('a')
  await pass(300)
  t.same(ids(), [])
  t.equal(local.checks.size, 0)
})

t.test('several copies on one node have numbers, and keep them', async (t) => {
  const labels = { 'constellation.enable': 'true', 'constellation.service': 'web' }
  const { engine, pass, local } = await source(t)
  for (const id of ['c', 'a', 'b']) engine.put({ id, name: id, labels })
  await pass(300)
  const names = () => [...local.services.values()].map(({ id, source }) => `${id} ${source?.name}`).sort()
  t.same(names(), ['web@n1 a', 'web@n1#2 b', 'web@n1#3 c'])
  engine.remove('a')
  await pass(300)
  t.same(names(), ['web@n1#2 b', 'web@n1#3 c'])
  engine.remove('b')
  engine.put({ id: 'b2', name: 'b', labels })
  await pass(300)
  t.same(names(), ['web@n1#2 b', 'web@n1#3 c'], 'made anew under its name')
  engine.put({ id: 'd', name: 'd', labels })
  await pass(300)
  t.same(names(), ['web@n1 d', 'web@n1#2 b', 'web@n1#3 c'])
})

t.test('services that were registered otherwise are left alone', async (t) => {
  const local = new FakeLocal()
  local.putService({ ...service('web@n1'), name: 'mine' })
  const { engine, pass, ids } = await source(t, new FakeEngine(), local)
  engine.put({ id: 'a', ports: PORTS })
  await pass(300)
  t.same(ids(), ['web@n1', 'web@n1#2'])
  t.equal(local.services.get('web@n1')?.name, 'mine')
  engine.remove('a')
  await pass(300)
  t.same(ids(), ['web@n1'])
})

t.test('what another client removed is back with the next look', async (t) => {
  const engine = new FakeEngine()
  engine.put({ id: 'a', ports: PORTS }, null)
  const { local, pass, ids } = await source(t, engine)
  local.removeService('web@n1')
  await pass(66_000)
  t.same(ids(), ['web@n1'])
})

t.test('an engine that is away takes no service with it', async (t) => {
  const engine = new FakeEngine()
  engine.put({ id: 'a', ports: PORTS }, null)
  engine.put({ id: 'b', name: 'sick', ports: { '80/tcp': [':8081'] }, health: 'unhealthy' }, null)
  const { local, pass, ids, check, health } = await source(t, engine)
  engine.goDown(new DockerError('DKR_UNREACHABLE', 'gone'))
  await settle()
  t.match(check('docker:web@n1'), /^passing/, 'a restart of the engine is no news')
  await pass(5_000)
  t.same(ids(), ['sick@n1', 'web@n1'])
  t.match(check('docker:web@n1'), /^warning: the engine does not answer; before that: running/)
  t.match(check('docker:sick@n1'), /^critical: unhealthy/)
  t.match(health.definitions(), [{ id: 'docker-port:web@n1', kind: { address: '127.0.0.1:8080' } }])
  t.match(local.checks.get('docker-port:web@n1'), { status: 'passing', serviceId: 'web@n1' })
  engine.down = null
  await pass(30_000)
  t.match(check('docker:web@n1'), /^passing/)
  t.same(health.definitions(), [])
  t.notOk(local.checks.has('docker-port:web@n1'))
})

t.test('an engine that is away when the agent starts takes nothing with it either', async (t) => {
  const engine = new FakeEngine()
  engine.put({ id: 'a', ports: PORTS }, null)
  const first = await source(t, engine)
  await first.source.stop()
  engine.down = new DockerError('DKR_UNREACHABLE', 'gone')
  const { ids, pass, check } = await source(t, engine, first.local)
  await pass(5_000)
  t.same(ids(), ['web@n1'])
  t.match(check('docker:web@n1'), /^warning/)
})

t.test('a check of a label runs once, changes with the label and ends with the container', async (t) => {
  const labels = { 'constellation.enable': 'true', 'constellation.check.http': '/health' }
  const { engine, pass, health, local } = await source(t)
  engine.put({ id: 'a', ports: PORTS, labels })
  await pass(300)
  await pass(66_000)
  t.same(health.puts, ['docker-check:web@n1'])
  t.match(health.definitions(), [
    { kind: { url: 'http://127.0.0.1:8080/health', disableRedirects: true }, serviceId: 'web@n1' },
  ])
  t.equal(local.checks.get('docker-check:web@n1')?.status, 'critical', 'until it has run')
  engine.put({ id: 'a', ports: PORTS, labels: { ...labels, 'constellation.check.http': '/' } })
  await pass(300)
  t.match(health.definitions(), [{ kind: { url: 'http://127.0.0.1:8080/' } }])
  engine.put({ id: 'a', ports: PORTS, labels, status: 'exited', exitCode: 1 }, 'die')
  await pass(300)
  t.same(health.definitions(), [])
})

t.test('what the catalogue does not take is a problem of that container alone', async (t) => {
  class FullLocal extends FakeLocal {
    override putService(service: ServiceInstance): void {
      if (service.name === 'big') throw new CatalogError('CAT_TOO_LARGE', 'too large')
      super.putService(service)
    }
  }
  const { engine, pass, ids, source: made } = await source(t, new FakeEngine(), new FullLocal())
  engine.put({ id: 'a', name: 'big' })
  engine.put({ id: 'b', name: 'small' })
  await pass(300)
  t.same(ids(), ['small@n1'])
  t.match(made.fates(), [{ instance: null, problems: [{ code: 'refused', message: /too large/ }] }, {}])
})

t.test('an instance whose check does not fit is not there without it', async (t) => {
  class FullLocal extends FakeLocal {
    override putCheck(): void {
      throw new CatalogError('CAT_TOO_LARGE', 'too large')
    }
  }
  const { engine, pass, ids, source: made } = await source(t, new FakeEngine(), new FullLocal())
  engine.put({ id: 'a' })
  await pass(300)
  t.same(ids(), [])
  t.match(made.fates(), [{ instance: null, problems: [{ code: 'refused' }] }])
})

t.test('a problem is logged once', async (t) => {
  const { engine, pass, lines } = await source(t)
  engine.put({ id: 'a', labels: { 'constellation.enable': 'true', 'constellation.x': '1' } })
  await pass(300)
  await pass(66_000)
  t.equal(lines.filter((line) => line.includes('constellation.x')).length, 1)
})

t.test('without the source its instances go, and no others', async (t) => {
  const { engine, pass, local, health, ids, source: made } = await source(t)
  engine.put({ id: 'a' })
  await pass(300)
  await made.stop()
  local.putService(service('mine'))
  forgetContainers({ local, health })
  t.same(ids(), ['mine'])
})
