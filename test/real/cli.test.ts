import type { Test } from 'tap'
import { clusterTest, ms } from './cluster.ts'
import { type Finished, runCommand, startCommand } from './command.ts'
import { registerWeb } from './services.ts'
import { until } from './until.ts'

const ID = /^12D3KooW\w+$/

clusterTest('the command line against a real cluster', { nodes: 3 }, async (t, cluster) => {
  const [n1, n2] = [cluster.agent('n1'), cluster.agent('n2')]
  const leader = await cluster.leader()
  const mesh = (name: string): string => `127.0.0.1:${cluster.agent(name).ports.mesh}`
  const times: number[] = []
  const run = async (...args: readonly string[]): Promise<Finished> => {
    const finished = await runCommand(cluster.program, [...args, '--http-addr', `127.0.0.1:${n1.ports.http}`])
    times.push(finished.ms)
    return finished
  }
  const json = async (t: Test, ...args: readonly string[]): Promise<unknown> => {
    const finished = await run(...args, '--json')
    t.match(finished, { code: 0, err: '' }, args.join(' '))
    return JSON.parse(finished.out)
  }

  await t.test('members', async (t) => {
    const table = await run('members')
    t.match(table, { code: 0, err: '' })
    const lines = table.out.trim().split('\n')
    t.match(lines[0], /^NODE +ADDRESS +STATUS +ROLE +VERSION$/)
    for (const [i, name] of ['n1', 'n2', 'n3'].entries()) {
      const role = name === leader.name ? 'leader' : 'voter'
      t.match(lines[i + 1], new RegExp(`^${name} +${mesh(name)} +alive +${role} +\\d+\\.\\d+\\.\\d+$`))
    }
    t.equal(lines.length, 4)
    t.match(
      await json(t, 'members'),
      ['n1', 'n2', 'n3'].map((name) => ({
        name,
        status: 'alive',
        address: mesh(name),
        role: name === leader.name ? 'leader' : 'voter',
        id: ID,
      })),
    )
  })

  await t.test('kv', async (t) => {
    t.match(await run('kv', 'put', 'app/greeting', 'hello'), {
      code: 0,
      out: 'written: app/greeting\n',
      err: '',
    })
    t.match(await run('kv', 'get', 'app/greeting'), { code: 0, out: 'hello', err: '' })
    t.equal(await n2.get('app/greeting'), 'hello', 'it is on the other nodes')
    t.match(await json(t, 'kv', 'get', 'app/greeting'), [
      { Key: 'app/greeting', Value: 'aGVsbG8=', Flags: 0, LockIndex: 0 },
    ])
    t.match(await run('kv', 'put', '--cas', '0', 'app/greeting', 'again'), {
      code: 1,
      err: /the key exists already/,
    })
    t.equal((await run('kv', 'put', 'app/other', 'x')).code, 0)
    t.match(await run('kv', 'list', 'app/'), { code: 0, out: 'app/greeting\napp/other\n' })
    t.strictSame(await json(t, 'kv', 'list', 'app/'), ['app/greeting', 'app/other'])
    t.match(await run('kv', 'delete', 'app/greeting'), { code: 0, out: 'deleted: app/greeting\n' })
    t.match(await run('kv', 'get', 'app/greeting'), { code: 1, out: '', err: /no such key: app\/greeting/ })
    t.match(await run('kv', 'delete', '--recurse', 'app/'), { code: 0 })
    t.match(await run('kv', 'list', 'app/'), { code: 0, out: '', err: /no keys/ })
  })

  await t.test('services', async (t) => {
    t.match(await run('services'), { code: 0, out: /no services/ })
    await registerWeb(n2, 8080, { check: false })
    await until('the service is on n1', async () =>
      (await n1.ask('/v1/catalog/services')).text.includes('web'),
    )
    t.match(
      (await run('services')).out,
      /^web +n2 +web-n2 +127\.0\.0\.1:8080 +passing +traefik\.enable=true/m,
    )
    t.match(await json(t, 'services'), [
      {
        name: 'web',
        tags: ['traefik.enable=true', 'traefik.http.routers.web.rule=Host(`web.example`)'],
        instances: [{ id: 'web-n2', node: 'n2', address: '127.0.0.1', port: 8080, status: 'passing' }],
      },
    ])
  })

  await t.test('event', async (t) => {
    t.match(await run('event', 'list'), { code: 0, out: 'no events\n' })
    t.match(await run('event', 'deploy', 'v42'), { code: 0, out: /^fired: deploy {2}[0-9a-f-]{36}\n$/ })
    t.match(await json(t, 'event', 'reload', '--service', '^web$', '--tag', 'traefik'), {
      Name: 'reload',
      Payload: null,
      ServiceFilter: '^web$',
      TagFilter: 'traefik',
    })
    t.equal((await run('event', 'fire', 'list', '--node', 'n1')).code, 0)
    const onN2 = await until('n2 has both that are for it', async () => {
      const events = await n2.json<readonly { Name: string; Payload: string | null }[]>('/v1/event/list')
      return events.length === 2 && events
    })
    t.match(onN2, [{ Name: 'deploy', Payload: 'djQy' }, { Name: 'reload' }])
    const { out } = await run('event', 'list')
    t.match(out, /^[0-9a-f-]{36} {2}deploy +1 +all +v42\n[0-9a-f-]{36} {2}list +\d+ +node=n1 +-\n$/m)
    t.match(await json(t, 'event', 'list', '--name', 'deploy'), [{ Name: 'deploy', LTime: 1 }])
    t.match(await run('event', 'x', '--node', '('), { code: 1, err: /answered 400: Invalid node filter/ })
    t.match(await run('event', 'x', 'y'.repeat(16 * 1024 + 1)), { code: 1, err: /answered 413/ })
    t.match(await run('event'), { code: 64, err: /missing required argument 'name'/ })
  })

  await t.test('watch', async (t) => {
    const started = (...args: readonly string[]) => {
      const watch = startCommand(cluster.program, [
        'watch',
        '--http-addr',
        `127.0.0.1:${n1.ports.http}`,
        ...args,
      ])
      t.teardown(() => watch.signal('SIGKILL'))
      const lines = () =>
        watch
          .out()
          .split('\n')
          .slice(0, -1)
          .map((line) => JSON.parse(line))
      const line = (number: number) =>
        until(`line ${number} of watch ${args.join(' ')}`, () => lines()[number], { state: watch.out })
      return { watch, line }
    }
    const service = started('--type', 'service', '--service', 'followed', '--passing-only')
    const events = started('--type', 'event', '--name', 'rollout')
    const key = started('--type', 'key', '--key', 'followed', '--', 'sh', '-c', 'jq=$(cat); echo "[$jq]"')
    t.strictSame(await service.line(0), [])
    t.strictSame(await key.line(0), [null])
    const register = (status: string) =>
      n2.ask('/v1/agent/service/register', {
        method: 'PUT',
        body: JSON.stringify({ Name: 'followed', Port: 1, Check: { TTL: '1h', Status: status } }),
      })
    await register('critical')
    t.equal((await run('kv', 'put', 'followed', '1')).code, 0)
    t.match(await key.line(1), [{ Key: 'followed', Value: 'MQ==' }])
    await n2.ask('/v1/agent/check/pass/service:followed', { method: 'PUT' })
    t.match(await service.line(1), [{ Node: { Node: 'n2' }, Service: { Port: 1 } }])
    await n2.ask('/v1/agent/service/deregister/followed', { method: 'PUT' })
    t.strictSame(await service.line(2), [], 'nothing was told of what was not passing')
    await n2.ask('/v1/event/fire/rollout', { method: 'PUT', body: 'x' })
    t.match(await events.line(0), [{ Name: 'rollout', Payload: 'eA==' }])
    for (const { watch } of [service, events, key]) {
      watch.signal('SIGTERM')
      t.match(await watch.ended, { code: 0, err: '' })
    }
  })

  await t.test('leases', async (t) => {
    const leases = await until('every lease is held', async () => {
      const rows = await n1.leases()
      return rows.every(({ holder }) => holder !== null) && rows
    })
    const table = await run('leases')
    for (const { name, holder, fencingToken } of leases) {
      t.match(table.out, new RegExp(`^${name} +${holder} +${fencingToken}$`, 'm'))
    }
    t.match(
      await json(t, 'leases'),
      leases.map(({ name, holder, fencingToken }) => ({ name, holder, fencingToken })),
    )
  })

  await t.test('raft status', async (t) => {
    const text = await run('raft', 'status')
    t.match(text.out, new RegExp(`^leader: +${leader.name}$`, 'm'))
    t.match(text.out, /^term: +\d+$/m)
    const status = (await json(t, 'raft', 'status')) as { peers: readonly { name: string }[] }
    t.match(status, {
      name: 'n1',
      id: ID,
      clusterId: /^[0-9a-f-]{36}$/,
      leader: leader.name,
      term: Number,
      commitIndex: Number,
      appliedIndex: Number,
    })
    t.strictSame(status.peers.map(({ name }) => name).sort(), ['n1', 'n2', 'n3'])
  })

  await t.test('traefik, version, and who is not there', async (t) => {
    t.match(JSON.parse((await run('traefik')).out), { http: { routers: { web: { service: 'web' } } } })
    const version = await runCommand(cluster.program, ['version'])
    t.match(version, { code: 0, out: /^constellation \d+\.\d+\.\d+ / })
    const nobody = await runCommand(cluster.program, [
      'members',
      '--http-addr',
      `127.0.0.1:${await cluster.freePort()}`,
    ])
    t.match(nobody, { code: 1, out: '', err: /no agent answers at 127\.0\.0\.1:\d+/ })
    t.match(await runCommand(cluster.program, ['membres']), { code: 64, err: /unknown command/ })
  })

  await t.test('the shapes that scripts rely on', async (t) => {
    const status = await n1.json<Record<string, unknown>>('/api/v1/status')
    t.match(status, { node: 'n1', cluster: 'constellation', leader: leader.name, ready: true })
    t.type(status.term, 'number')
    const self = await n1.json<{ Config: { NodeName: string } }>('/v1/agent/self')
    t.equal(self.Config.NodeName, 'n1')
    t.equal(await n1.json('/v1/status/leader'), mesh(leader.name))
    t.strictSame(
      (await n1.json<string[]>('/v1/status/peers')).toSorted(),
      ['n1', 'n2', 'n3'].map(mesh).sort(),
    )
  })

  times.sort((a, b) => a - b)
  t.comment(
    `${times.length} commands, median ${ms(times[times.length >> 1] ?? 0)}, slowest ${ms(times.at(-1) ?? 0)}`,
  )
})
