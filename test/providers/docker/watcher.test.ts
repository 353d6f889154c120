import { setImmediate as turn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { DockerError } from '../../../providers/docker/errors.ts'
import { DockerMetrics } from '../../../providers/docker/metrics.ts'
import { DockerWatcher } from '../../../providers/docker/watcher.ts'
import { FakeTimers, memoryLog } from '../../discovery/health/fixtures.ts'
import { FakeEngine } from './fixtures.ts'

const GONE = new DockerError('DKR_STREAM_ENDED', 'gone')

/** Lets everything run that is due now. */
async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await turn()
}

async function watching(t: Test, engine = new FakeEngine(), options = {}) {
  const timers = new FakeTimers()
  const { log, lines } = memoryLog()
  let changes = 0
  const none = () => 0
  const metrics = new DockerMetrics(undefined, {
    connected: () => false,
    containers: none,
    instances: none,
    problems: none,
  })
  const watcher = new DockerWatcher(options, {
    engine,
    timers,
    random: () => 0.5,
    log,
    metrics,
    onChange: () => {
      changes += 1
    },
  })
  await watcher.start()
  t.teardown(() => watcher.stop())
  await settle()
  return {
    engine,
    timers,
    watcher,
    lines,
    changes: () => changes,
    async pass(ms: number) {
      timers.advance(ms)
      await settle()
    },
    names: () => [...watcher.containers.values()].map(({ name }) => name).sort(),
  }
}

t.test('listens before it looks, so that what happens in between is not lost', async (t) => {
  const engine = new FakeEngine()
  engine.put({ id: 'a', name: 'a' }, null)
  engine.whileListing = () => {
    engine.put({ id: 'b', name: 'b' })
    engine.whileListing = () => {}
  }
  const { pass, names, watcher } = await watching(t, engine)
  t.same(engine.calls.slice(0, 3), ['connect', 'events', 'list'])
  t.ok(watcher.standing.connected)
  t.same(names(), ['a'])
  await pass(300)
  t.same(names(), ['a', 'b'])
})

t.test('looks only at the container an event is about, when nothing more is heard of it', async (t) => {
  const { engine, pass, changes } = await watching(t)
  engine.put({ id: 'a' })
  engine.tell('b', 'create')
  await pass(200)
  engine.tell('a', 'rename')
  await pass(100)
  engine.calls.length = 0
  const before = changes()
  await pass(200)
  t.same(engine.calls, ['inspect a'])
  t.equal(changes(), before + 1)
})

t.test('a container that is never quiet is looked at all the same', async (t) => {
  const { engine, pass } = await watching(t)
  engine.put({ id: 'a' })
  engine.calls.length = 0
  for (let ms = 0; ms < 2000; ms += 200) {
    t.same(engine.calls, [], `after ${ms} ms`)
    engine.tell('a', 'rename')
    await pass(200)
  }
  t.same(engine.calls, ['inspect a'])
})

t.test('what decides whether a container gets traffic is looked at without delay', async (t) => {
  const { engine, pass, watcher } = await watching(t)
  engine.put({ id: 'a', health: 'healthy' })
  await pass(300)
  engine.put({ id: 'a', health: 'unhealthy' }, 'health_status')
  await pass(0)
  t.equal(watcher.containers.get('a')?.health?.status, 'unhealthy')
  engine.put({ id: 'a', status: 'exited', exitCode: 137 }, 'die')
  engine.tell('a', 'stop')
  await pass(0)
  t.equal(watcher.containers.get('a')?.state, 'exited')
})

t.test('a container that starts is looked at when it has not ended at once', async (t) => {
  const { engine, pass, names } = await watching(t)
  engine.put({ id: 'a' })
  await pass(200)
  t.same(names(), [])
  await pass(100)
  t.same(names(), ['web'])
})

t.test('a container that is gone by the time it is looked at is forgotten', async (t) => {
  const { engine, pass, names } = await watching(t)
  engine.put({ id: 'a' })
  await pass(300)
  t.same(names(), ['web'])
  engine.remove('a')
  await pass(300)
  t.same(names(), [])
})

t.test('what no event told of is found within a minute', async (t) => {
  const { engine, pass, names } = await watching(t)
  engine.put({ id: 'a', name: 'quiet' }, null)
  await pass(59_000)
  t.same(names(), [])
  await pass(1_500)
  t.same(names(), ['quiet'])
})

t.test('a HEALTHCHECK Podman tells of is looked at twice: it tells too early', async (t) => {
  const engine = new FakeEngine()
  engine.product = 'podman'
  engine.put({ id: 'a', health: 'starting' }, null)
  const { pass, watcher } = await watching(t, engine)
  engine.tell('a', 'health_status')
  await pass(300)
  t.equal(watcher.containers.get('a')?.health?.status, 'starting')
  engine.put({ id: 'a', health: 'healthy' }, null)
  await pass(1_000)
  t.equal(watcher.containers.get('a')?.health?.status, 'healthy')
})

