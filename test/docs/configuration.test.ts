import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { ConfigError } from '../../agent/config/errors.ts'
import { type ConfigSources, loadConfig } from '../../agent/config/load.ts'
import { generateClusterKey } from '../../discovery/mesh/cluster-key.ts'
import { REWRITE_COMMAND, settingsTable, withSettingsTable } from '../../scripts/docs.ts'
import { codeBlocks, page, section } from './pages.ts'

const TEXT = page('docs/configuration.md')
const KEY_FILE = '/etc/constellation/cluster.key'

/** Loads a configuration as an agent with nothing but this would. */
function load(sources: Partial<ConfigSources>) {
  return loadConfig({ file: null, flags: {}, env: {}, hostname: 'n1', ...sources })
}

/** The lines a refused configuration prints. */
function problems(sources: Partial<ConfigSources>): readonly string[] {
  try {
    load(sources)
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
  return []
}

t.test('the table of settings is that of the schema', (t) => {
  t.equal(TEXT, withSettingsTable(TEXT), `docs/configuration.md is out of step; run: ${REWRITE_COMMAND}`)
  t.ok(TEXT.includes(settingsTable()))
  t.throws(() => withSettingsTable('no such lines'), /needs the line/)
  t.throws(() => withSettingsTable(`${TEXT}${TEXT}`), /once each/)
  t.end()
})

t.test('every example of a configuration is accepted', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'constellation-docs-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const key = join(folder, 'key')
  writeFileSync(key, `${generateClusterKey()}\n`, { mode: 0o600 })
  let examples = 0
  for (const path of ['docs/configuration.md', 'docs/guide.md']) {
    for (const { language, code } of codeBlocks(page(path))) {
      // The other YAML of the guide is Traefik's.
      if (language !== 'yaml' || !/^data_dir:/m.test(code)) continue
      const file = join(folder, `${++examples}.yaml`)
      writeFileSync(file, code.replaceAll(KEY_FILE, key))
      t.doesNotThrow(() => load({ file }), `${path}: ${code}`)
    }
  }
  t.equal(examples, 5)
  t.match(page('systemd/constellation.yaml'), KEY_FILE)
  t.end()
})

t.test('mistakes are reported as shown', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'constellation-docs-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const [shown = '', bad = '', others = '', warning = ''] = codeBlocks(section(TEXT, '## Mistakes')).map(
    ({ code }) => code,
  )
  const print = (file: string, content: string | null) => {
    const path = join(folder, file)
    if (content !== null) writeFileSync(path, content)
    return problems({ file: path }).map((line) => line.replaceAll(`${folder}/`, ''))
  }
  t.equal(shown, `$ constellation validate bad.yaml\n${print('bad.yaml', bad).join('\n')}\n`)

  const key = join(folder, 'key')
  writeFileSync(key, 'open to all')
  chmodSync(key, 0o644)
  const expected = [
    ...print('nokey.yaml', 'cluster:\n  bootstrap_expect: 3\n'),
    ...problems({ flags: { 'cluster.key_file': key } }).map((line) => line.replaceAll(key, '/tmp/key')),
    ...print('syn.yaml', 'node: { name: n1\n'),
    ...print('none.yaml', null),
    ...problems({ env: { CONSTELLATION_HTTP_LISTEN: '127.0.0.1:70000' } }),
    ...problems({ env: { CONSTELLATION_HTTP: '1' } }),
  ]
  t.equal(others, `${expected.join('\n')}\n`)

  const warnings: string[] = []
  load({ env: { CONSTELLATION_FOO: '1' }, onWarning: (line) => warnings.push(`warning: ${line}\n`) })
  t.equal(warning, warnings.join(''))
  t.end()
})
