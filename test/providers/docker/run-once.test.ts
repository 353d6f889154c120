import { setImmediate as turn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { DockerError } from '../../../providers/docker/errors.ts'
import { DockerRunOnce, fencedGrace, type RunOnceLeases } from '../../../providers/docker/run-once.ts'
import { FakeTimers, memoryLog } from '../../discovery/health/fixtures.ts'
import { RunOnceHost } from './run-once-host.ts'

async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await turn()
}

/** Leases that a test hands out. */
class Leases implements RunOnceLeases {
  known = true
  readonly own = new Set<string>()
  readonly claimed: string[] = []
  readonly released: string[] = []
  holderElsewhere: string | null = null
  keep = true
  others = true
  #listener = () => {}

  claim(services: ReadonlySet<string>): void {
    const text = [...services].join()
    if (this.claimed.at(-1) !== text) this.claimed.push(text)
  }

  held(): readonly string[] {
    return [...this.own]
  }

  holder(service: string): string | null {
    return this.own.has(service) ? 'n1' : this.holderElsewhere
  }

  mayKeep(): boolean {
    return this.keep
  }

  othersCan(): boolean {
    return this.others
  }

  release(service: string): void {
    this.own.delete(service)
    this.released.push(service)
  }

  onChange(listener: () => void): () => void {
    this.#listener = listener
    return () => {}
  }

  tell(): void {
    this.#listener()
  }
}

async function runner(
  t: Test,
  prepare: (host: RunOnceHost, leases: Leases) => void = () => {},
  hostname = 'host',
) {
  const host = new RunOnceHost()
  const leases = new Leases()
  const timers = new FakeTimers()
  const events: string[] = []
  prepare(host, leases)
  const made = new DockerRunOnce(
    { hostname },
    {
      source: host.source,
      engine: host,
      leases,
      timers,
      log: memoryLog().log,
      metrics: { ranOnce: () => {} },
      onEvent: (event, { container: name, reason }) => events.push(`${event} ${name ?? 'all'}: ${reason}`),
    },
  )
  await made.start()
  await settle()
  t.teardown(async () => {
    const stopped = made.stop()
    timers.advance(6_000)
    await settle()
    timers.advance(1_000)
    await stopped
  })
  return {
    host,
    leases,
    timers,
    events,
    made,
    /** The lease comes or goes. */
    async lease(isOurs: boolean) {
      if (isOurs) leases.own.add('job')
      else leases.own.delete('job')
      leases.tell()
      await settle()
    },
    async pass(ms: number) {
      timers.advance(ms)
      await settle()
    },
  }
}

t.test('nothing is started before the lease is held, and once when it is', async (t) => {
  const { host, leases, lease, events, pass, made } = await runner(t, (host) => host.put({ id: 'a' }))
  await pass(60_000)
  t.same(host.calls, [])
  t.same(leases.claimed, ['job'], 'but it says that it could')
  t.match(made.note('job'), /^stands by: nobody/)
  await lease(true)
  await pass(60_000)
  t.same(host.calls, ['start a'])
  t.same(events, ['run-once-started a: started, as this node holds the lease'])
  t.match(made.note('job'), /holds the lease$/)
})

t.test('a start that is not seen yet is not made again, and a stop neither', async (t) => {
  const { host, lease, pass } = await runner(t, (host) => host.put({ id: 'a' }))
  host.isBlind = true
  await lease(true)
  await pass(4_000)
  t.same(host.calls, ['start a'])
  host.isBlind = false
  host.look()
  await pass(60_000)
  t.same(host.calls, ['start a'])
  host.isBlind = true
  await lease(false)
  await pass(60_000)
  t.same(host.calls, ['start a', 'stop a 10'])
})

