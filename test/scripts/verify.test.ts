import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, utimesSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'

const SCRIPT = join(import.meta.dirname, '../../scripts/verify.sh')
const STUB = `#!/bin/sh
case $1 in
  version) echo 0.1.0 ;;
  validate) if grep -q broken "$2"; then echo "$2:1: broken is not a key" >&2; exit 78; fi
    if grep -q files "$2"; then echo "ok: $2"; echo "/s/web.yaml: it holds no service" >&2; exit 1; fi ;;
esac
`
const skip =
  spawnSync('curl', ['--version'], { stdio: 'ignore' }).status === 0 ? false : 'not installed: curl'

type Answers = Record<string, { status?: number; body: unknown }>

const HEALTHY: Answers = {
  '/healthz': { body: { status: 'ok' } },
  '/readyz': { body: { status: 'ok' } },
  '/v1/status/leader': { body: '10.0.0.1:7946' },
  '/v1/agent/members': {
    body: [
      { Name: 'n1', Status: 1 },
      { Name: 'n2', Status: 3 },
    ],
  },
}

interface Check {
  readonly check: string
  readonly status: 'ok' | 'warn' | 'skip' | 'fail'
  readonly message: string
}

interface Host {
  readonly folder: string
  readonly answers: Answers
  /** Replaces the configuration; the ports of the running stand-in are filled in. */
  readonly configure: (text: string) => void
  readonly verify: (...args: string[]) => Promise<{ status: number | null; stdout: string }>
  readonly checks: () => Promise<{ status: number | null; by: Record<string, Check> }>
  readonly server: Server
}

const CONFIG = `# http: { listen: "127.0.0.1:1" }
cluster: { name: home, key_file: /etc/constellation/cluster.key }
data_dir: '/var/lib/constellation' # local disk
mesh:
  # listen: "127.0.0.1:1"
  listen: "0.0.0.0:PORT"
http: { listen: "127.0.0.1:PORT" }
dns:
  domain: constellation
  listen: 127.0.0.1:PORT
`

