import t from 'tap'
import type { CheckStatus } from '../../../discovery/catalog/types.ts'
import { type AliasKind, aliasResult } from '../../../discovery/health/alias-check.ts'
import { CheckRunner } from '../../../discovery/health/runner.ts'
import { FakeCatalog } from '../../agent/http/fake-discovery.ts'
import { tempDir } from '../temp-dir.ts'
import { definition, FakeTimers, memoryLog, service, until } from './fixtures.ts'

const alias = (node: string, service: string): AliasKind => ({ type: 'alias', node, service })
const self = { node: 'n1', check: 'alias' }
const check = (id: string, status: CheckStatus, serviceId: string) => ({
  id,
  name: `check ${id}`,
  status,
  notes: '',
  output: `output of ${id}`,
  serviceId,
  type: '',
  interval: '',
  timeout: '',
})

t.test('a service: the worst of its checks and those of its node', async (t) => {
  const catalog = new FakeCatalog()
  catalog.putService(service('web'))
  t.same(aliasResult(alias('', 'web'), catalog, self), { status: 'passing', output: 'All checks passing.' })
  catalog.putCheck(check('a', 'warning', 'web'))
  catalog.putCheck(check('b', 'critical', 'web'))
  t.same(aliasResult(alias('', 'web'), catalog, self), {
    status: 'critical',
    output: 'Aliased check "check b" failing: output of b',
  })
  catalog.removeCheck('b')
  t.match(aliasResult(alias('n1', 'web'), catalog, self), { status: 'warning' })
  catalog.putCheck(check('node', 'critical', ''))
  t.match(aliasResult(alias('', 'web'), catalog, self), { status: 'critical', output: /check node/ })
  t.match(aliasResult(alias('n1', ''), catalog, self), { status: 'critical', output: /check node/ })
  catalog.removeCheck('node')
  t.match(
    aliasResult(alias('n1', ''), catalog, self),
    { status: 'passing' },
    'checks of services do not count',
  )
})

t.test('on another node, and what is not there', async (t) => {
  const catalog = new FakeCatalog()
  catalog.other.services.set('db', service('db'))
  t.match(aliasResult(alias('n2', 'db'), catalog, self), { status: 'passing' })
  t.match(aliasResult(alias('n2', ''), catalog, self), { status: 'passing' })
  catalog.otherAlive = false
  t.match(aliasResult(alias('n2', 'db'), catalog, self), { status: 'critical', output: /n2 is not alive/ })
  t.match(aliasResult(alias('n2', ''), catalog, self), { status: 'critical' })
  t.match(aliasResult(alias('n2', 'none'), catalog, self), {
    status: 'critical',
    output: 'Service none on node n2 could not be found',
  })
  t.match(aliasResult(alias('n9', ''), catalog, self), { output: 'Node n9 could not be found' })
  catalog.synced = false
  t.equal(aliasResult(alias('n9', ''), catalog, self), null, 'it may still turn up')
})

t.test('an alias of its own service does not look at itself', async (t) => {
  const catalog = new FakeCatalog()
  catalog.putService(service('web'))
  catalog.putCheck(check('alias', 'critical', 'web'))
  t.match(aliasResult(alias('', 'web'), catalog, self), { status: 'passing' })
})

t.test('the runner follows every change, and stops when the check is removed', async (t) => {
  const catalog = new FakeCatalog()
  const runner = new CheckRunner(
    { dataDir: tempDir(t) },
    { local: catalog, catalog, log: memoryLog().log, timers: new FakeTimers() },
  )
  t.teardown(() => runner.stop())
  await runner.start()
  catalog.putService(service('web'))
  catalog.putService(service('side'))
  runner.put(definition({ id: 'alias', serviceId: 'side', kind: alias('', 'web'), intervalMs: 0 }))
  const status = () => catalog.record().checks.get('alias')?.status
  t.equal(status(), 'critical')
  await until(() => status() === 'passing')
  catalog.putCheck(check('a', 'critical', 'web'))
  await until(() => status() === 'critical')
  t.equal(runner.report('alias', 'passing', ''), 'not-ttl')
  runner.remove('alias')
  t.equal(catalog.watching, 0)
  catalog.removeCheck('a')
  await new Promise(setImmediate)
  t.equal(status(), undefined)
})
