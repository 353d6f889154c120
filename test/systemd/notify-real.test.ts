import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { SystemdNotifier } from '../../agent/systemd-notify.ts'

const logger = pino({ level: 'silent' })
const missing = ['python3', 'systemd-notify'].filter(
  (program) => spawnSync(program, ['--version'], { stdio: 'ignore' }).status !== 0,
)
const skip = missing.length > 0 ? `not installed: ${missing.join(', ')}` : false

/** A new directory with a short path: the path of a unix socket holds at most 107 bytes, whatever the checkout's is. */
async function shortDirectory(t: Test): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'cst-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  return directory
}

/** Starts a receiver of datagrams; `next` answers the next one that is not a barrier. */
async function receiver(t: Test, socket: string) {
  const child = spawn('python3', [join(import.meta.dirname, 'datagrams.py'), socket], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(async () => {
    child.kill('SIGKILL')
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const next = async (): Promise<string> => {
    for (;;) {
      const line = await lines.next()
      if (line.done) throw new Error('the receiver ended')
      const datagram = String(JSON.parse(line.value)).trim()
      if (datagram !== 'BARRIER=1') return datagram
    }
  }
  t.equal(await next(), 'listening')
  return next
}

t.test('systemd-notify delivers every kind of message', { skip }, async (t) => {
  for (const socket of [join(await shortDirectory(t), 's'), `@constellation-test-${process.pid}`]) {
    const next = await receiver(t, socket)
    const notifier = new SystemdNotifier({ socket, watchdogUsec: 60_000_000 }, { logger })
    const before = process.hrtime.bigint() / 1_000n
    void notifier.ready('leader, 3 members = all')
    void notifier.reloading()
    notifier.startWatchdog(() => true)
    await notifier.stopping()
    await notifier.stop()
    t.equal(await next(), 'READY=1\nSTATUS=leader, 3 members = all')
    const reloading = await next()
    t.match(reloading, /^RELOADING=1\nMONOTONIC_USEC=\d+$/)
    t.ok(BigInt(reloading.split('=').at(-1) ?? '0') >= before, 'the time is that of CLOCK_MONOTONIC')
    t.equal(await next(), 'WATCHDOG=1')
    t.equal(await next(), 'STOPPING=1\nSTATUS=stopping')
  }
})

t.test('a socket that nobody listens on does no harm', { skip }, async (t) => {
  const notifier = new SystemdNotifier(
    { socket: join(await shortDirectory(t), 'nobody'), watchdogUsec: null },
    { logger },
  )
  await notifier.ready('up')
  await notifier.stop()
  t.pass('resolved')
})
