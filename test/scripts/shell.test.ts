import { spawnSync } from 'node:child_process'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'

const ROOT = join(import.meta.dirname, '../..')
const PROGRAMS = [
  '.ci/run',
  ...readdirSync(join(ROOT, 'scripts'))
    .filter((name) => name.endsWith('.sh'))
    .map((name) => `scripts/${name}`),
]
const hasShellcheck = spawnSync('shellcheck', ['--version'], { stdio: 'ignore' }).status === 0

t.test('shellcheck is content', { skip: hasShellcheck ? false : 'not installed: shellcheck' }, async (t) => {
  for (const program of PROGRAMS) {
    const answer = spawnSync('shellcheck', [program], { cwd: ROOT, encoding: 'utf8' })
    t.equal(answer.stdout + answer.stderr, '', program)
  }
})

t.test('shell programs are executable and refuse what they do not know', async (t) => {
  for (const program of PROGRAMS) {
    t.equal(statSync(join(ROOT, program)).mode & 0o111, 0o111, program)
    if (program === '.ci/run') continue
    const run = (flag: string) =>
      spawnSync(join(ROOT, program), [flag], { encoding: 'utf8', timeout: 10_000 })
    const unknown = run('--no-such-flag')
    t.equal(unknown.status, 64, `${program} --no-such-flag`)
    t.match(unknown.stderr, /--no-such-flag/)
    const help = run('--help')
    t.equal(help.status, 0, `${program} --help`)
    t.match(help.stdout, /^Usage: /)
  }
})
