import { type Logger, pino } from 'pino'
import t from 'tap'
import { SystemdNotifier, takeSystemdEnvironment } from '../../agent/systemd-notify.ts'

const SOCKET = '/run/test/notify'

/** A notifier whose messages go into a list, held back until `release`, with a timer fired by hand. */
function harness(options: { watchdogUsec?: number | null; socket?: string | null } = {}) {
  const sent: string[] = []
  const logs: { level: number; msg: string }[] = []
  const logger: Logger = pino({ level: 'trace' }, { write: (line: string) => logs.push(JSON.parse(line)) })
  const waiting: { resolve: () => void; reject: (error: Error) => void }[] = []
  const timer: { intervalMs: number; tick: () => void; stopped: boolean } = {
    intervalMs: 0,
    tick: () => {},
    stopped: false,
  }
  const socket = options.socket === undefined ? SOCKET : options.socket
  const notifier = new SystemdNotifier(
    { socket, watchdogUsec: options.watchdogUsec ?? null },
    {
      logger,
      send: (_socket, lines) => {
        sent.push(lines.join('\n'))
        const { promise, resolve, reject } = Promise.withResolvers<void>()
        waiting.push({ resolve, reject })
        return promise
      },
      monotonicUsec: () => 123_456n,
      every: (intervalMs, callback) => {
        Object.assign(timer, { intervalMs, tick: callback, stopped: false })
        return () => {
          timer.stopped = true
        }
      },
    },
  )
  const release = async (error?: Error): Promise<void> => {
    const next = waiting.shift()
    if (error) next?.reject(error)
    else next?.resolve()
    await new Promise(setImmediate)
  }
  return { notifier, sent, logs, timer, release }
}

t.test('the environment is read once and removed', async (t) => {
  const env = { NOTIFY_SOCKET: SOCKET, WATCHDOG_USEC: '30000000', WATCHDOG_PID: '7', OTHER: 'x' }
  t.same(takeSystemdEnvironment(env, 7), { socket: SOCKET, watchdogUsec: 30_000_000 })
  t.same(env, { OTHER: 'x' })
  t.same(takeSystemdEnvironment(env, 7), { socket: null, watchdogUsec: null })
})

t.test('a watchdog for another process, and values that mean nothing, are ignored', async (t) => {
  const watchdog = (env: NodeJS.ProcessEnv): number | null => takeSystemdEnvironment(env, 7).watchdogUsec
  t.equal(watchdog({ NOTIFY_SOCKET: '@name', WATCHDOG_USEC: '5', WATCHDOG_PID: '8' }), null)
  t.equal(watchdog({ NOTIFY_SOCKET: '@name', WATCHDOG_USEC: '5' }), 5)
  for (const usec of ['', '0', '-1', 'soon', '1.5']) {
    t.equal(watchdog({ NOTIFY_SOCKET: '@name', WATCHDOG_USEC: usec }), null, `WATCHDOG_USEC=${usec}`)
  }
  for (const socket of ['', '@', 'relative', 'vsock:2:1234']) {
    t.equal(takeSystemdEnvironment({ NOTIFY_SOCKET: socket }).socket, null, `NOTIFY_SOCKET=${socket}`)
  }
})

t.test('messages leave one after the other, in the order of the calls', async (t) => {
  const { notifier, sent, release } = harness()
  const ready = notifier.ready('up')
  void notifier.status('follower')
  void notifier.reloading()
  t.same(sent, ['READY=1\nSTATUS=up'], 'the second waits for the first')
  await release()
  await ready
  t.same(sent.slice(1), ['STATUS=follower'])
  await release()
  t.same(sent.slice(2), ['RELOADING=1\nMONOTONIC_USEC=123456'])
  await release()
  void notifier.stopping()
  t.same(sent.slice(3), ['STOPPING=1\nSTATUS=stopping'])
})

t.test('a status that has not left is replaced by the next, and is one line', async (t) => {
  const { notifier, sent, release } = harness()
  void notifier.ready('up')
  const first = notifier.status('term 1')
  void notifier.status('term 2\nREADY=0')
  await first
  await release()
  await release()
  t.same(sent, ['READY=1\nSTATUS=up', 'STATUS=term 2 READY=0'])
})

t.test('the queue is bounded', async (t) => {
  const { notifier, sent, release } = harness()
  for (let i = 0; i < 1_000; i++) void notifier.ready(`${i}`)
  for (let i = 0; i < 1_000; i++) await release()
  t.equal(sent.length, 33, 'one on its way and 32 in the queue')
  t.equal(sent.at(-1), 'READY=1\nSTATUS=999', 'the newest survive')
})

t.test('the watchdog is pinged three times per limit, while alive', async (t) => {
  const { notifier, sent, logs, timer, release } = harness({ watchdogUsec: 30_000_000 })
  let alive = true
  notifier.startWatchdog(() => alive)
  t.equal(timer.intervalMs, 10_000)
  t.same(sent, ['WATCHDOG=1'], 'at once')
  timer.tick()
  timer.tick()
  await release()
  t.equal(sent.length, 2, 'pings that have not left are one')
  await release()
  alive = false
  timer.tick()
  timer.tick()
  t.equal(sent.length, 2, 'no ping when not alive')
  t.equal(logs.filter((line) => line.level === 50).length, 1, 'logged once')
  alive = true
  timer.tick()
  t.equal(sent.length, 3)
  await release()
  void notifier.stopping()
  t.equal(timer.stopped, true, 'a shutdown is not watched')
})

t.test('a liveness check that throws is not alive', async (t) => {
  const { notifier, sent } = harness({ watchdogUsec: 3_000_000 })
  notifier.startWatchdog(() => {
    throw new Error('broken')
  })
  t.same(sent, [])
})

t.test('without a socket or a limit nothing is sent and nothing runs', async (t) => {
  const { notifier, sent, timer } = harness({ socket: null, watchdogUsec: 3_000_000 })
  await notifier.ready('up')
  await notifier.status('x')
  notifier.startWatchdog(() => true)
  await notifier.stopping()
  await notifier.stop()
  t.same(sent, [])
  const unwatched = harness()
  unwatched.notifier.startWatchdog(() => true)
  t.equal(timer.intervalMs + unwatched.timer.intervalMs, 0)
})

t.test('failures are logged once and never reach the caller', async (t) => {
  const { notifier, logs, release } = harness()
  const missing = Object.assign(new Error('spawn systemd-notify ENOENT'), { code: 'ENOENT' })
  const ready = notifier.ready('up')
  const status = notifier.status('x')
  await release(missing)
  await release(new Error('exit code 1'))
  await Promise.all([ready, status])
  t.equal(logs.length, 1)
  t.match(logs[0], { level: 40, msg: /not installed/ })
})

t.test('stop waits for the queue, but not for what follows a failure; then nothing is sent', async (t) => {
  const { notifier, sent, release } = harness()
  void notifier.ready('up')
  void notifier.stopping()
  void notifier.status('x')
  let stopped = false
  const stop = notifier.stop().then(() => {
    stopped = true
  })
  await release()
  t.equal(stopped, false)
  await release(new Error('timed out'))
  await stop
  await notifier.ready('again')
  await notifier.stop()
  t.same(sent, ['READY=1\nSTATUS=up', 'STOPPING=1\nSTATUS=stopping'])
})
