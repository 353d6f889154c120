import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { tempDir } from '../../discovery/temp-dir.ts'
import { harness, listen } from '../http/harness.ts'
import { runInProcess } from './run.ts'

/** An agent over fakes, and the command line that asks it. */
async function agent(t: Test) {
  const made = harness()
  const at = ['--http-addr', `127.0.0.1:${await listen(made.app)}`]
  t.teardown(() => made.app.close())
  const run = (words: readonly string[], input?: string) =>
    runInProcess([...words, ...at], input === undefined ? {} : { input })
  return { ...made, at, run }
}

t.test('a service by flags, listed and removed', async (t) => {
  const { run, at, catalog, health } = await agent(t)
  const registered = await run([
    ...['services', 'register', '--name', 'web', '--id', 'a/b', '--port', '8080', '--address', '10.9.9.9'],
    ...['--tag', 'v1', '--tag', 'blue', '--meta', 'k=v=w', '--meta', 'zone=a'],
    ...['--check-http', 'http://127.0.0.1:8080/', '--check-tcp', '127.0.0.1:8080', '--interval', '5s'],
    ...['--timeout', '500ms', '--deregister-after', '10m', '--check-ttl', '90s'],
  ])
  t.strictSame(registered, { code: 0, out: 'registered: a/b\n', err: '' })
  t.match(catalog.record().services.get('a/b'), {
    name: 'web',
    port: 8080,
    address: '10.9.9.9',
    tags: ['v1', 'blue'],
    meta: { k: 'v=w', zone: 'a' },
  })
  t.match(health.puts, [
    { kind: { type: 'http' }, intervalMs: 5_000, timeoutMs: 500, deregisterAfterMs: 600_000 },
    { kind: { type: 'tcp', address: '127.0.0.1:8080' }, intervalMs: 5_000 },
    { kind: { type: 'ttl', ttlMs: 90_000 }, deregisterAfterMs: 600_000 },
  ])
  const table = `SERVICE  NODE  ID   ADDRESS        STATUS    TAGS
web      n1    a/b  10.9.9.9:8080  critical  blue,v1
`
  for (const words of [['services'], ['services', 'list'], ['services', ...at, 'list']]) {
    t.strictSame(await run(words), { code: 0, out: table, err: '' }, words.join(' '))
  }
  for (const words of [
    ['services', '--json'],
    ['services', 'list', '--json'],
    ['services', '--json', 'list'],
  ]) {
    t.match(JSON.parse((await run(words)).out), [{ name: 'web' }], words.join(' '))
  }
  await run([
    'services',
    'register',
    '--name',
    'web',
    '--id',
    'a/b',
    '--check-grpc',
    '127.0.0.1:1/x',
    '--replace-existing-checks',
  ])
  t.match([...catalog.record().checks.values()], [{ id: 'service:a/b', type: 'grpc', interval: '10s' }])
  const removed = { code: 0, out: '{"deregistered":["a/b"]}\n', err: '' }
  t.strictSame(await run(['services', 'deregister', 'a/b', '--json']), removed)
  t.equal(catalog.record().services.size, 0)
  const gone = await run(['services', 'deregister', 'a/b'])
  t.match(gone, { code: 1, out: '', err: /answered 404: Unknown service ID "a\/b"/ })
})