t.test('what was started runs, however late that is seen', async (t) => {
  const { host, leases, lease, pass } = await runner(t, (host) => host.put({ id: 'a' }))
  host.isBlind = true
  await lease(true)
  await pass(60_000)
  t.same([host.calls, leases.released], [['start a'], []])
  await lease(false)
  t.same(host.calls, ['start a', 'stop a 10'], 'and is stopped without the lease')
  await lease(true)
  t.same(host.running(), ['a'])
  host.isBlind = false
  host.put({ id: 'a', status: 'exited' })
  await pass(5_000)
  t.same(leases.released, ['job'], 'what is seen after the start counts')
})

t.test(
  'a container the engine started is stopped without the lease, and taken as it is with it',
  async (t) => {
    const { host, lease } = await runner(t, (host) =>
      host.put({ id: 'a', status: 'running', policy: 'always' }),
    )
    await settle()
    t.same(host.calls, ['stop a 10'])
    await lease(true)
    t.same(host.calls, ['stop a 10', 'start a'])
    const other = await runner(t, (host, leases) => {
      leases.own.add('job')
      host.put({ id: 'a', status: 'running' })
    })
    t.same(other.host.calls, [])
  },
)

t.test('an agent that has just started waits until it knows, but not for long', async (t) => {
  const { host, leases, pass } = await runner(t, (host, leases) => {
    leases.known = false
    host.put({ id: 'a', status: 'running' })
  })
  await pass(9_999)
  t.same(host.calls, [])
  await pass(1)
  t.same(host.calls, ['stop a 10'])
  const second = await runner(t, (host, leases) => {
    leases.known = false
    host.put({ id: 'a', status: 'running' })
  })
  second.leases.known = true
  await second.lease(true)
  await second.pass(60_000)
  t.same(second.host.calls, [], 'the lease of the run before is its own')
  t.ok(leases.claimed.includes('job'))
})

t.test('when the lease cannot be confirmed the copy is stopped, with the time there is', async (t) => {
  const { host, lease, events } = await runner(t, (host, leases) => {
    leases.own.add('job')
    host.put({ id: 'a', status: 'running' })
  })
  await lease(false)
  t.same(host.calls, ['stop a 10'])
  t.same(host.running(), [])
  t.match(events, [/^run-once-stopped a: stopped, as nobody is known/])
  t.same([fencedGrace(null), fencedGrace(1), fencedGrace(60), fencedGrace(-1)], [10, 1, 10, 10])
})

t.test('a stop that takes its own time is made short when the lease goes', async (t) => {
  const { host, leases, lease } = await runner(t, (host, leases) => {
    leases.own.add('job')
    host.put({ id: 'a', status: 'running' })
  })
  host.hold = new Promise(() => {})
  leases.keep = false
  await lease(true)
  t.same(host.calls, ['stop a own'])
  t.same(leases.released, [], 'it is kept until the copy has ended')
  await lease(false)
  t.same(host.calls, ['stop a own', 'stop a 10'])
})

t.test('a cordon: stopped, given back, and not started again', async (t) => {
  const { host, leases, lease, pass } = await runner(t, (host, leases) => {
    leases.own.add('job')
    host.put({ id: 'a', status: 'running' })
  })
  leases.keep = false
  await lease(true)
  t.same(host.calls, ['stop a own'])
  t.same(leases.released, ['job'])
  await pass(60_000)
  t.equal(host.calls.length, 1)
})

t.test('a cordon that is lifted while the copy ends: it is started again at once', async (t) => {
  const { host, leases, lease } = await runner(t, (host, leases) => {
    leases.own.add('job')
    host.put({ id: 'a', status: 'running' })
  })
  const ended = Promise.withResolvers<void>()
  host.hold = ended.promise
  leases.keep = false
  await lease(true)
  leases.keep = true
  await lease(true)
  ended.resolve()
  await settle()
  t.same(host.calls, ['stop a own', 'start a'])
  t.same(leases.released, [])
})

