import t from 'tap'
import { CliError } from '../../../../agent/cli/errors.ts'
import {
  LOCK_FLAGS,
  type LockEntry,
  type LockReading,
  type ReadOptions,
} from '../../../../agent/cli/lock/lock-api.ts'
import { waitForLock } from '../../../../agent/cli/lock/wait-for-lock.ts'

const entry = (session: string | null, modifyIndex: number, flags = LOCK_FLAGS): LockEntry => ({
  flags,
  session,
  lockIndex: 1,
  modifyIndex,
})
const reading = (session: string | null, index: number): LockReading => ({
  entry: entry(session, index),
  index,
})
const nothing = (index: number): LockReading => ({ entry: null, index })

/** Answers in order; each request is one line of `log`. */
function waiting(answers: readonly (LockReading | boolean | Error)[], options: { tryOnce?: boolean } = {}) {
  const log: string[] = []
  const notes: string[] = []
  const queue = [...answers]
  let now = 0
  const next = (): LockReading | boolean => {
    const answer = queue.shift()
    if (answer === undefined) throw new Error('asked more often than expected')
    if (answer instanceof Error) throw answer
    return answer
  }
  const result = waitForLock({
    api: {
      async read({ index, waitMs }: ReadOptions) {
        log.push(index === 0 ? 'read' : `wait on ${index}${waitMs === undefined ? '' : ` for ${waitMs}`}`)
        if (index !== 0) now += waitMs ?? 1000
        return next() as LockReading
      },
      async acquire() {
        log.push('acquire')
        return next() as boolean
      },
      async describeSession() {
        return '"backup" of node n2'
      },
    },
    key: 'k/.lock',
    session: 'me',
    tryOnce: options.tryOnce === true,
    signal: new AbortController().signal,
    async pause(ms) {
      log.push(`pause ${ms}`)
      now += ms
    },
    now: () => now,
    note: (line) => notes.push(line),
  })
  return { result, log, notes }
}

t.test('a free key is taken and read back', async (t) => {
  const { result, log } = waiting([nothing(7), true, reading('me', 8)])
  t.strictSame(await result, { entry: entry('me', 8), index: 8 })
  t.strictSame(log, ['read', 'acquire', 'read'])
})

t.test('a holder is waited for with blocking queries, and told once', async (t) => {
  const { result, log, notes } = waiting([
    reading('other', 8),
    reading('other', 9),
    reading(null, 10),
    true,
    reading('me', 11),
  ])
  t.match(await result, { index: 11 })
  t.strictSame(log, ['read', 'pause 200', 'wait on 8', 'wait on 9', 'acquire', 'read'])
  t.strictSame(notes, ['waiting for k/.lock, held by session other, "backup" of node n2'])
})

t.test('a lock-delay is waited out with growing pauses, and a change ends a pause', async (t) => {
  const { result, log, notes } = waiting([
    ...[reading(null, 10), false],
    ...[reading(null, 10), false],
    ...[reading(null, 10), false],
    ...[reading(null, 10), false],
    ...[reading(null, 10), false],
    ...[nothing(12), true],
    reading('me', 13),
  ])
  await result
  t.strictSame(
    log.filter((line) => line.startsWith('wait')),
    [1000, 2000, 4000, 5000, 5000].map((ms) => `wait on 10 for ${ms}`),
  )
  t.match(notes[0], /waiting for its lock-delay/)
})

t.test('what was granted and is not there when read back is not held', async (t) => {
  const { result, log } = waiting([
    nothing(7),
    true,
    reading('other', 9),
    nothing(10),
    true,
    reading('me', 11),
  ])
  t.match(await result, { entry: { modifyIndex: 11 } })
  t.strictSame(log.filter((line) => line === 'acquire').length, 2)
})

t.test('an answer that got lost may have been a yes', async (t) => {
  const { result } = waiting([nothing(7), new CliError('CLI_FAILED', 'no answer'), reading('me', 8)])
  t.match(await result, { entry: { session: 'me', modifyIndex: 8 } })
})

t.test('an outage is waited for, and told once', async (t) => {
  const outage = new CliError('CLI_FAILED', 'No cluster leader')
  const { result, log, notes } = waiting([
    outage,
    outage,
    nothing(7),
    outage,
    reading(null, 8),
    true,
    reading('me', 9),
  ])
  await result
  t.strictSame(log, [
    'read',
    'pause 1000',
    'read',
    'pause 1000',
    'read',
    'acquire',
    'pause 1000',
    'read',
    'acquire',
    'read',
  ])
  t.strictSame(notes, ['No cluster leader; trying again', 'No cluster leader; trying again'])
})

t.test('what does not get better ends the wait', async (t) => {
  await t.rejects(waiting([{ entry: entry(null, 8, '0'), index: 8 }]).result, {
    code: 'CLI_NOT_A_LOCK',
    message: /k\/\.lock is no lock: its flags are 0/,
  })
  await t.rejects(waiting([nothing(7), new CliError('CLI_SESSION_GONE', 'x')]).result, {
    code: 'CLI_SESSION_GONE',
  })
  await t.rejects(waiting([new CliError('CLI_ABORTED', 'x')]).result, { code: 'CLI_ABORTED' })
  await t.rejects(waiting([new TypeError('a defect')]).result, TypeError)
})

t.test('with tryOnce nobody is waited for', async (t) => {
  for (const answers of [[reading('other', 8)], [nothing(7), false]]) {
    t.equal(await waiting(answers, { tryOnce: true }).result, null)
  }
  await t.rejects(waiting([new CliError('CLI_FAILED', 'x')], { tryOnce: true }).result, { message: 'x' })
})
