import t from 'tap'
import { checkIds, validateSessionChecks } from '../../agent/session-checks.ts'
import { maintenanceCheck } from '../../discovery/health/maintenance.ts'
import { catalogOf, check, node } from './catalog-fixture.ts'

const session = (name: string, nodeChecks: string[], serviceChecks: string[] | null = null) => ({
  node: name,
  nodeChecks,
  serviceChecks: serviceChecks?.map((id) => ({ id, namespace: '' })) ?? null,
})

const CATALOG = catalogOf(
  node('n1', true, [check('disk', 'passing'), check('web', 'warning'), check('db', 'critical')]),
  node('n2', false, [check('disk', 'passing')]),
)

t.test('a session may begin while its node lives and none of its checks is critical', async (t) => {
  for (const good of [
    session('n1', ['serfHealth']),
    session('n1', ['serfHealth', 'disk'], ['web']),
    session('n1', [], ['web']),
    session('n1', []),
    session('n2', []),
  ]) {
    t.equal(validateSessionChecks(good, CATALOG), null, JSON.stringify(good))
  }
})

t.test('refusals are in the words of Consul', async (t) => {
  const refusal = (name: string, nodeChecks: string[], serviceChecks: string[] | null = null) =>
    validateSessionChecks(session(name, nodeChecks, serviceChecks), CATALOG)
  t.equal(refusal('n3', ['serfHealth']), 'Missing node registration')
  t.equal(refusal('n3', []), 'Missing node registration')
  t.equal(refusal('n1', ['serfHealth', 'nope']), "Missing check 'nope' registration")
  t.equal(refusal('n1', [], ['nope']), "Missing check 'nope' registration")
  t.equal(refusal('n1', ['db']), "Check 'db' is in critical state")
  t.equal(refusal('n1', ['serfHealth'], ['db']), "Check 'db' is in critical state")
  t.equal(refusal('n2', ['serfHealth']), "Check 'serfHealth' is in critical state")
  t.equal(refusal('n2', ['disk']), "Check 'serfHealth' is in critical state", 'nobody runs it any more')
})

t.test('maintenance ends the sessions that name its check, and no other', async (t) => {
  const held = catalogOf(
    node('n1', true, [check('disk', 'passing'), ['_node_maintenance', maintenanceCheck('', 'new disk')]]),
  )
  t.equal(validateSessionChecks(session('n1', ['serfHealth', 'disk']), held), null)
  t.equal(
    validateSessionChecks(session('n1', ['_node_maintenance']), held),
    "Check '_node_maintenance' is in critical state",
  )
})

t.test('of two nodes with one name, the living one counts', async (t) => {
  const alive = node('n1', true)
  const dead = node('n1', false)
  t.equal(validateSessionChecks(session('n1', ['serfHealth']), catalogOf(alive, dead)), null)
  t.equal(validateSessionChecks(session('n1', ['serfHealth']), catalogOf(dead, alive)), null)
})

t.test('the checks of a session are those of its node and of its services', async (t) => {
  t.same(checkIds(session('n1', ['serfHealth'], ['web'])), ['serfHealth', 'web'])
  t.same(checkIds(session('n1', [])), [])
})
