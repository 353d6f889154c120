import { mkdirSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Registry } from 'prom-client'
import t, { type Test } from 'tap'
import { parseFileService } from '../../../agent/service-files/definition.ts'
import { putRegistration } from '../../../discovery/health/registration.ts'
import { dropFileServices, ServiceFiles } from '../../../providers/files/service-files.ts'
import { FakeCatalog, FakeHealth } from '../../agent/http/fake-discovery.ts'
import { CONFIG } from '../../agent/http/harness.ts'
import { memoryLog } from '../../discovery/health/fixtures.ts'
import { tempDir } from '../../discovery/temp-dir.ts'

const DEBOUNCE_MS = 20

/** A node and a folder of files it follows. */
function setup(
  t: Test,
  { directory = tempDir(t), local = new FakeCatalog(), rescanMs = 60_000, wall = Date.now } = {},
) {
  const health = new FakeHealth(local)
  const { log, lines } = memoryLog()
  const metrics = new Registry()
  const files = new ServiceFiles(
    { directory, debounceMs: DEBOUNCE_MS, rescanMs },
    {
      registry: { local, health },
      parse: (definition, source) => parseFileService(definition, source, CONFIG.checks),
      log,
      metrics,
      wall,
    },
  )
  t.teardown(() => files.stop())
  const path = (name: string) => join(directory, name)
  const write = (name: string, text: string) => writeFileSync(path(name), text)
  const ids = () => [...local.record().services.keys()].toSorted()
  const ports = () =>
    Object.fromEntries([...local.record().services.values()].map(({ id, port }) => [id, port]))
  return { files, local, health, lines, metrics, directory, path, write, ids, ports }
}

/** Polls until both are the same. */
async function becomes(t: Test, actual: () => unknown, wanted: unknown, what: string): Promise<void> {
  const deadline = performance.now() + 10_000
  while (JSON.stringify(actual()) !== JSON.stringify(wanted) && performance.now() < deadline) await delay(5)
  t.same(actual(), wanted, what)
}

/** Makes a file look as if it had been written a while ago. */
function age(path: string): void {
  const then = new Date(Date.now() - 60_000)
  utimesSync(path, then, then)
}

t.test('files are followed as they come, change and go', async (t) => {
  const { files, local, health, ids, ports, path, write } = setup(t)
  write('web.yaml', 'name: web\nport: 80\nlabels: {traefik.enable: true}\ncheck: {ttl: 10s}\n')
  age(path('web.yaml'))
  await files.start()
  t.match(local.record().services.get('web'), {
    port: 80,
    labels: { 'traefik.enable': 'true' },
    source: { kind: 'file', id: path('web.yaml'), name: 'web.yaml' },
  })
  t.same(
    health.definitions().map(({ id }) => id),
    ['service:web'],
  )
  write('more.json', '{"services":[{"name":"db","port":1},{"name":"mail","port":2}]}')
  await becomes(t, ports, { web: 80, db: 1, mail: 2 }, 'a new file')
  write('more.json', '{"services":[{"name":"db","port":3}]}')
  await becomes(t, ports, { web: 80, db: 3 }, 'a service less, a port changed')
  // As editors do: the new text beside it, then in its place.
  write('.web.yaml.swp', 'name: nonsense')
  write('web.yaml~', 'name: nonsense')
  write('4913', '')
  renameSync(path('web.yaml'), path('web.yaml.bak'))
  write('web.yaml', 'name: web\nport: 81\n')
  await becomes(t, ports, { web: 81, db: 3 }, 'saved by an editor')
  t.same(health.definitions(), [], 'its check is gone from the file')
  rmSync(path('web.yaml'))
  await becomes(t, ids, ['db'], 'a file less')
})

t.test('a file that cannot be taken keeps its last good version', async (t) => {
  const { files, ports, path, write, lines, metrics } = setup(t)
  write('web.yaml', 'name: web\nport: 80\n')
  await files.start()
  await becomes(t, ports, { web: 80 }, 'taken')
  const states = async () =>
    (await metrics.getSingleMetric('constellation_service_files')?.get())?.values.map(({ value }) => value)
  t.same(await states(), [0, 1])
  write('web.yaml', 'name: web\nprot: 81\n')
  await becomes(t, () => files.problems.has(path('web.yaml')), true, 'noticed')
  t.same(ports(), { web: 80 })
  t.match(
    lines.at(-1),
    /web\.yaml is not taken: service \\"web\\": unknown field \\"prot\\"; did you mean \\"port\\"\?/,
  )
  t.same(await states(), [1, 0])
  const said = lines.length
  await files.scan()
  t.equal(lines.length, said, 'said once')
  write('web.yaml', '')
  await becomes(t, () => files.problems.get(path('web.yaml')), 'it holds no service', 'emptied')
  t.match(files.report(), { refused: 1, problems: ['web.yaml: it holds no service'] })
  t.same(ports(), { web: 80 }, 'an empty file is one that is being written')
  write('web.yaml', 'name: web\nport: 82\n')
  await becomes(t, ports, { web: 82 }, 'repaired')
  t.equal(files.problems.size, 0)
})

