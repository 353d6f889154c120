import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { AgentProcess } from './agent-process.ts'
import { clusterTest, ms } from './cluster.ts'
import { type Running, runCommand, startCommand } from './command.ts'
import { until } from './until.ts'

const TTL = '3s'
/** The strictest servers there can be: a session ends once its TTL has passed. */
const ENV = { CONSTELLATION_SESSIONS_TTL_MIN: '1s', CONSTELLATION_SESSIONS_TTL_FACTOR: '1' }

clusterTest(
  'the command line on keys, sessions and locks of a real cluster',
  { nodes: 3, env: ENV, timeoutMs: 110_000 },
  async (t, cluster) => {
    const [n1, n2, n3] = [cluster.agent('n1'), cluster.agent('n2'), cluster.agent('n3')]
    const at = ({ ports }: AgentProcess) => ['--http-addr', `127.0.0.1:${ports.http}`]
    const run = (agent: AgentProcess, args: readonly string[], input?: string) => {
      const [command = '', ...rest] = args
      return runCommand(
        cluster.program,
        [command, ...atFirst(command, rest, at(agent))],
        input === undefined ? {} : { input },
      )
    }
    const start = (agent: AgentProcess, ...rest: readonly string[]): Running => {
      const running = startCommand(cluster.program, ['lock', ...at(agent), ...rest])
      t.teardown(() => running.signal('SIGTERM'))
      return running
    }
    const file = (name: string): string => join(cluster.folder, name)
    const lines = (name: string): readonly string[] =>
      existsSync(file(name)) ? readFileSync(file(name), 'utf8').trim().split('\n') : []

    await t.test('export and import', async (t) => {
      const bytes = Array.from({ length: 256 }, (_, i) => i)
      const entries = [
        { key: 'app/bytes', flags: 18446744073709551615n, value: Buffer.from(bytes).toString('base64') },
        { key: 'app/empty', flags: 0n, value: '' },
        { key: 'app/é//x', flags: 9007199254740993n, value: 'eA==' },
      ]
      const text = (prefix: string): string =>
        `[\n${entries.map(({ key, flags, value }) => `{"key":"${prefix}${key}","flags":${flags},"value":"${value}"}`).join(',\n')}\n]\n`
      t.match(await run(n1, ['kv', 'import', '-'], text('')), { code: 0, out: 'imported: 3 keys\n', err: '' })
      const exported = await run(n2, ['kv', 'export', 'app/'])
      t.match(exported, { code: 0, out: text(''), err: '' })
      t.match(await run(n3, ['kv', 'import', '--prefix', 'copy/', '-'], exported.out), { code: 0 })
      t.match(await run(n1, ['kv', 'export', 'copy/']), { code: 0, out: text('copy/') })
      const everything = await run(n1, ['kv', 'export'])
      t.match(everything, { code: 0, err: /left out: \d+ keys that the agents keep/ })
      t.notMatch(everything.out, 'constellation/lease/')
    })

    await t.test('sessions and transactions', async (t) => {
      const { out } = await run(n1, ['session', 'create', '--name', 'mine', '--ttl', '1h'])
      const id = out.trim()
      t.match(await run(n2, ['session', 'list']), {
        code: 0,
        out: new RegExp(`^${id} +mine +n1 +1h0m0s +release +15s +serfHealth$`, 'm'),
      })
      const lock = { KV: { Verb: 'lock', Key: 'txn/lock', Session: id, Value: 'eA==' } }
      t.match(await run(n3, ['txn', '-'], JSON.stringify([lock])), {
        code: 0,
        out: new RegExp(`^txn/lock .*${id}`, 'm'),
      })
      t.match(await run(n1, ['session', 'destroy', id]), { code: 0, out: `destroyed: ${id}\n` })
      t.match(
        await run(
          n2,
          ['txn', '-'],
          JSON.stringify([{ KV: { Verb: 'set', Key: 'txn/no', Value: '' } }, lock]),
        ),
        {
          code: 1,
          err: `operation 2 of 2 (lock txn/lock): invalid session "${id}"\nconstellation: nothing was written`,
        },
      )
      t.match(await run(n1, ['kv', 'get', 'txn/no']), { code: 1, err: /no such key/ })
    })

    await t.test('watch goes on behind what it has seen when its agent comes back', async (t) => {
      const watch = startCommand(cluster.program, ['kv', 'watch', '--json', 'watch/', ...at(n3)])
      const seen = () =>
        watch
          .out()
          .split('\n')
          .filter((line) => line !== '')
          .map((line) => JSON.parse(line))
          .map(({ Event, Key, Value }) => `${Event} ${Key} ${Value}`)
      await n1.put('watch/a', '1')
      await until('the first change', () => seen().length === 1, { state: watch.err })
      await n3.kill()
      await until('the outage is told', () => watch.err() !== '')
      await until('a write', () => n1.put('watch/a', '2'))
      await until(
        'a deletion',
        async () => (await n1.ask('/v1/kv/watch/a', { method: 'DELETE' })).status === 200,
      )
      await until('another write', () => n1.put('watch/b', '3'))
      n3.start()
      await until('the last change', () => seen().at(-1) === 'put watch/b Mw==', {
        state: watch.err,
        timeoutMs: 20_000,
      })
      t.equal(new Set(seen()).size, seen().length, 'nothing is told twice')
      t.equal(seen()[0], 'put watch/a MQ==')
      t.ok(seen().includes('delete watch/a undefined'))
      watch.signal('SIGINT')
      t.equal((await watch.ended).code, 0)
      await cluster.settled()
    })

    await t.test('one at a time, each with a larger token', async (t) => {
      writeFileSync(file('counter'), '0')
      const section = [
        `cd ${cluster.folder}`,
        'mkdir busy || echo overlap >> overlaps',
        'n=$(cat counter); sleep 0.05; echo $((n + 1)) > counter',
        'echo $CONSTELLATION_FENCING_TOKEN >> tokens',
        'rmdir busy',
      ].join('; ')
      const worker = async (agent: AgentProcess): Promise<void> => {
        for (let i = 0; i < 3; i++) {
          const finished = await start(agent, 'counter', '--shell', '--', section).ended
          t.match(finished, { code: 0, err: '' })
        }
      }
      await Promise.all([worker(n1), worker(n2), worker(n3)])
      t.strictSame(lines('overlaps'), [])
      t.equal(readFileSync(file('counter'), 'utf8').trim(), '9')
      const tokens = lines('tokens').map(Number)
      t.equal(tokens.length, 9)
      t.ok(
        tokens.every((token, i) => i === 0 || token > (tokens[i - 1] ?? 0)),
        `rising: ${tokens.join(' ')}`,
      )
      t.match(
        await run(n1, ['kv', 'get', 'counter/.lock']),
        { code: 1, err: /no such key/ },
        'nothing is left',
      )
      t.match(await run(n1, ['session', 'list']), { code: 0, out: /^(?!.*constellation lock)/s })
    })

    await t.test('exit codes and signals pass through', async (t) => {
      t.match(await start(n1, 'codes', '--', 'sh', '-c', 'exit 7').ended, { code: 7, out: '', err: '' })
      const held = start(
        n1,
        'codes',
        '--shell',
        '--',
        "trap 'echo bye; exit 9' TERM; echo up; while :; do sleep 0.05; done",
      )
      await until('it runs', () => held.out() === 'up\n')
      t.match(await start(n2, 'codes', '--try', '--', 'echo', 'ran').ended, { code: 75, out: '' })
      held.signal('SIGTERM')
      t.match(await held.ended, { code: 9, out: 'up\nbye\n' })
      t.match(await start(n2, 'codes', '--try', '--', 'echo', 'ran').ended, { code: 0, out: 'ran\n' })
    })

    await t.test(
      'an agent that hangs: the command has ended before anybody else can have the lock',
      async (t) => {
        const follower = cluster.others(await cluster.leader())[0] ?? n1
        const other = cluster.others(follower)[0] ?? n2
        const settings = [
          '--ttl',
          TTL,
          '--lock-delay',
          '0s',
          '--kill-after',
          '500ms',
          '--shell',
          'hang',
          '--',
        ]
        const beats = `trap '' TERM; while :; do date +%s%N >> ${file('beats')}; sleep 0.01; done`
        const first = start(follower, ...settings, beats)
        await until('it runs', () => lines('beats').length > 0)
        const second = start(other, ...settings, 'date +%s%N')
        await until(
          'the second waits',
          async () => (await run(other, ['session', 'list'])).out.split('lock hang').length === 3,
        )
        follower.signal('SIGSTOP')
        t.teardown(() => follower.signal('SIGCONT'))
        const stoppedAt = performance.now()
        t.match(await first.ended, {
          code: 1,
          err: /^constellation: the lock hang was lost, .* not renewed for/,
        })
        const toldMs = performance.now() - stoppedAt
        const { code, out } = await second.ended
        t.equal(code, 0)
        const gapMs = Number(BigInt(out) - BigInt(lines('beats').at(-1) ?? 0)) / 1e6
        t.ok(gapMs > 0, `the second began ${ms(gapMs)} after the last sign of the first`)
        t.comment(`lost ${ms(toldMs)} after the agent stopped; ${ms(gapMs)} later the next one had it`)
        follower.signal('SIGCONT')
        await cluster.settled()
      },
    )
  },
)

/** Options go before a `--`; subcommands before options. */
function atFirst(command: string, rest: readonly string[], options: readonly string[]): readonly string[] {
  return command === 'kv' || command === 'session'
    ? [rest[0] ?? '', ...options, ...rest.slice(1)]
    : [...options, ...rest]
}