t.test('a copy that ended is left to other hosts, for longer each time', async (t) => {
  const { host, leases, lease, pass, events } = await runner(t, (host, leases) => {
    leases.own.add('job')
    host.put({ id: 'a', status: 'running' })
  })
  host.put({ id: 'a', status: 'exited', exitCode: 1 })
  await pass(4_999)
  t.same(leases.released, [], 'it may be made anew')
  await pass(1)
  t.same(leases.released, ['job'])
  t.same(events, ['run-once-failed all: it has ended'])
  t.equal(leases.claimed.at(-1), '', 'it does not want it back at once')
  await pass(9_999)
  t.equal(leases.claimed.at(-1), '')
  await pass(1)
  t.equal(leases.claimed.at(-1), 'job')
  await lease(true)
  t.same(host.calls, ['start a'])
  host.put({ id: 'a', status: 'exited' })
  await pass(5_000)
  await pass(19_999)
  t.equal(leases.claimed.at(-1), '')
  await pass(1)
  t.equal(leases.claimed.at(-1), 'job')
})

t.test('a container that is made anew or started again at once has not failed', async (t) => {
  const { host, leases, pass } = await runner(t, (host, leases) => {
    leases.own.add('job')
    host.put({ id: 'a', status: 'running' })
  })
  host.remove('a')
  await pass(3_000)
  host.put({ id: 'b', status: 'running' })
  await pass(60_000)
  t.same([host.calls, leases.released], [[], []])
})

t.test('a start that the engine refuses gives the lease back', async (t) => {
  const { host, leases, lease, events, pass } = await runner(t, (host) => host.put({ id: 'a' }))
  host.startError = new Error('port is already allocated')
  await lease(true)
  t.same(leases.released, ['job'])
  t.same(events, ['run-once-failed all: a could not be started: port is already allocated'])
  host.startError = null
  await pass(10_000)
  await lease(true)
  t.same(host.running(), ['a'])
})

t.test('a start that may be made yet is stopped before the lease is given back', async (t) => {
  for (const code of ['DKR_TIMEOUT', 'DKR_UNREACHABLE'] as const) {
    const { host, leases, lease, pass, events } = await runner(t, (host) => host.put({ id: 'a' }))
    host.startError = new DockerError(code, 'it does not answer')
    host.stopError = new Error('not now')
    await lease(true)
    t.same([host.calls, leases.released], [['start a', 'stop a own'], []])
    host.put({ id: 'a', status: 'running' })
    await pass(999)
    t.same(leases.released, [], 'the engine has started it meanwhile')
    host.stopError = null
    await pass(1)
    t.same([host.running(), leases.released], [[], ['job']])
    t.equal(events.at(-1), 'run-once-failed all: a could not be started: it does not answer')
  }
})

t.test('a start that is cut short as the lease goes is undone', async (t) => {
  const { host, lease } = await runner(t, (host) => host.put({ id: 'a' }))
  host.hold = new Promise(() => {})
  await lease(true)
  await lease(false)
  t.same(host.calls, ['start a', 'stop a 10'])
})

t.test('the stop when the lease goes does not wait for earlier ones that failed', async (t) => {
  const { host, leases, lease, pass } = await runner(t, (host, leases) => {
    leases.own.add('job')
    host.put({ id: 'a', status: 'running' })
  })
  host.stopError = new Error('not now')
  leases.keep = false
  await lease(true)
  for (const ms of [1_000, 2_000, 4_000, 8_000, 16_000]) await pass(ms)
  host.calls.length = 0
  await lease(false)
  t.same(host.calls, ['stop a 10'])
  await pass(1_000)
  t.same(host.calls, ['stop a 10', 'stop a 10'], 'and is made again soon')
})

t.test('a stop that fails is made again, ever more rarely, and told once', async (t) => {
  const { host, lease, events, pass } = await runner(t, (host, leases) => {
    leases.own.add('job')
    host.put({ id: 'a', status: 'running' })
  })
  host.stopError = new Error('did not receive an exit event')
  await lease(false)
  const after: number[] = []
  for (const ms of [999, 1, 1_999, 1, 3_999, 1]) {
    await pass(ms)
    after.push(host.calls.length)
  }
  t.same(after, [1, 2, 2, 3, 3, 4])
  t.same(events, ['run-once-failed a: it could not be stopped: did not receive an exit event'])
  host.stopError = null
  await pass(30_000)
  t.same(host.running(), [])
})

