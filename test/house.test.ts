import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const root = fileURLToPath(new URL('..', import.meta.url))
const biome = join(root, 'node_modules/@biomejs/biome/bin/biome')

/** What the linter, with this project's rules, says of a file at `path` that holds `source`. */
function lint(path: string, source: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'house-'))
  try {
    copyFileSync(join(root, 'biome.json'), join(folder, 'biome.json'))
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), source)
    const args = [biome, 'lint', '--vcs-enabled=false', '--colors=off', path]
    const { stdout, stderr } = spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8' })
    if (!/Checked 1 file/.test(stdout)) throw new Error(`the linter did not run: ${stdout}${stderr}`)
    return stdout + stderr
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const imported = (from: string) => `import { x } from '${from}'\n\nexport const y = x\n`

t.test('imports that would let rooms meet are refused', async (t) => {
  const refused: readonly (readonly [path: string, from: string])[] = [
    ['consensus/a.ts', '../discovery/catalog/types.ts'],
    ['consensus/a.ts', '../agent/run.ts'],
    ['discovery/catalog/a.ts', '../../consensus/client.ts'],
    ['discovery/catalog/a.ts', '../../providers/traefik/view.ts'],
    ['providers/traefik/a.ts', '../../agent/run.ts'],
    ['providers/traefik/a.ts', '../../consensus/replica.ts'],
    ['agent/http/a.ts', '../../consensus/replica.ts'],
    ['consensus/raft/a.ts', 'node:fs'],
    ['consensus/raft/a.ts', '../storage/log-store.ts'],
    ['consensus/state/a.ts', '../raft/types.ts'],
    ['discovery/membership/core/a.ts', '../../mesh/types.ts'],
  ]
  for (const [path, from] of refused)
    t.match(lint(path, imported(from)), /noRestrictedImports/, `${path} → ${from}`)
})

t.test('imports along the one way are allowed', async (t) => {
  const allowed: readonly (readonly [path: string, from: string])[] = [
    ['providers/traefik/a.ts', '../../consensus/client.ts'],
    ['providers/traefik/a.ts', '../../discovery/catalog/types.ts'],
    ['agent/http/a.ts', '../../consensus/client.ts'],
    ['agent/agent.ts', '../consensus/node.ts'],
    ['consensus/raft/a.ts', './types.ts'],
  ]
  for (const [path, from] of allowed)
    t.notMatch(lint(path, imported(from)), /noRestrictedImports/, `${path} → ${from}`)
})

t.test('the pure cores have no clock, no timers and no randomness of their own', async (t) => {
  for (const global of [
    'Date.now()',
    'performance.now()',
    'setTimeout(() => {}, 1)',
    'crypto.randomUUID()',
    'process.pid',
  ]) {
    t.match(lint('consensus/raft/a.ts', `export const x = ${global}\n`), /noRestrictedGlobals/, global)
  }
  const pure = spawnSync(
    'git',
    ['ls-files', 'consensus/raft', 'consensus/state', 'discovery/membership/core'],
    {
      cwd: root,
      encoding: 'utf8',
    },
  )
  const files = pure.stdout.split('\n').filter((file) => file.endsWith('.ts'))
  t.ok(files.length > 10)
  for (const file of files)
    t.notMatch(readFileSync(new URL(`../${file}`, import.meta.url), 'utf8'), /Math\.random/, file)
})