t.test('services in files and on standard input', async (t) => {
  const { run, catalog } = await agent(t)
  const folder = tempDir(t)
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text)
    return join(folder, name)
  }
  const yaml = file('web.yaml', 'name: web\nport: 80\ncheck:\n  http: http://localhost/\n  interval: 10s\n')
  const json = file(
    'more.json',
    '{"services":[{"ID":"db-1","Name":"db"},{"name":"cache","tagged_addresses":{}}]}',
  )
  t.strictSame(await run(['services', 'register', yaml, json]), {
    code: 0,
    out: 'registered: web\nregistered: db-1\nregistered: cache\n',
    err: '',
  })
  t.strictSame(await run(['services', 'register', '-', '--json'], '{"service":{"name":"mail"}}'), {
    code: 0,
    out: '{"registered":["mail"]}\n',
    err: '',
  })
  t.same([...catalog.record().services.keys()], ['web', 'db-1', 'cache', 'mail'])

  const broken = file('broken.yaml', 'name: x\n  port: 1\n')
  const refused = await run(['services', 'register', file('x.yaml', 'name: x\n'), broken])
  t.match(refused, { code: 1, out: '', err: /broken\.yaml: .* line 1, column 7/ })
  t.notOk(catalog.record().services.has('x'), 'all files are read before anything is registered')
  const bad = await run([
    'services',
    'register',
    file('bad.yaml', '[{name: one}, {name: two, port: 70000}, {name: three}]'),
  ])
  t.match(bad, {
    code: 1,
    out: 'registered: one\n',
    err: /bad\.yaml, two: .* answered 400: Invalid service port/,
  })
  const labels = await run(['services', 'register', file('labels.yaml', 'name: x\nLabels: {a: b}')])
  t.match(labels, { code: 1, err: /labels\.yaml: labels are read from watched files only/ })
  t.match(await run(['services', 'register', join(folder, 'none')]), { code: 1, err: /cannot read .*none/ })
})

t.test('what makes no sense is a mistake in its use', async (t) => {
  const { run, catalog } = await agent(t)
  const wrong: [string[], RegExp][] = [
    [['register'], /name a file, or describe a service/],
    [['register', 'f', '--name', 'web'], /by flags or by files/],
    [['register', '--port', '1'], /give the service a --name/],
    [['register', '--name', 'web', '--port', '0'], /--port.*1-65535/],
    [['register', '--name', 'web', '--port', '80x'], /--port.*1-65535/],
    [['register', '--name', 'web', '--meta', 'x'], /--meta.*KEY=VALUE/],
    [['register', '--name', 'web', '--interval', '5s'], /--interval and --timeout are about a check/],
    [['register', '--name', 'web', '--deregister-after', '5m'], /--deregister-after is about a check/],
    [['register', '--name', 'web', '--check-http', 'x', '--interval', 'often'], /--interval.*duration/],
    [['deregister'], /missing required argument/],
    [['nonsense'], /nonsense|unknown command|too many arguments/],
  ]
  for (const [words, err] of wrong) {
    t.match(await run(['services', ...words]), { code: 64, out: '', err }, words.join(' '))
  }
  t.equal(catalog.record().services.size, 0)
})

t.test('maintenance: enabled, listed and disabled', async (t) => {
  const { run, catalog } = await agent(t)
  await run(['services', 'register', '--name', 'web', '--id', 'web 1'])
  t.strictSame(await run(['maint']), { code: 0, out: 'nothing is in maintenance\n', err: '' })
  const service = await run(['maint', 'enable', '--service', 'web 1', '--reason', 'it is slow & old'])
  t.strictSame(service, { code: 0, out: 'maintenance enabled: the service web 1\n', err: '' })
  const node = await run(['maint', 'enable', '--json'])
  t.strictSame(node, { code: 0, out: '{"maintenance":true,"service":null}\n', err: '' })
  catalog.putCheck({ ...[...catalog.record().checks.values()][0], id: 'another', serviceId: '' } as never)
  t.equal(
    (await run(['maint'])).out,
    `NODE  SERVICE  REASON
n1    web 1    it is slow & old
n1    (all)    Maintenance mode is enabled for this node, but no reason was provided.
`,
  )
  t.same(
    JSON.parse((await run(['maint', '--json'])).out).map(({ CheckID }: { CheckID: string }) => CheckID),
    ['_service_maintenance:web 1', '_node_maintenance'],
  )
  t.equal((await run(['maint', 'disable'])).out, 'maintenance disabled: the node and all its services\n')
  await run(['maint', 'disable', '--service', 'web 1'])
  t.equal((await run(['maint'])).out, 'nothing is in maintenance\n')
  t.match(await run(['maint', 'enable', '--service', 'none']), { code: 1, err: /Unknown service ID "none"/ })
  t.match(await run(['maint', 'disable', '--reason', 'x']), { code: 64, err: /--reason/ })
  t.match(await run(['maint', 'begin']), { code: 64 })
})
