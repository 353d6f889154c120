import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { runCommand } from './command.ts'
import { executable } from './executable.ts'

const PLACE = '%FILE%'

/** Files that cannot be, and the one line that has to be said about each. */
const CASES: readonly { readonly name: string; readonly yaml: string; readonly line: string | RegExp }[] = [
  {
    name: 'a misspelt key',
    yaml: 'node:\n  name: n1\nclusterr:\n  name: home\n',
    line: /^%FILE%:3: clusterr: unknown key; did you mean "cluster"\? allowed: .*\bcluster\b.*\n$/,
  },
  {
    name: 'a misspelt key of a section',
    yaml: 'cluster:\n  name: home\n  bootstrap_expects: 3\n',
    line: /^%FILE%:3: cluster\.bootstrap_expects: .*bootstrap_expect.*allowed: .*key_file.*\n$/,
  },
  {
    name: 'a bad address',
    yaml: 'http:\n  listen: "127.0.0.1:85000"\n',
    line: /^%FILE%:2: http\.listen: "127\.0\.0\.1:85000" .*; allowed: .*\n$/,
  },
  {
    name: 'a missing key file',
    yaml: 'cluster:\n  bootstrap_expect: 3\n  key_file: nowhere.key\n',
    line: /^%FILE%:3: cluster\.key_file: .*nowhere\.key.*no such file; allowed: .+\n$/,
  },
  {
    name: 'a value of the wrong type',
    yaml: 'node: { name: n1, priority: high }\n',
    line: /^%FILE%:1: node\.priority: .*high.*; allowed: .*0.*1000.*\n$/,
  },
  {
    name: 'no YAML',
    yaml: 'node: { name: n1\n',
    line: /^%FILE%:\d+: .+\n$/,
  },
]

t.test('a bad configuration: exit 78 and one line that says where and what', async (t) => {
  const program = await executable()
  const folder = t.testdir({})
  for (const { name, yaml, line } of CASES) {
    await t.test(name, async (t) => {
      const file = join(folder, `${name.replaceAll(' ', '-')}.yaml`)
      writeFileSync(file, yaml)
      const [agent, validate] = await Promise.all([
        runCommand(program, ['agent', '--config', file, '--data-dir', join(folder, 'data')]),
        runCommand(program, ['validate', file]),
      ])
      for (const [command, finished] of Object.entries({ agent, validate })) {
        t.equal(finished.code, 78, command)
        t.match(finished.err.replaceAll(file, PLACE), line, command)
        t.equal(finished.out, '', command)
      }
      t.comment(agent.err.trim().replaceAll(`${folder}/`, ''))
    })
  }
  t.notOk(readdirSync(folder).includes('data'), 'nothing was started')

  await t.test('flags and the environment', async (t) => {
    const flag = await runCommand(program, [
      'agent',
      '--http',
      'nonsense',
      '--data-dir',
      join(folder, 'data'),
    ])
    t.equal(flag.code, 78)
    t.match(flag.err, /^--http: http\.listen: "nonsense" .*allowed: .*\n$/)
    const variable = await runCommand(program, ['agent'], {
      env: { CONSTELLATION_NODE_NAMES: 'x', HOME: folder },
    })
    t.equal(variable.code, 78)
    t.match(variable.err, /^CONSTELLATION_NODE_NAMES: .*CONSTELLATION_NODE_NAME\?\n$/)
    const usage = await runCommand(program, ['agent', '--no-such-flag'])
    t.equal(usage.code, 64)
    const missing = await runCommand(program, ['validate', join(folder, 'none.yaml')])
    t.equal(missing.code, 78)
    t.match(missing.err, /none\.yaml: the configuration file cannot be read: no such file\n$/)
  })

  await t.test('a good one', async (t) => {
    const file = join(folder, 'good.yaml')
    writeFileSync(file, 'node: { name: n1 }\nhttp: { listen: "127.0.0.1:8500" }\n')
    const finished = await runCommand(program, ['validate', file])
    t.match(finished, { code: 0, out: `ok: ${file}\n`, err: '' })
  })
})
