import { execFileSync, spawnSync } from 'node:child_process'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { assertNodeVersion, buildExecutable } from '../../scripts/build.ts'

t.test('only the pinned Node builds', async (t) => {
  t.doesNotThrow(() => assertNodeVersion('26.10.0'))
  t.throws(() => assertNodeVersion('20.20.2'), {
    message: /must be version 26, not 20\.20\.2.*npm run build/,
  })
})

/** One program with everything that a bundle can lose: a native addon, lazy and CommonJS modules, JSON, a child of itself. */
const PROGRAM = {
  'main.ts': `
    import { parseArgs } from 'node:util'
    import data from './data.json' with { type: 'json' }
    void main()
    async function main(): Promise<void> {
    const { positionals } = parseArgs({ allowPositionals: true, strict: false })
    if (positionals[0] === 'level') {
      const { ClassicLevel } = await import('classic-level')
      const db = new ClassicLevel(positionals[1] ?? '')
      await db.put('key', 'value', { sync: true })
      process.stdout.write(await db.get('key') ?? 'nothing')
      await db.close()
    } else if (positionals[0] === 'compiled') {
      const { getRawAsset } = await import('node:sea')
      const { Script } = await import('node:vm')
      const source = Buffer.from(getRawAsset('program.cjs')).toString('latin1')
      const cachedData = Buffer.from(getRawAsset('command.cache'))
      process.stdout.write(String(new Script(source, { cachedData, filename: 'another' }).cachedDataRejected))
    } else if (positionals[0] === 'fork') {
      const { spawnSync } = await import('node:child_process')
      process.stdout.write(spawnSync(process.execPath, ['version'], { encoding: 'utf8' }).stdout)
    } else {
      const { lazy } = await import('./lazy.ts')
      process.stdout.write([data.answer, lazy(), process.argv.slice(2).join()].join(' '))
    }
    }
  `,
  'data.json': '{ "answer": 42 }',
  'lazy.ts': `
    import old from './old.cjs'
    export function lazy(): string { return old.name() }
  `,
  'old.cjs': `const { basename } = require('node:path'); exports.name = () => basename(__filename)`,
}

const skip = process.platform === 'win32' ? 'not supported: Windows' : false

t.test('the executable runs alone', { skip }, async (t) => {
  const folder = t.testdir({ ...PROGRAM, empty: {} })
  const output = join(folder, 'dist/constellation')
  const built = await buildExecutable({ entry: join(folder, 'main.ts'), output, rehearseAgents: false })
  t.equal(built.output, output)
  t.equal(statSync(output).mode & 0o777, 0o755)
  t.same(readdirSync(join(folder, 'dist')), ['constellation'], 'nothing but the executable is left')

  // No Node, no node_modules, no environment: what a host has on which it was just copied.
  const empty = join(folder, 'empty')
  const run = (...args: string[]): string =>
    execFileSync('/usr/bin/env', ['-i', 'PATH=/nonexistent', `TMPDIR=${empty}`, output, ...args], {
      cwd: empty,
      encoding: 'utf8',
      timeout: 20_000,
    })
  t.equal(run('version'), '42 constellation version')
  t.equal(run('--version', '-h'), '42 constellation --version,-h', 'flags of Node are ours')
  t.equal(run('level', './db'), 'value', 'the native library is loaded')
  t.same(readdirSync(empty), ['db'], 'and unpacked without a trace')
  t.equal(run('compiled'), 'false', 'what was compiled when it was built is taken')
  t.equal(run('fork'), '42 constellation version', 'process.execPath starts it again')

  const failed = spawnSync(output, ['level', './db2'], {
    cwd: empty,
    encoding: 'utf8',
    env: { TMPDIR: '/nonexistent' },
    timeout: 20_000,
  })
  t.equal(failed.stdout, 'value', 'a useless TMPDIR is passed over')
})

t.test('a program that cannot be bundled leaves no executable', { skip }, async (t) => {
  const folder = t.testdir({ 'main.ts': `import 'no-such-package'`, dist: {} })
  const output = join(folder, 'dist/constellation')
  await t.rejects(buildExecutable({ entry: join(folder, 'main.ts'), output, rehearseAgents: false }), {
    message: /no-such-package/,
  })
  t.same(readdirSync(join(folder, 'dist')), [])
})

t.test('what the bundle format cannot express stops the build', { skip }, async (t) => {
  for (const line of ['process.stdout.write(import.meta.url)', 'await Promise.resolve()']) {
    const folder = t.testdir({ 'main.ts': `${line}\nexport {}\n` })
    const built = buildExecutable({ entry: join(folder, 'main.ts'), output: join(folder, 'constellation') })
    await t.rejects(built, { message: /Build failed/ }, line)
  }
})
