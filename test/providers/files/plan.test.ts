import t from 'tap'
import type { HealthCheck, ServiceInstance } from '../../../discovery/catalog/types.ts'
import { type FileContent, planFiles } from '../../../providers/files/plan.ts'
import { check, service } from '../../discovery/catalog/fixtures.ts'
import { definition } from '../../discovery/health/fixtures.ts'

const source = (name: string) => ({ kind: 'file' as const, id: `/d/${name}`, name })

/** A file with services of these ids, each with a check of its own. */
function file(name: string, ...ids: string[]): FileContent {
  const registrations = ids.map((id) => ({
    service: service(id, { source: source(name) }),
    checks: [definition({ id: `service:${id}`, serviceId: id, kind: { type: 'ttl', ttlMs: 1 } })],
  }))
  return { path: `/d/${name}`, name, registrations, problem: null }
}

const broken = (name: string): FileContent => ({
  path: `/d/${name}`,
  name,
  registrations: null,
  problem: 'no YAML',
})

/** What is done, in short. */
function plan(files: FileContent[], services: ServiceInstance[] = [], checks: HealthCheck[] = []) {
  const record = {
    services: new Map(services.map((each) => [each.id, each])),
    checks: new Map(checks.map((each) => [each.id, each])),
  }
  const { put, drop, problems } = planFiles(record, files)
  return {
    put: Object.fromEntries([...put].map(([path, all]) => [path, all.map(({ service }) => service.id)])),
    drop,
    problems: Object.fromEntries(problems),
  }
}

const of = (name: string, id: string) => service(id, { source: source(name) })

t.test('what files say is put, and what none says any more goes', async (t) => {
  t.same(plan([file('a.yaml', 'web', 'db')]), { put: { '/d/a.yaml': ['web', 'db'] }, drop: [], problems: {} })
  const before = [of('a.yaml', 'web'), of('a.yaml', 'old'), of('gone.yaml', 'lost'), service('api')]
  t.same(plan([file('a.yaml', 'web')], before), {
    put: { '/d/a.yaml': ['web'] },
    drop: ['old', 'lost'],
    problems: {},
  })
  t.same(plan([], before).drop, ['web', 'old', 'lost'], 'what came by the API stays')
})

t.test('a file that cannot be taken keeps what it had', async (t) => {
  const before = [of('a.yaml', 'web'), of('b.yaml', 'db')]
  t.same(plan([broken('a.yaml'), file('b.yaml', 'db')], before), {
    put: { '/d/b.yaml': ['db'] },
    drop: [],
    problems: { '/d/a.yaml': 'no YAML' },
  })
  const taken = { '/d/b.yaml': 'the id "web" belongs to the file a.yaml' }
  t.same(plan([broken('a.yaml'), file('b.yaml', 'web')], before), {
    put: {},
    drop: [],
    problems: { '/d/a.yaml': 'no YAML', ...taken },
  })
})

t.test('an id belongs to whoever has it', async (t) => {
  const docker = service('c', { source: { kind: 'docker', id: 'c0ffee', name: 'web_1' } })
  for (const [id, problem] of [
    ['api-1', 'the id "api-1" belongs to the service "api" that was registered through the API'],
    ['c', 'the id "c" belongs to the container web_1'],
    ['x', 'the id "x" belongs to the file b.yaml'],
  ] as const) {
    const files = [file('a.yaml', 'own', id), file('b.yaml', 'x')]
    t.same(plan(files, [service('api-1'), docker, of('b.yaml', 'x')]), {
      put: { '/d/b.yaml': ['x'] },
      drop: [],
      problems: { '/d/a.yaml': problem },
    })
  }
  t.same(plan([file('a.yaml', 'x'), file('b.yaml', 'x')]).problems, {
    '/d/b.yaml': 'the id "x" belongs to the file a.yaml',
  })
  t.same(plan([file('a.yaml', 'x', 'x')]).problems, { '/d/a.yaml': 'the id "x" stands in it twice' })
})

t.test('an id goes over to another file without a gap', async (t) => {
  const before = [of('a.yaml', 'web'), of('a.yaml', 'db')]
  t.same(plan([file('b.yaml', 'web', 'db')], before), {
    put: { '/d/b.yaml': ['web', 'db'] },
    drop: [],
    problems: {},
  })
  t.same(plan([file('a.yaml', 'db'), file('b.yaml', 'web')], before).drop, [])
})

t.test('the id of a check belongs to its service', async (t) => {
  const node = plan([file('a.yaml', 'web')], [], [check('service:web', '')])
  t.same(node.problems, { '/d/a.yaml': 'the check id "service:web" belongs to a check of the node' })
  const other = plan([file('a.yaml', 'web')], [service('api')], [check('service:web', 'api')])
  t.same(other.problems, { '/d/a.yaml': 'the check id "service:web" belongs to the service "api"' })
  const renamed = plan([file('a.yaml', 'web')], [of('a.yaml', 'old')], [check('service:web', 'old')])
  t.same(renamed, { put: { '/d/a.yaml': ['web'] }, drop: ['old'], problems: {} })
})