t.test('of two containers on one host one runs', async (t) => {
  const { host, leases, lease } = await runner(t, (host) => {
    host.put({ id: 'b' })
    host.put({ id: 'a' })
  })
  await lease(true)
  t.same(host.running(), ['a'])
  host.put({ id: 'b', status: 'running' })
  await settle()
  t.same(host.running(), ['a'], 'the one that has the lease stays')
  t.same(leases.released, [])
})

t.test('an unhealthy copy moves, unless nobody else could run it', async (t) => {
  const { host, leases, pass } = await runner(t, (host, leases) => {
    leases.own.add('job')
    leases.others = false
    host.put({ id: 'a', status: 'running', health: 'unhealthy' })
  })
  await pass(60_000)
  t.same(host.calls, [])
  leases.others = true
  leases.tell()
  await settle()
  t.same(host.calls, ['stop a own'])
  t.same(leases.released, ['job'])
})

t.test('a copy the engine restarts again and again moves', async (t) => {
  const { host, pass } = await runner(t, (host, leases) => {
    leases.own.add('job')
    host.put({ id: 'a', status: 'restarting', restartCount: 2, policy: 'always' })
  })
  await pass(60_000)
  t.same(host.calls, [], 'what it does by itself is left to it')
  host.put({ id: 'a', status: 'restarting', restartCount: 3 })
  await settle()
  t.same(host.calls, ['stop a own'])
})

t.test('what ran well for ten minutes had not failed before', async (t) => {
  const { host, leases, lease, pass } = await runner(t, (host, leases) => {
    leases.own.add('job')
    host.put({ id: 'a', status: 'running' })
  })
  const fail = async () => {
    host.put({ id: 'a', status: 'exited' })
    await pass(5_000)
  }
  await fail()
  await pass(10_000)
  await lease(true)
  await pass(600_000)
  await fail()
  t.equal(leases.claimed.at(-1), '')
  await pass(10_000)
  t.equal(leases.claimed.at(-1), 'job', 'not twenty seconds')
})

t.test('while the engine is away nothing is given up', async (t) => {
  const { host, leases, pass } = await runner(t, (host, leases) => {
    leases.own.add('job')
    host.put({ id: 'a', status: 'running' })
  })
  host.connected = false
  leases.keep = false
  host.look()
  await pass(600_000)
  t.same([host.calls, leases.released], [[], []])
})

t.test('an agent that ends stops its copy and gives the lease back', async (t) => {
  const { host, leases, made } = await runner(t, (host, leases) => {
    leases.own.add('job')
    host.put({ id: 'a', status: 'running' })
  })
  await Promise.all([made.stop(), made.stop()])
  t.same(host.calls, ['stop a own'])
  t.same(leases.released, ['job'])
  t.equal(leases.claimed.at(-1), '')
})

t.test('an agent that ends does not wait for ever, and keeps the lease of what may still run', async (t) => {
  const { host, leases, made, timers } = await runner(t, (host, leases) => {
    leases.own.add('job')
    host.put({ id: 'a', status: 'running' })
  })
  host.hold = new Promise(() => {})
  const stopped = made.stop()
  await settle()
  timers.advance(5_999)
  await settle()
  t.same(host.calls, ['stop a own'])
  timers.advance(1)
  await settle()
  t.same(host.calls, ['stop a own', 'stop a 10'], 'it has ended before the lease is free')
  timers.advance(1_000)
  await stopped
  t.same(leases.released, [])
})

t.test('a lease of a run before is given back if its container is gone', async (t) => {
  const { leases, pass } = await runner(t, (_, leases) => leases.own.add('job'))
  await pass(0)
  t.same(leases.released, ['job'])
})

t.test('the container the agent itself runs in is never touched', async (t) => {
  const id = '0123456789abcdef'
  const { host, pass } = await runner(t, (host) => host.put({ id, status: 'running' }), id.slice(0, 12))
  await pass(60_000)
  t.same(host.calls, [])
})