t.test('a file is not taken while it is being written', async (t) => {
  // By this clock no file is old: each has to look the same twice.
  const { files, ports, write } = setup(t, { wall: () => 0 })
  await files.start()
  write('web.yaml', 'name: web\nport: 80')
  await files.scan()
  t.same(ports(), {}, 'it is too young, and would read as YAML')
  write('web.yaml', 'name: web\nport: 8080')
  await becomes(t, ports, { web: 8080 }, 'whole')
})

t.test('over a restart: what went meanwhile goes, what is broken stays', async (t) => {
  const first = setup(t)
  for (const name of ['a', 'b', 'c']) {
    first.write(`${name}.yaml`, `name: ${name}\n`)
    age(first.path(`${name}.yaml`))
  }
  await first.files.start()
  t.same(first.ids(), ['a', 'b', 'c'])
  await first.files.stop()
  rmSync(first.path('a.yaml'))
  first.write('b.yaml', 'name: [')
  age(first.path('b.yaml'))
  const second = setup(t, first)
  await second.files.start()
  t.same(second.ids(), ['b', 'c'])
  await second.files.stop()

  rmSync(first.directory, { recursive: true })
  const third = setup(t, first)
  await third.files.start()
  t.same(third.ids(), ['b', 'c'], 'a folder that is not there says nothing about its files')
  t.match(third.lines.at(-1), /cannot be read: ENOENT; its services stay/)
  await third.files.stop()
  dropFileServices({ local: first.local, health: first.health })
  t.same(first.ids(), [], 'no folder is followed any more')
})

t.test('a folder that comes later, or takes the place of another, is found', async (t) => {
  const directory = join(tempDir(t), 'later')
  const { files, ids, write } = setup(t, { directory, rescanMs: 30 })
  await files.start()
  mkdirSync(directory)
  write('web.yaml', 'name: web\n')
  await becomes(t, ids, ['web'], 'it came')
  renameSync(directory, `${directory}.old`)
  mkdirSync(directory)
  write('db.yaml', 'name: db\n')
  await becomes(t, ids, ['db'], 'another one')
})

t.test('links are followed, and a pipe does not hold it up', async (t) => {
  const { files, ids, path, directory } = setup(t)
  const { execFileSync } = await import('node:child_process')
  execFileSync('mkfifo', [path('pipe.yaml')])
  writeFileSync(join(directory, 'target'), 'name: web\n')
  age(join(directory, 'target'))
  symlinkSync('target', path('link.yaml'))
  symlinkSync('nowhere', path('dead.yaml'))
  await files.start()
  t.same(ids(), ['web'])
  t.equal(files.problems.size, 0)
})

t.test('ids of others are left alone, and taken once they are free', async (t) => {
  const { files, local, health, ports, path, write } = setup(t)
  const api = { name: 'web', id: 'web' }
  putRegistration(
    { local, health },
    parseFileService(api, { kind: 'file', id: 'x', name: 'x' }, CONFIG.checks),
    { replaceChecks: true },
  )
  const { source: _, ...registered } = local.record().services.get('web') ?? ({} as never)
  local.putService({ ...registered, port: 1 })
  write('web.yaml', 'name: web\nport: 80\n')
  age(path('web.yaml'))
  await files.start()
  t.equal(
    files.problems.get(path('web.yaml')),
    'the id "web" belongs to the service "web" that was registered through the API',
  )
  t.same(ports(), { web: 1 })
  local.removeService('web')
  await files.scan()
  t.same(ports(), { web: 80 })
})

t.test('a service that its check deregistered comes back with a change of its file only', async (t) => {
  const { files, local, ids, path, write } = setup(t)
  write('web.yaml', 'name: web\n')
  age(path('web.yaml'))
  await files.start()
  local.removeService('web')
  await files.scan()
  t.same(ids(), [])
  write('web.yaml', 'name: web\nport: 1\n')
  await becomes(t, ids, ['web'], 'changed')
})