/** A root in which everything is as it should be, and an HTTP server that stands for every port of the agent. */
async function host(t: Test): Promise<Host> {
  const folder = t.testdir({
    usr: { local: { bin: { constellation: STUB } } },
    etc: {
      constellation: { 'cluster.key': 'secret\n' },
      systemd: { system: { 'constellation.service': '' } },
    },
    var: { lib: { constellation: {} } },
  })
  chmodSync(join(folder, 'usr/local/bin/constellation'), 0o755)
  chmodSync(join(folder, 'etc/constellation/cluster.key'), 0o640)
  const answers = { ...HEALTHY }
  const server = createServer((request, response) => {
    const answer = answers[request.url ?? '']
    response.statusCode = answer?.status ?? (answer ? 200 : 404)
    response.end(answer ? JSON.stringify(answer.body) : 'no such path')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const port = (server.address() as AddressInfo).port
  const configure = (text: string): void =>
    writeFileSync(join(folder, 'etc/constellation/constellation.yaml'), text.replaceAll('PORT', `${port}`))
  configure(CONFIG)
  const verify = (...args: string[]) =>
    new Promise<{ status: number | null; stdout: string }>((resolve, reject) => {
      const env = { PATH: process.env.PATH }
      const child = spawn(SCRIPT, ['--root', folder, ...args], { env, timeout: 60_000 })
      let stdout = ''
      child.stdout.on('data', (chunk) => {
        stdout += chunk
      })
      child.on('error', reject)
      child.on('close', (status) => resolve({ status, stdout }))
    })
  const checks = async (): Promise<{ status: number | null; by: Record<string, Check> }> => {
    const { status, stdout } = await verify('--json')
    const rows: Check[] = JSON.parse(stdout)
    return { status, by: Object.fromEntries(rows.map((row) => [row.check, row])) }
  }
  return { folder, answers, configure, verify, checks, server }
}

t.test('nothing is wrong', { skip }, async (t) => {
  const { verify, checks } = await host(t)
  const { status, by } = await checks()
  t.same(
    Object.values(by).filter((row) => row.status === 'fail' || row.status === 'skip'),
    [],
  )
  t.equal(status, 0)
  for (const check of [
    'binary',
    'unit',
    'config',
    'key',
    'mesh',
    'dns',
    'health',
    'ready',
    'leader',
    'members',
  ]) {
    t.equal(by[check]?.status, 'ok', check)
  }
  t.match(by.leader?.message, /10\.0\.0\.1:7946/)
  t.match(by.mesh?.message, /127\.0\.0\.1:\d+/, '0.0.0.0 is dialled on loopback')
  t.match((await verify()).stdout, /^ok +binary .*0\.1\.0$/m)
  t.notMatch((await verify('--quiet')).stdout, /^ok/m)
})

t.test('each fault is one line with its cause, and the exit code is 1', { skip }, async (t) => {
  const faults: [string, RegExp, (host: Host) => void][] = [
    [
      'binary',
      /does not run: oh no/,
      (h) => writeFileSync(join(h.folder, 'usr/local/bin/constellation'), '#!/bin/sh\necho oh no; exit 1\n'),
    ],
    [
      'unit',
      /install\.sh/,
      (h) => spawnSync('rm', [join(h.folder, 'etc/systemd/system/constellation.service')]),
    ],
    ['config', /:1: broken is not a key/, (h) => h.configure(`${CONFIG}broken: 1\n`)],
    ['key', /mode 644/, (h) => chmodSync(join(h.folder, 'etc/constellation/cluster.key'), 0o644)],
    ['key', /mode 660/, (h) => chmodSync(join(h.folder, 'etc/constellation/cluster.key'), 0o660)],
    ['key', /does not exist/, (h) => spawnSync('rm', [join(h.folder, 'etc/constellation/cluster.key')])],
    ['key', /empty/, (h) => writeFileSync(join(h.folder, 'etc/constellation/cluster.key'), '')],
    [
      'mesh',
      /nothing listens on 127\.0\.0\.1:1$/,
      (h) => h.configure(CONFIG.replace('"0.0.0.0:PORT"', '0.0.0.0:1')),
    ],
    [
      'dns',
      /nothing listens on \[::1\]:1$/,
      (h) => h.configure(CONFIG.replace('listen: 127.0.0.1:PORT', "listen: '[::]:1'")),
    ],
    [
      'http',
      /127\.0\.0\.1:1: .*connect/i,
      (h) => h.configure(CONFIG.replace('http: { listen: "127.0.0.1:PORT"', 'http: { listen: "127.0.0.1:1"')),
    ],
    [
      'health',
      /answers 500/,
      (h) => Object.assign(h.answers, { '/healthz': { status: 500, body: 'storage' } }),
    ],
    [
      'ready',
      /503: .*joining/,
      (h) => Object.assign(h.answers, { '/readyz': { status: 503, body: 'joining' } }),
    ],
    ['leader', /no leader/, (h) => Object.assign(h.answers, { '/v1/status/leader': { body: '' } })],
    ['leader', /500/, (h) => Object.assign(h.answers, { '/v1/status/leader': { status: 500, body: 'x' } })],
    [
      'members',
      /2 failed, 1 alive/,
      (h) =>
        Object.assign(h.answers, {
          '/v1/agent/members': { body: [{ Status: 4 }, { Status: 1 }, { Status: 4 }] },
        }),
    ],
    ['members', /no member/, (h) => Object.assign(h.answers, { '/v1/agent/members': { body: [] } })],
    ['clock', /set the clock/, (h) => utimesSync(join(h.folder, 'usr/local/bin/constellation'), 5e9, 5e9)],
  ]
  for (const [check, cause, inflict] of faults) {
    const faulty = await host(t)
    inflict(faulty)
    const { status, by } = await faulty.checks()
    faulty.server.close()
    const failed = Object.values(by).filter((row) => row.status === 'fail')
    t.equal(status, 1, `${check} ${cause}`)
    t.same(
      failed.map((row) => row.check),
      [check],
    )
    t.match(failed[0]?.message, cause)
  }
})

t.test('a node without a key has no mesh port', { skip }, async (t) => {
  const { configure, checks, folder } = await host(t)
  configure(CONFIG.replace(', key_file: /etc/constellation/cluster.key', ''))
  spawnSync('rm', [join(folder, 'etc/constellation/cluster.key')])
  const { status, by } = await checks()
  t.equal(status, 0)
  t.equal(by.key?.status, 'warn')
  t.equal(by.mesh?.status, 'skip')
})

t.test('a message of any kind is valid JSON', { skip }, async (t) => {
  const { answers, checks } = await host(t)
  answers['/readyz'] = { status: 503, body: 'a "quoted" \\ back\tslash\nand a line' }
  t.match((await checks()).by.ready?.message, /quoted/)
})

t.test('--config and --http-addr are used', { skip }, async (t) => {
  const { verify, folder, server } = await host(t)
  mkdirSync(join(folder, 'other'))
  writeFileSync(join(folder, 'other/c.yaml'), 'broken: 1\n')
  const { stdout } = await verify('--config', join(folder, 'other/c.yaml'))
  t.match(stdout, /FAIL +config .*other\/c\.yaml:1/)
  const port = (server.address() as AddressInfo).port
  t.match((await verify('--http-addr', `http://127.0.0.1:${port}/`)).stdout, /ok +health/)
  t.match((await verify('--http-addr=127.0.0.1:1')).stdout, /FAIL +http/)
})

t.test('mistakes in service files are a warning', { skip }, async (t) => {
  const { configure, checks } = await host(t)
  configure(`${CONFIG}providers: { files: { directory: /s } }\n`)
  const { status, by } = await checks()
  t.equal(status, 0)
  t.match(by.config, {
    status: 'warn',
    message: /service files are not: .*\/s\/web\.yaml: it holds no service$/,
  })
})
