import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { Agent } from '../../agent/agent.ts'
import { loadConfig } from '../../agent/config/load.ts'
import { codeInColumn, page, ROOT, section } from './pages.ts'

const TEXT = page('docs/operations.md')

/** Starts an agent alone, in this process; it ends with the test. */
async function startAgent(t: Test) {
  const dataDir = mkdtempSync(join(tmpdir(), 'constellation-docs-'))
  const port = await freePort()
  const config = loadConfig({
    file: null,
    flags: {
      data_dir: dataDir,
      'http.listen': `127.0.0.1:${port}`,
      'dns.listen': '127.0.0.1:0',
      'providers.docker.socket': join(dataDir, 'no-engine.sock'),
      'providers.docker': 'true',
    },
    env: {},
    hostname: 'n1',
  })
  const agent = new Agent(config, {
    log: pino({ level: 'silent' }),
    onFatal: (error) => t.fail(error.message),
    onLeave: () => t.fail('nobody asked it to leave'),
    onReload: async () => void t.fail('nobody asked for a reload'),
  })
  t.teardown(async () => {
    await agent.stop()
    rmSync(dataDir, { recursive: true, force: true })
  })
  await agent.start()
  return { agent, dataDir, url: `http://127.0.0.1:${port}` }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** The text of every source file of the program. */
function sources(): string {
  const files = ['agent', 'consensus', 'discovery', 'providers'].flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true }).filter((entry) =>
      entry.name.endsWith('.ts'),
    ),
  )
  return files.map((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8')).join('\n')
}

t.test('metrics and files are those of a running agent', { timeout: 30_000 }, async (t) => {
  const { agent, dataDir, url } = await startAgent(t)
  const metrics = await (await fetch(`${url}/metrics`)).text()
  const exposed = [...metrics.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = '', type = '']) => ({
    name,
    type,
  }))
  const ofRuntime = ({ name }: { name: string }) => /^(process|nodejs)_/.test(name)
  const metricsSection = section(TEXT, '## Metrics')
  const documented = [...metricsSection.matchAll(/^\| `(\w+)` \| (\w+) \|/gm)].map(
    ([, name = '', type = '']) => ({ name, type }),
  )
  const byName = (a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : 1)
  t.same(documented.toSorted(byName), exposed.filter((metric) => !ofRuntime(metric)).toSorted(byName))
  if (process.platform === 'linux') {
    const names = exposed.filter(ofRuntime).map(({ name }) => name)
    const named = [...metricsSection.matchAll(/`((?:process|nodejs)_\w+)`/g)].map(([, name = '']) => name)
    for (const name of named) t.ok(names.includes(name), name)
  }

  const body = '{"Name":"web","Check":{"TTL":"1m"}}'
  const answer = await fetch(`${url}/v1/agent/service/register`, { method: 'PUT', body })
  t.equal(answer.status, 200)
  await agent.stop()
  const [, files = ''] = section(TEXT, '## Files').split('In `data_dir`:')
  t.same(
    codeInColumn(files, 0)
      .flat()
      .map((name) => name.replace(/\/$/, ''))
      .toSorted(),
    readdirSync(dataDir).toSorted(),
  )
})

t.test('lines of the log and reasons not to be ready are those of the program', (t) => {
  // A message that the formatter broke in two is put together again.
  const program = sources().replace(/[`'] \+\n\s*[`']/g, '')
  const infos = section(TEXT, '## Log').split('Of info,')[1] ?? ''
  const lines = [
    ...codeInColumn(section(TEXT, '## Log'), 1),
    ...codeInColumn(section(TEXT, '## Is it well?'), 0),
    [...infos.matchAll(/`([^`]+)`/g)].map(([, code = '']) => code),
  ].flat()
  t.ok(lines.length > 25, 'the lines were read')
  for (const line of lines) {
    // A line of the page may end inside of the code.
    for (const part of line.replace(/\s+/g, ' ').split('…')) {
      const text = part.replace(/^[\s:,]+|\s+$/g, '')
      t.ok(text === '' || program.includes(text), `${line}: ${text}`)
    }
  }
  t.end()
})

t.test('ports are the defaults', (t) => {
  const { mesh, http, dns } = loadConfig({ file: null, flags: {}, env: {}, hostname: 'n1' })
  const ports = section(TEXT, '## Ports')
  for (const { listen } of [mesh, http, dns]) t.match(ports, `\`${listen.host}:${listen.port}\``)
  t.end()
})
