import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadConfig } from '../../agent/config/load.ts'

const FOLDER = join(import.meta.dirname, '../../systemd')
const UNIT = readFileSync(join(FOLDER, 'constellation.service'), 'utf8')
const EXPOSURE_MAX = 2

const hasAnalyze = spawnSync('systemd-analyze', ['--version'], { stdio: 'ignore' }).status === 0
const skip = hasAnalyze ? false : 'not installed: systemd-analyze'

/** A copy of the unit whose executable exists, which is all that `verify` cannot know about. */
function unitWithProgram(folder: string): string {
  const path = join(folder, 'constellation.service')
  writeFileSync(path, UNIT.replace('/usr/local/bin/constellation ', '/bin/true '))
  return path
}

t.test('systemd-analyze verify has nothing to say', { skip }, async (t) => {
  const answer = spawnSync('systemd-analyze', ['verify', '--man=no', unitWithProgram(t.testdir())], {
    encoding: 'utf8',
  })
  t.equal(answer.stderr + answer.stdout, '')
  t.equal(answer.status, 0)
})

t.test('systemd-analyze verify notices a mistake', { skip }, async (t) => {
  const path = unitWithProgram(t.testdir())
  writeFileSync(path, `${UNIT}\n[Service]\nProtectEverything=yes\n`)
  t.match(spawnSync('systemd-analyze', ['verify', path], { encoding: 'utf8' }).stderr, /ProtectEverything/)
})

t.test('the exposure is low', { skip }, async (t) => {
  const answer = execFileSync(
    'systemd-analyze',
    ['security', '--offline=true', '--no-pager', unitWithProgram(t.testdir())],
    { encoding: 'utf8' },
  )
  const exposure = Number(/Overall exposure level for constellation\.service: ([\d.]+)/.exec(answer)?.[1])
  t.ok(exposure < EXPOSURE_MAX, `exposure ${exposure}`)
})

t.test('the unit says what the agent relies on', async (t) => {
  const lines = UNIT.split('\n')
  for (const line of [
    'Type=notify',
    'NotifyAccess=all',
    'WatchdogSec=30s',
    'Restart=on-failure',
    'RestartPreventExitStatus=78',
    'TimeoutStopSec=15s',
    'ExecStart=/usr/local/bin/constellation agent --config /etc/constellation/constellation.yaml',
    'ExecReload=/bin/kill -HUP $MAINPID',
    'LoadCredential=cluster-key:/etc/constellation/cluster.key',
    'MemoryDenyWriteExecute=no',
  ]) {
    t.ok(lines.includes(line), line)
  }
})

t.test('unit, user and folders agree', async (t) => {
  const sysusers = readFileSync(join(FOLDER, 'constellation.sysusers'), 'utf8')
  const user = /^User=(.+)$/m.exec(UNIT)?.[1]
  t.match(sysusers, new RegExp(`^u ${user} `, 'm'))
  const tmpfiles = readFileSync(join(FOLDER, 'constellation.tmpfiles'), 'utf8')
  t.match(tmpfiles, new RegExp(`^d /var/lib/constellation +0700 ${user} ${user} `, 'm'))
  t.match(tmpfiles, new RegExp(`^z /etc/constellation/cluster.key +0640 root ${user} `, 'm'))
})

t.test('the default configuration is valid and stays on this host', async (t) => {
  const folder = t.testdir({ 'cluster.key': `${Buffer.alloc(32, 7).toString('base64')}\n` })
  execFileSync('chmod', ['600', join(folder, 'cluster.key')])
  const text = readFileSync(join(FOLDER, 'constellation.yaml'), 'utf8')
  const file = join(folder, 'constellation.yaml')
  writeFileSync(file, text.replace('/etc/constellation/cluster.key', './cluster.key'))
  const warnings: string[] = []
  const onWarning = (line: string): void => void warnings.push(line)
  const config = loadConfig({ file, flags: {}, env: {}, hostname: 'n1', onWarning })
  t.same(warnings, [])
  t.same(
    [config.mesh, config.http, config.dns].map((each) => each.listen.host),
    Array(3).fill('127.0.0.1'),
  )
  t.equal(config.cluster.bootstrapExpect, 1)
  t.equal(config.dataDir, '/var/lib/constellation')
  const joined = text
    .replace('/etc/constellation/cluster.key', './cluster.key')
    .replace('# join:', 'join:')
    .replace('# bootstrap_expect:', 'bootstrap_expect:')
    .replace('listen: "127.0.0.1:7946"', 'listen: "0.0.0.0:7946"')
  writeFileSync(file, joined)
  t.equal(loadConfig({ file, flags: {}, env: {}, hostname: 'n1', onWarning }).cluster.bootstrapExpect, 3)
  t.same(warnings, [], 'the commented example works too')
})
