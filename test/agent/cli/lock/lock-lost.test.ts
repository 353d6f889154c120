import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { runsMs } from '../../../held-up.ts'
import { until } from '../../../real/until.ts'
import { startConstellation } from '../run.ts'
import { agent, entryOf, KEY, lock } from './lock-agent.ts'

/** False for a process that has ended, also if nobody has asked for its exit code yet. */
function lives(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}

/** A command that shows its process and that of a child of it, both of which ignore SIGTERM if told so. */
function stubborn(ignores: boolean): string {
  return `${ignores ? "trap '' TERM;" : ''} sleep 30 & echo $$ $!; wait`
}

t.test('signals reach the command and all it started; the lock is given back after it', async (t) => {
  const made = await agent(t)
  const held = startConstellation(lock(made.at, '--shell', '--', stubborn(false)))
  await until('it runs', () => held.out().includes(' '))
  const pids = held.out().trim().split(' ').map(Number)
  t.ok(pids.every(lives))
  held.signal('SIGTSTP')
  held.signal('SIGTERM')
  t.match(await held.ended, { code: 143, err: '' })
  await until('all have ended', () => !pids.some(lives))
  t.equal(entryOf(made), undefined)
  const graceful = startConstellation(
    lock(made.at, '--shell', '--', "trap 'echo bye; exit 5' INT; echo up; while :; do sleep 0.05; done"),
  )
  await until('it runs', () => graceful.out() === 'up\n')
  graceful.signal('SIGINT')
  t.match(await graceful.ended, { code: 5, out: 'up\nbye\n' })
  t.strictSame(made.consensus.state.sessions(), [])
})

t.test('a lock that was taken away stops the command and all it started', async (t) => {
  const made = await agent(t)
  const { at, consensus } = made
  const hold = async (...options: string[]) => {
    const held = startConstellation(lock(at, '--shell', ...options, '--', stubborn(true)))
    await until('it runs', () => held.out().includes(' '), { state: held.err })
    return { held, pids: held.out().trim().split(' ').map(Number) }
  }
  const destroyed = await hold('--kill-after', '200ms')
  await consensus.propose({ type: 'session.destroy', id: entryOf(made)?.session ?? '' })
  const { code, err } = await destroyed.held.ended
  t.equal(code, 1)
  t.match(
    err,
    /^constellation: the lock jobs\/backup was lost, so the command was stopped: the key was released or deleted\n$/,
  )
  await until('all have ended, although they ignore SIGTERM', () => !destroyed.pids.some(lives))
  consensus.now += 15_000
  const deleted = await hold('--kill-after', '0s')
  await consensus.propose({ type: 'kv.delete', key: KEY })
  t.match(await deleted.held.ended, { code: 1, err: /was lost/ })
  await until('all have ended', () => !deleted.pids.some(lives))
})

t.test('an agent that no longer answers: the command has ended when the TTL has passed', async (t) => {
  const made = await agent(t)
  const held = startConstellation(
    lock(made.at, '--ttl', '9s', '--kill-after', '500ms', '--shell', '--', stubborn(true)),
  )
  await until('it runs', () => held.out().includes(' '))
  const pids = held.out().trim().split(' ').map(Number)
  // Renewals are answered no more, as if the agent hung. The last one was sent before this moment.
  const { renewed } = made.consensus
  await until('it was renewed', () => renewed.length > 0)
  made.consensus.renewSession = () => new Promise(() => {})
  const since = runsMs()
  // The last moment one of them was seen: what this process notices late says nothing about when they ended.
  let seenAt = since
  const haveEnded = () => {
    const now = runsMs()
    if (!pids.some(lives)) return true
    seenAt = now
    return false
  }
  await until('all have ended', haveEnded, { intervalMs: 5 })
  t.ok(seenAt - since <= 9000, `alive ${seenAt - since} ms after the last renewal`)
  t.match(await held.ended, {
    code: 1,
    err: /was lost, .*: the session was not renewed for 8\.05 s: .* did not answer within 1\.8 s/,
  })
})

t.test('a holder that is killed takes the command and all it started with it', async (t) => {
  const made = await agent(t)
  const held = startConstellation(lock(made.at, '--kill-after', '100ms', '--shell', '--', stubborn(true)))
  await until('it runs', () => held.out().includes(' '))
  const pids = held.out().trim().split(' ').map(Number)
  await until('it watches its lock, and so the group is guarded', () => made.consensus.watching > 0)
  held.signal('SIGKILL')
  await until('all have ended', () => !pids.some(lives))
})

t.test('renews while it runs, and survives a leader that was away for less than the TTL', async (t) => {
  const made = await agent(t)
  const { consensus, at } = made
  const go = join(t.testdir(), 'go')
  const held = startConstellation(
    lock(
      at,
      '--ttl',
      '6s',
      '--kill-after',
      '100ms',
      '--shell',
      '--',
      `echo; until [ -e ${go} ]; do sleep 0.02; done`,
    ),
  )
  await until('it runs', () => held.out() !== '')
  await until('it renews', () => consensus.renewed.length >= 2)
  const renew = consensus.renewSession.bind(consensus)
  let failed = 0
  consensus.renewSession = (id) =>
    renew(id).catch((error) => {
      failed++
      throw error
    })
  consensus.loseLeader()
  await until('a renewal failed', () => failed > 0)
  consensus.leader = 'peer-1'
  const { length } = consensus.renewed
  await until('it renews again', () => consensus.renewed.length > length)
  writeFileSync(go, '')
  t.match(await held.ended, { code: 0, err: '' })
})
