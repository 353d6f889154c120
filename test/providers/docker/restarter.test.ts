import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { allowedAt, DockerRestarter } from '../../../providers/docker/restarter.ts'
import type { ContainerFate } from '../../../providers/docker/source.ts'
import { translate } from '../../../providers/docker/translate.ts'
import { FakeTimers, memoryLog } from '../../discovery/health/fixtures.ts'
import { container, FakeEngine, type InspectionParts, OPTIONS } from './fixtures.ts'

const LABELS = { 'constellation.enable': 'true', 'constellation.restart': 'on-unhealthy' }
const SICK: InspectionParts = { id: 'a', health: 'unhealthy', labels: LABELS }

async function settle(): Promise<void> {
  for (let i = 0; i < 10; i++) await turn()
}

function fate(parts: InspectionParts, stopping = false): ContainerFate {
  const translation = translate(container(parts), { ...OPTIONS, mayRestart: true })
  return { translation, instance: `${translation.service?.name}@n1`, problems: [], stopping }
}

async function restarter(t: Test, options: { hostname?: string } = {}) {
  const timers = new FakeTimers()
  const engine = new FakeEngine()
  const state = {
    fates: [] as ContainerFate[],
    connected: true,
    refusal: null as string | null | Error,
    whileAsked: () => {},
  }
  let changed = () => {}
  const events: string[] = []
  const asked: string[] = []
  const made = new DockerRestarter(
    { hostname: options.hostname ?? 'host' },
    {
      source: {
        fates: () => state.fates,
        get standing() {
          return { connected: state.connected, info: null, error: null, sinceMs: 0 }
        },
        onChange: (listener) => {
          changed = listener
          return () => {}
        },
      },
      engine,
      brake: {
        ask: async (service) => {
          asked.push(service)
          state.whileAsked()
          if (state.refusal instanceof Error) throw state.refusal
          return state.refusal
        },
      },
      timers,
      log: memoryLog().log,
      metrics: { restarted: () => {} },
      onEvent: (event, data) =>
        events.push(`${event} ${data.container}: ${data.reason ?? `${data.attempt} of ${data.of}`}`),
    },
  )
  await made.start()
  t.teardown(() => made.stop())
  return {
    engine,
    state,
    events,
    asked,
    async show(...fates: ContainerFate[]) {
      state.fates = fates
      changed()
      await settle()
    },
    async pass(ms: number) {
      timers.advance(ms)
      await settle()
    },
  }
}

t.test('an unhealthy container that asks for it is restarted', async (t) => {
  const { show, engine, events, asked } = await restarter(t)
  await show(fate(SICK), fate({ id: 'b', name: 'b', health: 'unhealthy' }))
  t.same(engine.restarted, ['a'])
  t.same(asked, ['web'])
  t.same(events, ['container-restarted web: 1 of 3'])
})

t.test('what is not to be touched is not', async (t) => {
  const { show, engine, state, asked } = await restarter(t, { hostname: '0123456789ab' })
  await show(
    fate({ ...SICK, id: 'starting', health: 'starting' }),
    fate({ ...SICK, id: 'healthy', health: 'healthy' }),
    fate({ ...SICK, id: 'ended', status: 'exited', exitCode: 1 }),
    fate({ ...SICK, id: 'paused', status: 'paused' }),
    fate({ ...SICK, id: 'restarting', status: 'restarting' }),
    fate({ ...SICK, id: 'stopping' }, true),
    fate({ ...SICK, id: '0123456789abcdef' }),
  )
  state.connected = false
  await show(fate(SICK))
  t.same([engine.restarted, asked], [[], []])
})

t.test(
  'pauses grow, and after its budget a container is left alone until the window has passed',
  async (t) => {
    const { show, engine, events, pass } = await restarter(t)
    await show(fate(SICK))
    const at = async (ms: number, count: number, text: string) => {
      await pass(ms)
      t.equal(engine.restarted.length, count, text)
    }
    await at(39_999, 1, 'the first pause')
    await at(1, 2, 'forty seconds')
    await at(79_999, 2, 'the second pause')
    await at(1, 3, 'eighty seconds')
    await at(15 * 60_000 - 120_001, 3, 'the budget is used up')
    t.match(events.at(-1), /^container-restart-held web: it was restarted 3 times within 15m0s/)
    t.equal(events.length, 4, 'told once')
    await at(1, 4, 'the first one is as old as the window')
  },
)

t.test('the brake of the cluster holds it back, and is asked again', async (t) => {
  const { show, engine, events, state, pass } = await restarter(t)
  state.refusal = 'enough'
  await show(fate(SICK))
  await pass(10_000)
  t.same(events, ['container-restart-held web: enough'])
  state.refusal = new Error('no leader')
  await pass(10_000)
  t.match(events[1], /held web: the cluster cannot decide now: no leader/)
  t.same(engine.restarted, [])
  state.refusal = null
  await pass(10_000)
  t.same(engine.restarted, ['a'])
})

t.test('one that recovered while the cluster was asked is left alone', async (t) => {
  const { show, engine, state, asked } = await restarter(t)
  state.whileAsked = () => {
    state.fates = [fate({ ...SICK, health: 'healthy' })]
  }
  await show(fate(SICK))
  t.same(asked, ['web'])
  t.same(engine.restarted, [])
})

t.test('a restart the engine refuses counts, and is told', async (t) => {
  const { show, engine, events, pass } = await restarter(t)
  engine.down = new Error('not allowed')
  await show(fate(SICK))
  await pass(5_000)
  t.same(events, ['container-restart-failed web: not allowed'])
  t.equal(engine.calls.length, 1)
})

t.test('no history allows more restarts in a window than its budget', async () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 6 }),
      fc.integer({ min: 60_000, max: 900_000 }),
      fc.array(fc.nat(400_000), { maxLength: 40 }),
      (max, windowMs, waits) => {
        let times: number[] = []
        const all: number[] = []
        let now = 0
        for (const wait of waits) {
          now += wait
          const oldest = now - windowMs
          times = times.filter((time) => time > oldest)
          if (allowedAt(times, { max, windowMs }) > now) continue
          times.push(now)
          all.push(now)
        }
        return all.every(
          (time, i) =>
            all.filter((other) => other > time - windowMs && other <= time).length <= max &&
            (i === 0 || time - (all[i - 1] ?? 0) >= 40_000),
        )
      },
    ),
  )
})
