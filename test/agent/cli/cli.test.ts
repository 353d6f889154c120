import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { CLUSTER_KEY_BYTES } from '../../../discovery/mesh/cluster-key.ts'
import { constellation, inProcess } from './run.ts'

const manifest = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'))

const COMMANDS = [
  ['agent'],
  ['dev'],
  ['members'],
  ['rtt'],
  ['leave'],
  ['force-leave'],
  ['cordon'],
  ['uncordon'],
  ['kv'],
  ['kv', 'get'],
  ['kv', 'put'],
  ['kv', 'delete'],
  ['kv', 'list'],
  ['kv', 'watch'],
  ['kv', 'export'],
  ['kv', 'import'],
  ['txn'],
  ['session'],
  ['session', 'list'],
  ['session', 'create'],
  ['session', 'renew'],
  ['session', 'destroy'],
  ['session', 'info'],
  ['lock'],
  ['services'],
  ['compose'],
  ['compose', 'lint'],
  ['compose', 'import'],
  ['docker'],
  ['leases'],
  ['raft'],
  ['raft', 'status'],
  ['raft', 'transfer'],
  ['raft', 'add'],
  ['raft', 'remove'],
  ['raft', 'recover'],
  ['traefik'],
  ['traefik', 'show'],
  ['traefik', 'explain'],
  ['traefik', 'check'],
  ['validate'],
  ['keygen'],
  ['keyring'],
  ['keyring', 'list'],
  ['keyring', 'install'],
  ['keyring', 'use'],
  ['keyring', 'remove'],
  ['version'],
]

t.test('every command has help with examples that begin with the command', async (t) => {
  const help = await inProcess('--help')
  t.strictSame(await constellation(['--help']), help, 'a process says the same')
  t.equal(help.code, 0)
  for (const command of COMMANDS) {
    const { code, out, err } = await inProcess(...command, '--help')
    t.equal(code, 0, command.join(' '))
    t.equal(err, '')
    t.ok(out.includes(`\nExamples:\n  $ `), command.join(' '))
    t.ok(out.split('Examples:')[1]?.includes(`constellation ${command.join(' ')}`), command.join(' '))
    t.ok(help.out.includes(`\n  ${command[0]} `), `${command[0]} is listed`)
  }
})

t.test('help of a command is its --help', async (t) => {
  t.strictSame(await inProcess('help'), await inProcess('--help'))
  t.strictSame(await constellation(['help']), await inProcess('--help'), 'a process says the same')
  t.strictSame(await inProcess('help', 'kv', 'put'), await inProcess('kv', 'put', '--help'))
  t.strictSame(await inProcess('help', 'membres'), {
    code: 64,
    out: '',
    err: "constellation: unknown command 'membres'\nSee: constellation --help\n",
  })
  t.match(await inProcess('help', 'kv', 'gte'), { code: 64, err: /unknown command 'gte'\nSee: .* kv --help/ })
})

t.test('wrong usage is 64, one line and a hint', async (t) => {
  t.strictSame(await constellation(['membres']), await inProcess('membres'), 'a process says the same')
  for (const [args, err] of [
    [['membres'], "unknown command 'membres' (Did you mean members?)\nSee: constellation --help\n"],
    [['kv', 'get'], "missing required argument 'key'\nSee: constellation kv get --help\n"],
    [
      ['kv', 'get', ''],
      /argument value '' is invalid for argument 'key'\. It must not be empty\.\nSee: .* kv get --help\n$/,
    ],
    [
      ['kv', 'put', 'k', 'v', '--cas', '-1'],
      /'--cas <index>' argument '-1' is invalid\..*\nSee: .* kv put --help\n$/,
    ],
    [
      ['agent', '--jion', 'x'],
      "unknown option '--jion' (Did you mean --join?)\nSee: constellation agent --help\n",
    ],
    [['version', 'x'], /^constellation: too many arguments.*\nSee: constellation version --help\n$/],
    [['validate'], "missing required argument 'file'\nSee: constellation validate --help\n"],
    [
      ['dev', '--nodes', '0'],
      /argument '0' is invalid\. It must be a whole number 1-100\.\nSee: constellation dev --help\n$/,
    ],
    [
      ['events', '--type', 'node-faild'],
      /no such event\. Did you mean node-failed\? There are node-joined, .*\nSee: constellation events --help\n$/,
    ],
    [['dev', '--log-level', 'x'], /Allowed choices are fatal, .*\nSee: constellation dev --help\n$/],
  ] as const) {
    const finished = await inProcess(...args)
    t.equal(finished.code, 64, args.join(' '))
    t.equal(finished.out, '')
    if (typeof err === 'string') t.equal(finished.err, `constellation: ${err}`)
    else t.match(finished.err, err)
  }
  for (const args of [[], ['kv'], ['raft']]) {
    const finished = await inProcess(...args)
    t.equal(finished.code, 64, args.join(' '))
    t.match(finished.err, /^Usage: constellation/)
  }
})

