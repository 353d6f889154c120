import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { LOCK_FLAGS } from '../../../../agent/cli/lock/lock-api.ts'
import { until } from '../../../real/until.ts'
import { constellation, runInProcess, startConstellation } from '../run.ts'
import { agent, entryOf, KEY, lock } from './lock-agent.ts'

t.test('runs the command with its lock in the environment, and leaves nothing behind', async (t) => {
  const made = await agent(t)
  const script =
    'echo "$CONSTELLATION_LOCK_KEY $CONSTELLATION_LOCK_SESSION $CONSTELLATION_LOCK_INDEX $CONSTELLATION_FENCING_TOKEN $*"; cat; echo err >&2; exit 7'
  const { code, out, err } = await constellation(
    lock(made.at, '--', 'sh', '-c', script, 'sh', 'a b', '--try'),
    {
      input: 'input\n',
    },
  )
  t.equal(code, 7, 'its exit code')
  t.equal(err, 'err\n')
  const [first, ...rest] = out.split('\n')
  const [key, session, index, token, ...args] = first?.split(' ') ?? []
  t.strictSame([key, index, args.join(' ')], [KEY, '1', 'a b --try'])
  t.strictSame(rest, ['input', ''], 'standard input is its own')
  const acquire = made.consensus.proposals.find(({ command }) => command.type === 'kv.acquire')?.command
  t.match(acquire, { session, flags: BigInt(LOCK_FLAGS) })
  const create = made.consensus.proposals.find(({ command }) => command.type === 'session.create')?.command
  t.match(create, {
    session: {
      id: session,
      name: 'constellation lock jobs/backup',
      ttl: '15s',
      lockDelayMs: 15_000,
      behavior: 'release',
      nodeChecks: [],
    },
  })
  t.ok(Number(token) > 7, 'the token is the index of the acquisition')
  t.equal(entryOf(made), undefined, 'the key is deleted')
  t.strictSame(made.consensus.state.sessions(), [], 'the session is destroyed')
  const second = await constellation(lock(made.at, '--shell', '--', 'echo', '$CONSTELLATION_FENCING_TOKEN'))
  t.ok(Number(second.out) > Number(token), 'the next token is larger')
})

t.test('how the command ended is how the lock ends', async (t) => {
  const { at, consensus } = await agent(t)
  const run = (...command: string[]) => constellation(lock(at, '--', ...command))
  t.match(await run('sh', '-c', 'kill -9 $$'), { code: 137 })
  t.match(await run('/does/not/exist'), { code: 127, err: /cannot run \/does\/not\/exist: .*ENOENT/ })
  const file = join(t.testdir(), 'no-program')
  writeFileSync(file, '')
  t.match(await run(file), { code: 126, err: /cannot run .*EACCES/ })
  t.strictSame(consensus.state.sessions(), [])
})