t.test('keeps what it knows while the engine is away, and looks at everything when it is back', async (t) => {
  const { engine, pass, watcher, names, lines } = await watching(t)
  engine.put({ id: 'a', name: 'a' })
  await pass(300)
  engine.goDown(GONE)
  await settle()
  t.match(watcher.standing, { connected: false, error: { code: 'DKR_STREAM_ENDED' } })
  t.same(names(), ['a'])
  engine.containers.clear()
  engine.put({ id: 'b', name: 'b' }, null)
  await pass(10_000)
  t.same(names(), ['a'])
  engine.down = null
  await pass(30_000)
  t.ok(watcher.standing.connected)
  t.same(names(), ['b'])
  t.equal(lines.filter((line) => line.includes('"level":40')).length, 1, 'one warning for one outage')
})

t.test('asks an engine that is away ever more rarely', async (t) => {
  const engine = new FakeEngine()
  engine.down = new DockerError('DKR_UNREACHABLE', 'no')
  const { timers } = await watching(t, engine)
  const pauses: number[] = []
  for (let i = 0; i < 9; i++) {
    const [pause = 0] = timers.pending()
    pauses.push(pause)
    timers.advance(pause)
    await settle()
  }
  t.same(pauses, [250, 500, 1000, 2000, 2500, 2500, 2500, 2500, 2500])
})

t.test('one container that cannot be inspected stops nothing', async (t) => {
  const engine = new FakeEngine()
  engine.put({ id: 'a', name: 'a' }, null)
  engine.put({ id: 'b', name: 'b' }, null)
  engine.stuck.add('a')
  const { watcher, names } = await watching(t, engine)
  t.ok(watcher.standing.connected)
  t.same(names(), ['b'])
})

t.test('what was heard of a container that could not be inspected is looked at once more', async (t) => {
  const engine = new FakeEngine()
  engine.put({ id: 'a' }, null)
  engine.put({ id: 'b' }, null)
  const { watcher, pass } = await watching(t, engine)
  const end = () => {
    engine.stuck.add('a')
    engine.put({ id: 'a', status: 'exited' }, 'die')
    engine.put({ id: 'b', status: 'exited' }, 'die')
  }
  end()
  await pass(0)
  t.equal(watcher.containers.get('a')?.state, 'running')
  engine.stuck.clear()
  await pass(1_000)
  t.equal(watcher.containers.get('a')?.state, 'exited')
  engine.put({ id: 'a' }, null)
  engine.put({ id: 'b' }, null)
  await pass(60_000)
  t.equal(watcher.containers.get('a')?.state, 'running')
  end()
  await pass(0)
  engine.calls.length = 0
  await pass(30_000)
  t.same(engine.calls, ['inspect a'], 'then with all the others')
  t.ok(watcher.standing.connected)
})

t.test('what was heard before a look at everything that failed for it is not forgotten', async (t) => {
  const engine = new FakeEngine()
  engine.put({ id: 'a' }, null)
  engine.put({ id: 'b' }, null)
  const { watcher, pass } = await watching(t, engine)
  engine.stuck.add('a')
  await pass(59_900)
  engine.put({ id: 'a', status: 'paused' }, 'pause')
  await pass(100)
  engine.stuck.clear()
  await pass(1_000)
  t.equal(watcher.containers.get('a')?.state, 'paused')
})

t.test('knows which containers are asked to end, until they end or do not', async (t) => {
  const { engine, pass, watcher, changes } = await watching(t)
  engine.put({ id: 'a' })
  await pass(300)
  engine.tell('a', 'kill', '10')
  t.notOk(watcher.isStopping('a'), 'SIGUSR1 asks for something else')
  const before = changes()
  engine.tell('a', 'kill', '15')
  t.ok(watcher.isStopping('a'))
  t.equal(changes(), before + 1, 'told at once')
  engine.put({ id: 'a', status: 'exited' }, 'die')
  t.ok(watcher.isStopping('a'), 'the picture is still that of before')
  await pass(0)
  t.notOk(watcher.isStopping('a'))
  engine.put({ id: 'a' }, 'start')
  await pass(300)
  engine.tell('a', 'kill', 'SIGTERM')
  await pass(14_000)
  t.ok(watcher.isStopping('a'))
  await pass(1_000)
  t.notOk(watcher.isStopping('a'))
})

t.test('a storm of events becomes one look at everything', async (t) => {
  const { engine, pass } = await watching(t)
  engine.calls.length = 0
  for (let i = 0; i < 600; i++) engine.tell(`c${i}`, 'start')
  await pass(0)
  t.equal(engine.calls[0], 'list')
  t.ok(engine.calls.length < 5, `${engine.calls.length} calls`)
})
