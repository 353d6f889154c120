import t from 'tap'
import { SessionFaults } from '../../agent/session-faults.ts'
import type { Session } from '../../consensus/client.ts'
import { catalogOf, check, node } from './catalog-fixture.ts'

const GRACE_MS = 15_000

function session(id: string, nodeChecks: string[], serviceChecks: string[] = [], on = 'n1'): Session {
  return {
    id,
    name: '',
    node: on,
    behavior: 'release',
    lockDelayMs: 0,
    ttl: '',
    expiresAfterMs: 0,
    nodeChecks,
    serviceChecks: serviceChecks.map((check) => ({ id: check, namespace: '' })),
    createIndex: 1,
    modifyIndex: 1,
  }
}

const SESSIONS = [
  session('none', []),
  session('serf', ['serfHealth']),
  session('disk', ['serfHealth', 'disk']),
  session('web', [], ['web']),
]
const WELL = [check('disk', 'passing'), check('web', 'passing')]

/** What is to end at this time, by id. */
function look(faults: SessionFaults, catalog: ReturnType<typeof catalogOf>, now: number): string[] {
  faults.observe(catalog, SESSIONS, now)
  return faults.toEnd(SESSIONS, catalog, now).map(({ id }) => id)
}

/** Has seen n1 well for a long time. */
function experienced(): SessionFaults {
  const faults = new SessionFaults({ graceMs: GRACE_MS })
  look(faults, catalogOf(node('n1', true, WELL)), 0)
  return faults
}

const LATER = 100_000

t.test('nothing ends while all is well', async (t) => {
  t.same(look(experienced(), catalogOf(node('n1', true, WELL)), LATER), [])
})

t.test('a failed node ends every session that names checks, at once', async (t) => {
  t.same(look(experienced(), catalogOf(node('n1', false, WELL)), LATER), ['serf', 'disk', 'web'])
  const [first] = new SessionFaults({ graceMs: GRACE_MS }).toEnd(
    SESSIONS,
    catalogOf(node('n1', false, WELL)),
    LATER,
  )
  t.same(first, { id: 'serf', node: 'n1', fault: { kind: 'node-failed' } }, 'also one never seen before')
})

t.test('a critical check ends the sessions that name it, at once; a warning none', async (t) => {
  const disk = catalogOf(node('n1', true, [check('disk', 'critical'), check('web', 'warning')]))
  t.same(look(experienced(), disk, LATER), ['disk'])
  const web = catalogOf(node('n1', true, [check('disk', 'passing'), check('web', 'critical')]))
  t.same(look(experienced(), web, LATER), ['web'])
})

t.test('what is missing has the whole grace to come back', async (t) => {
  const faults = experienced()
  const gone = catalogOf(node('n1', true, [check('disk', 'passing')]))
  t.same(look(faults, gone, LATER), [])
  t.same(look(faults, gone, LATER + GRACE_MS - 1), [])
  t.same(look(faults, catalogOf(node('n1', true, WELL)), LATER + GRACE_MS), [], 'it came back')
  t.same(look(faults, gone, LATER + GRACE_MS + 1), [], 'and has the grace again')
  t.same(look(faults, gone, LATER + 2 * GRACE_MS + 1), ['web'])
})

t.test('so has a node that left or is not known', async (t) => {
  const faults = experienced()
  t.same(look(faults, catalogOf(), LATER), [])
  t.same(look(faults, catalogOf(node('n2', true)), LATER + GRACE_MS), ['serf', 'disk', 'web'])
})

t.test('a restarted agent keeps its sessions while its services and checks come back', async (t) => {
  const faults = experienced()
  t.same(look(faults, catalogOf(), LATER), [], 'it left')
  t.same(look(faults, catalogOf(node('n1', true, [], 0)), LATER + 1000), [], 'its record is not here yet')
  const starting = [check('disk', 'passing'), check('web', 'critical')]
  t.same(look(faults, catalogOf(node('n1', true, starting, 2)), LATER + 2000), [], 'a first result is due')
  t.same(look(faults, catalogOf(node('n1', true, WELL, 2)), LATER + 3000), [])
  t.same(look(faults, catalogOf(node('n1', true, starting, 2)), LATER + 16_999), [], 'still new')
  t.same(look(faults, catalogOf(node('n1', true, WELL, 2)), LATER + 17_000), [])
  t.same(look(faults, catalogOf(node('n1', true, starting, 2)), LATER + 17_001), ['web'], 'old enough')
})

t.test('a check that stays critical after a start ends its sessions when the grace is over', async (t) => {
  const faults = new SessionFaults({ graceMs: GRACE_MS })
  const catalog = catalogOf(node('n1', true, [check('disk', 'critical'), check('web', 'passing')]))
  t.same(look(faults, catalog, 0), [])
  t.same(look(faults, catalog, GRACE_MS), ['disk'])
})

t.test('a name belongs to the node that lives, whatever its dead self of before', async (t) => {
  const faults = new SessionFaults({ graceMs: GRACE_MS })
  const catalog = catalogOf(node('n1', true, WELL, 3), node('n1', false, [], 2))
  t.same(look(faults, catalog, 0), [])
  t.same(look(faults, catalog, LATER), [])
  const critical = catalogOf(
    node('n1', true, [check('disk', 'critical'), ...WELL.slice(1)], 3),
    node('n1', false),
  )
  t.same(look(faults, critical, LATER + 1), ['disk'], 'and how long it has lived is known')
})

t.test('after a pause everybody has the grace again, but for those called failed', async (t) => {
  const faults = experienced()
  const critical = catalogOf(node('n1', true, [check('disk', 'critical'), check('web', 'passing')]))
  faults.restart()
  t.same(look(faults, critical, LATER), [])
  faults.restart()
  t.same(look(faults, catalogOf(node('n1', false)), LATER + 1), ['serf', 'disk', 'web'])
})

t.test('a session made since the agent started hangs on checks that were well since', (t) => {
  const faults = new SessionFaults({ graceMs: GRACE_MS })
  const made = session('made', ['web'])
  const sick = catalogOf(node('n1', true, [check('disk', 'passing'), check('web', 'critical')]))
  const ends = (now: number, sessions: readonly Session[]) => {
    faults.observe(sick, sessions, now)
    return faults.toEnd(sessions, sick, now).map(({ id }) => id)
  }
  t.same(ends(0, [session('old', ['web'])]), [], 'as old as the start, or older')
  t.same(ends(500, [session('old', ['web']), made]), ['made'])
  faults.restart()
  t.same(ends(1_000, [made]), [], 'after a pause nothing is known of either')
  t.same(ends(1_000 + GRACE_MS, [made]), ['made'])
  t.end()
})
