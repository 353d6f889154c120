import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'

const SCRIPT = join(import.meta.dirname, '../../scripts/install.sh')
const STUB = `#!/bin/sh
case $1 in
  version) echo 0.1.0 ;;
  keygen) echo "key-$$" ;;
  *) exit 64 ;;
esac
`

interface Host {
  readonly root: string
  readonly binary: string
  readonly install: (...args: string[]) => { status: number | null; stdout: string; stderr: string }
  readonly path: (name: string) => string
  readonly read: (name: string) => string
  readonly mode: (name: string) => string
}

/** An empty root to install in, and a stand-in for the executable. */
function host(t: Test, stub = STUB): Host {
  const folder = t.testdir({ root: {}, constellation: stub })
  const binary = join(folder, 'constellation')
  chmodSync(binary, 0o755)
  const root = join(folder, 'root')
  const path = (name: string): string => join(root, name)
  return {
    root,
    binary,
    path,
    install: (...args) =>
      spawnSync(SCRIPT, ['--root', root, '--binary', binary, ...args], { encoding: 'utf8', timeout: 20_000 }),
    read: (name) => readFileSync(path(name), 'utf8'),
    mode: (name) => (statSync(path(name)).mode & 0o777).toString(8),
  }
}

const PROGRAM = 'usr/local/bin/constellation'
const UNIT = 'etc/systemd/system/constellation.service'
const CONFIG = 'etc/constellation/constellation.yaml'
const KEY = 'etc/constellation/cluster.key'

t.test('installs everything, closed to other users', async (t) => {
  const { install, read, mode, path } = host(t)
  const done = install()
  t.equal(done.status, 0, done.stderr)
  t.equal(read(PROGRAM), STUB)
  t.equal(mode(PROGRAM), '755')
  t.match(read(UNIT), /^ExecStart=\/usr\/local\/bin\/constellation agent /m)
  t.match(read('etc/sysusers.d/constellation.conf'), /^u constellation /m)
  t.match(read('etc/tmpfiles.d/constellation.conf'), /^d \/var\/lib\/constellation /m)
  t.match(read(CONFIG), /key_file: \/etc\/constellation\/cluster\.key/)
  t.equal(mode(CONFIG), '640')
  t.match(read(KEY), /^key-\d+\n$/)
  t.equal(mode(KEY), '640')
  t.equal(mode('etc/constellation'), '750')
  t.notMatch(done.stdout + done.stderr, /key-\d/, 'the key is not printed')
  t.same(
    readdirSync(path('.'), { recursive: true }).filter((name) => String(name).endsWith('.new')),
    [],
  )
})

t.test('a second run replaces the program and keeps configuration and key', async (t) => {
  const { install, read, binary, path } = host(t)
  t.equal(install().status, 0)
  const key = read(KEY)
  writeFileSync(path(CONFIG), 'mine: true\n')
  writeFileSync(path(UNIT), 'old\n')
  const newer = STUB.replace('0.1.0', '0.2.0')
  writeFileSync(binary, newer)
  const again = install()
  t.equal(again.status, 0, again.stderr)
  t.equal(read(KEY), key)
  t.equal(read(CONFIG), 'mine: true\n')
  t.equal(read(PROGRAM), newer)
  t.match(read(UNIT), /Type=notify/)
})

t.test('a key that is a link, even to nowhere, is left alone', async (t) => {
  const { install, path } = host(t)
  t.equal(install('--uninstall').status, 0, 'nothing to remove is no failure')
  t.equal(install().status, 0)
  spawnSync('rm', [path(KEY)])
  symlinkSync('/nonexistent/secret', path(KEY))
  t.equal(install().status, 0)
  t.equal(existsSync(path(KEY)), false)
})

t.test('--prefix moves the program, and the unit follows', async (t) => {
  const { install, read } = host(t)
  t.equal(install('--prefix=/opt/constellation').status, 0)
  t.equal(read('opt/constellation/bin/constellation'), STUB)
  t.match(read(UNIT), /^ExecStart=\/opt\/constellation\/bin\/constellation agent /m)
  t.equal(install('--prefix', 'relative').status, 64)
  t.equal(install('--prefix', '/a b').status, 64)
  t.equal(install('--prefix').status, 64)
})

t.test('--uninstall removes the program and keeps what cannot be made again', async (t) => {
  const { install, path } = host(t)
  t.equal(install().status, 0)
  const done = install('--uninstall')
  t.equal(done.status, 0, done.stderr)
  const left = readdirSync(path('.'), { recursive: true, withFileTypes: true })
  t.same(
    left
      .filter((entry) => entry.isFile())
      .map((entry) => entry.name)
      .sort(),
    ['cluster.key', 'constellation.yaml'],
  )
})

t.test('a program that does not run is not installed', async (t) => {
  const broken = host(t, '#!/bin/sh\nexit 1\n')
  const done = broken.install()
  t.equal(done.status, 1)
  t.match(done.stderr, /does not run/)
  t.same(readdirSync(broken.root), [])
  const missing = broken.install('--binary', '/nonexistent/constellation')
  t.equal(missing.status, 1)
  t.match(missing.stderr, /npm run build/)
})

t.test('without a key there is no key file', async (t) => {
  for (const keygen of ['exit 1', 'exit 0']) {
    const { install, path } = host(t, STUB.replace('echo "key-$$"', keygen))
    const done = install()
    t.equal(done.status, 1, keygen)
    t.match(done.stderr, /keygen/)
    t.same(readdirSync(path('etc/constellation')), ['constellation.yaml'])
  }
})