t.test('version', async (t) => {
  const text = `constellation ${manifest.version} (Node.js ${process.version})\n`
  t.strictSame(await constellation(['version']), { code: 0, out: text, err: '' })
  t.strictSame(await constellation(['--version']), { code: 0, out: `${manifest.version}\n`, err: '' })
  const { out } = await constellation(['version', '--json'])
  t.strictSame(JSON.parse(out), { version: manifest.version, node: process.version })
})

t.test('keygen makes a key that validate accepts, another one each time', async (t) => {
  const dir = t.testdir({ 'c.yaml': 'cluster: { key_file: k, bootstrap_expect: 3 }\n' })
  const first = await constellation(['keygen'])
  t.equal(Buffer.from(first.out, 'base64').length, CLUSTER_KEY_BYTES)
  t.not((await constellation(['keygen'])).out, first.out)
  writeFileSync(join(dir, 'k'), first.out, { mode: 0o600 })
  t.strictSame(await constellation(['validate', 'c.yaml'], { cwd: dir }), {
    code: 0,
    out: 'ok: c.yaml\n',
    err: '',
  })
})

t.test('validate and agent refuse the same with the same words and 78', async (t) => {
  const dir = t.testdir({ 'c.yaml': 'http:\n  lisen: x\nnode: { name: "" }\n' })
  const file = join(dir, 'c.yaml')
  const refused = {
    code: 78,
    out: '',
    err: [
      `${file}:2: http.lisen: unknown key; did you mean "listen"? allowed: listen`,
      `${file}:3: node.name: "" is empty; allowed: 1-63 of [A-Za-z0-9._-], starting with a letter or digit`,
      '--dns: dns.listen: "x" has no port; allowed: HOST:PORT or [IPV6]:PORT, port 0-65535 (0 = any free port)',
      '',
    ].join('\n'),
  }
  t.strictSame(await constellation(['validate', file, '--dns', 'x']), refused)
  t.strictSame(await constellation(['agent', '--config', file, '--dns', 'x']), refused)
  t.strictSame(await constellation(['agent', '--dns', 'x'], { env: { CONSTELLATION_CONFIG: file } }), refused)
  t.strictSame(await constellation(['agent', '--join', '127.0.0.1:1']), {
    code: 78,
    out: '',
    err: '--join: cluster.key_file: not set, and a cluster of more than one node needs a cluster key; make one with `constellation keygen > FILE; chmod 600 FILE`, the same for every node\n',
  })
})

t.test('validate looks at the service files as well, which are no configuration', async (t) => {
  const dir = t.testdir({
    'c.yaml': 'providers: { files: { directory: services } }\n',
    services: { 'web.yaml': 'name: web\nport: 80\n' },
  })
  const [file, services] = [join(dir, 'c.yaml'), join(dir, 'services')]
  const ok = `ok: ${file}\n`
  t.strictSame(await inProcess('validate', file), {
    code: 0,
    out: `${ok}ok: ${services} (1 file)\n`,
    err: '',
  })
  writeFileSync(join(services, 'db.yaml'), 'name: db\nprot: 1\n')
  const problem = 'service "db": unknown field "prot"; did you mean "port"?'
  t.strictSame(await inProcess('validate', file), {
    code: 1,
    out: ok,
    err: `${join(services, 'db.yaml')}: ${problem}\n`,
  })
})

t.test('what is accepted with a warning', async (t) => {
  const dir = t.testdir({ 'c.yaml': '{}' })
  writeFileSync(join(dir, 'k'), (await constellation(['keygen'])).out, { mode: 0o600 })
  const { code, out, err } = await constellation(
    [
      'validate',
      join(dir, 'c.yaml'),
      '--cluster-key-file',
      join(dir, 'k'),
      '--join',
      '127.0.0.1:1',
      '--bootstrap-expect',
      '1',
    ],
    { env: { CONSTELLATION_SOMETHING_ELSE_ENTIRELY: 'x' } },
  )
  t.equal(code, 0)
  t.equal(out, `ok: ${join(dir, 'c.yaml')}\n`)
  t.equal(
    err,
    'warning: CONSTELLATION_SOMETHING_ELSE_ENTIRELY: no setting has this variable\n' +
      'warning: --bootstrap-expect: cluster.bootstrap_expect: 1 together with join is treated as 0: a node with join never makes a cluster of its own\n',
  )
})
