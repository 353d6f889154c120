import t from 'tap'
import { AUTOPILOT_DEFAULTS } from '../../consensus/autopilot.ts'
import { initialConfiguration } from '../../consensus/raft/configuration.ts'
import type { Raft } from '../../consensus/raft/raft.ts'
import { ServerHealth } from '../../consensus/server-health.ts'

/** A leader `a` whose log ends at 500 in term 3, in which it began at 400. */
function leader(matchIndexes: Record<string, number>, learners: string[] = []) {
  const progress = new Map(Object.entries(matchIndexes).map(([id, matchIndex]) => [id, { matchIndex }]))
  const voters = ['a', ...progress.keys()].filter((id) => !learners.includes(id))
  return {
    id: 'a',
    term: 3,
    log: {
      lastIndex: 500,
      committedIndex: 499,
      termAt: (index: number) => (index < 100 ? undefined : index < 400 ? 2 : 3),
    },
    progress,
    configuration: { ...initialConfiguration(voters), learners },
  } as unknown as Raft
}

function bench() {
  const health = new ServerHealth({ voterMs: 200, learnerMs: 400 })
  const silent: Record<string, number> = {}
  const look = (raft: Raft, wall: number, config = {}) =>
    health.look(raft, { ...AUTOPILOT_DEFAULTS, ...config }, (id) => silent[id] ?? 0, wall)
  const shown = (raft: Raft, wall: number, config = {}) =>
    look(raft, wall, config).servers.map(
      ({ id, healthy, stableSince }) => `${id}${healthy ? '+' : '-'}${stableSince}`,
    )
  return { health, silent, look, shown }
}

t.test('a server is healthy while it answers and is close behind', async (t) => {
  const { silent, shown } = bench()
  const raft = leader({ b: 250, c: 249 })
  t.same(shown(raft, 10), ['a+10', 'b+10', 'c-10'], 'c is 251 entries behind')
  silent.b = 1200
  t.same(shown(raft, 20), ['a+10', 'b+10', 'c-10'])
  silent.b = 1201
  t.same(shown(raft, 30), ['a+10', 'b-30', 'c-10'])
  t.same(shown(raft, 40, { lastContactThresholdMs: 2000 }), ['a+10', 'b+40', 'c-10'])
  t.same(shown(raft, 50, { maxTrailingLogs: 251 }), ['a+10', 'b-50', 'c+50'])
})

t.test('nobody can answer more often than it is asked', async (t) => {
  const { silent, shown } = bench()
  const raft = leader({ b: 500, c: 500, d: 500, e: 500 }, ['d', 'e'])
  Object.assign(silent, { b: 210, c: 211, d: 410, e: 411 })
  t.same(shown(raft, 1, { lastContactThresholdMs: 10 }), ['a+1', 'b+1', 'c-1', 'd+1', 'e-1'])
})

t.test('one that never acknowledged anything is not healthy, however short the log', async (t) => {
  const { shown } = bench()
  t.same(shown(leader({ b: 0 }), 10, { maxTrailingLogs: 1_000_000 }), ['a+10', 'b-10'])
})

t.test('the leader is, whatever is asked', async (t) => {
  const { silent, shown } = bench()
  silent.a = 99_999
  t.same(shown(leader({}), 10, { lastContactThresholdMs: 1, maxTrailingLogs: 0 }), ['a+10'])
})

t.test('what is known of a server begins anew with leadership, and with the server', async (t) => {
  const { health, shown } = bench()
  t.same(shown(leader({ b: 500 }), 10), ['a+10', 'b+10'])
  t.same(shown(leader({}), 20), ['a+10'])
  t.same(shown(leader({ b: 500 }), 30), ['a+10', 'b+30'])
  health.restart()
  t.same(shown(leader({ b: 500 }), 40), ['a+40', 'b+40'])
})

t.test('the report says how far each log is, and who votes', async (t) => {
  const { silent, look } = bench()
  silent.b = 41
  const report = look(leader({ b: 399, c: 99, d: 500 }, ['d']), 7)
  const common = { leader: false, stableSince: 7 }
  t.same(report, {
    term: 3,
    commitIndex: 499,
    servers: [
      {
        id: 'a',
        voter: true,
        lastContactMs: 0,
        lastIndex: 500,
        lastTerm: 3,
        healthy: true,
        ...common,
        leader: true,
      },
      { id: 'b', voter: true, lastContactMs: 41, lastIndex: 399, lastTerm: 2, healthy: true, ...common },
      { id: 'c', voter: true, lastContactMs: 0, lastIndex: 99, lastTerm: 0, healthy: false, ...common },
      { id: 'd', voter: false, lastContactMs: 0, lastIndex: 500, lastTerm: 3, healthy: true, ...common },
    ],
  })
})