t.test('who comes second waits, and gets the lock when the first is done', async (t) => {
  const made = await agent(t)
  const { at, consensus } = made
  const folder = t.testdir()
  const go = join(folder, 'go')
  const first = startConstellation(
    lock(
      at,
      '--verbose',
      '--shell',
      '--',
      `echo $CONSTELLATION_FENCING_TOKEN; until [ -e ${go} ]; do sleep 0.02; done`,
    ),
  )
  await until('the first has it', () => first.out() !== '', { state: first.err })
  t.match(await runInProcess(lock(at, '--try', '--', 'echo', 'ran')), {
    code: 75,
    out: '',
    err: 'constellation: the lock jobs/backup is taken: somebody else holds it\n',
  })
  t.match(await runInProcess(lock(at, '--timeout', '300ms', '--', 'echo', 'ran')), {
    code: 75,
    out: '',
    err: 'constellation: the lock jobs/backup is taken: gave up after 300ms\n',
  })
  const second = startConstellation(
    lock(at, '--verbose', '--shell', '--', 'echo $CONSTELLATION_FENCING_TOKEN'),
  )
  await until('the second waits', () => second.err().includes('waiting for'), { state: second.err })
  await until('with a blocking query', () => consensus.watching >= 2)
  const reads = consensus.reads.length
  t.equal(second.out(), '')
  const interrupted = startConstellation(lock(at, '--verbose', '--', 'echo', 'ran'))
  await until('a third waits', () => interrupted.err().includes('waiting for'))
  interrupted.signal('SIGINT')
  t.match(await interrupted.ended, { code: 130, out: '' }, 'Ctrl-C ends the wait')
  t.ok(consensus.reads.length - reads < 10, `waiting asks rarely: ${consensus.reads.length - reads} reads`)
  writeFileSync(go, '')
  const [one, two] = [await first.ended, await second.ended]
  t.strictSame([one.code, two.code], [0, 0])
  t.ok(Number(two.out) > Number(one.out), `${two.out} > ${one.out}`)
  t.match(one.err, /holding jobs\/backup\/\.lock, fencing token \d+\n.*released jobs\/backup\/\.lock\n/)
  t.match(
    two.err,
    /waiting for .*, held by session [0-9a-f-]{36}, "constellation lock jobs\/backup" of node n1\n/,
  )
  t.equal(entryOf(made), undefined)
  t.strictSame(consensus.state.sessions(), [])
})

t.test('a lock-delay and a leader that is missing are waited out', async (t) => {
  const { at, consensus } = await agent(t)
  consensus.addSession('old', { lockDelayMs: 60_000 })
  await consensus.propose({
    type: 'kv.acquire',
    key: KEY,
    value: new Uint8Array(),
    flags: BigInt(LOCK_FLAGS),
    session: 'old',
  })
  await consensus.propose({ type: 'session.destroy', id: 'old' })
  t.match(await runInProcess(lock(at, '--try', '--', 'echo', 'ran')), { code: 75, out: '' })
  const waiting = startConstellation(lock(at, '--verbose', '--', 'echo', 'ran'))
  await until('it waits', () => waiting.err().includes('lock-delay'), { state: waiting.err })
  consensus.loseLeader()
  await until('the outage is told', () => waiting.err().includes('No cluster leader; trying again'))
  consensus.leader = 'peer-1'
  consensus.now += 60_000
  t.match(await waiting.ended, { code: 0, out: 'ran\n' })
})

t.test('a key that is no lock is refused, and so is a name that is none', async (t) => {
  const { at, consensus } = await agent(t)
  await consensus.propose({ type: 'kv.set', key: KEY, value: new Uint8Array(), flags: 16210313421097356768n })
  t.match(await runInProcess(lock(at, '--', 'echo', 'ran')), {
    code: 1,
    out: '',
    err: /jobs\/backup\/\.lock is no lock: its flags are 16210313421097356768, /,
  })
  t.strictSame(consensus.state.sessions(), [])
  for (const name of ['', '/', 'a//b', '../a', 'a/.']) {
    t.match(await runInProcess(['lock', name, '--', 'echo']), { code: 64 }, name)
  }
  t.match(await runInProcess(['lock', 'a', '--try', '--timeout', '1s', '--', 'echo']), { code: 64 })
  t.match(await runInProcess(['lock', 'a']), { code: 64, err: /missing required argument 'command'/ })
  t.match(await runInProcess(['lock', 'a', '--ttl', '1', '--', 'echo']), {
    code: 64,
    err: /It must be a duration/,
  })
})

t.test('an agent that refuses or does not answer ends the command before it began', async (t) => {
  const { at, app } = await agent(t)
  t.match(await runInProcess(lock(at, '--ttl', '25h', '--', 'echo', 'ran')), { code: 64, out: '' })
  await app.close()
  t.match(await runInProcess(lock(at, '--', 'echo', 'ran')), { code: 1, out: '', err: /no agent answers/ })
})
