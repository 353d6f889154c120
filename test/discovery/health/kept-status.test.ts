import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { LocalRecord } from '../../../discovery/catalog/local-record.ts'
import { ResultStore } from '../../../discovery/health/result-store.ts'
import { CheckRunner } from '../../../discovery/health/runner.ts'
import type { CheckDefinition } from '../../../discovery/health/types.ts'
import { tempDir } from '../temp-dir.ts'
import { definition, EMPTY_CATALOG, FakeTimers, memoryLog, until } from './fixtures.ts'

/** An agent's record and runner over the same data, as the composition root wires them; no time passes. */
async function agent(t: Test, dataDir: string, incarnation: number) {
  const { log } = memoryLog()
  const results = new ResultStore({ dataDir }, { log, wall: () => 0 })
  await results.load()
  const local = new LocalRecord({ dataDir }, { log, lastResult: (id) => results.get(id) })
  await local.open({ id: 'peer-1', name: 'n1', address: '10.0.0.1', meta: {}, incarnation })
  const timers = new FakeTimers()
  const runner = new CheckRunner({ dataDir }, { local, catalog: EMPTY_CATALOG, log, results, timers })
  t.teardown(() => runner.stop())
  await runner.start()
  return { local, runner, status: (id: string) => local.record().checks.get(id)?.status }
}

/** Resolves when the file holds these statuses: then the agent may crash. */
async function onDisk(dataDir: string, statuses: Readonly<Record<string, string>>): Promise<void> {
  let found = {}
  await until(
    () => {
      try {
        const { results } = JSON.parse(readFileSync(join(dataDir, 'check-results.json'), 'utf8'))
        found = Object.fromEntries(
          results.map(({ id, status }: { id: string; status: string }) => [id, status]),
        )
      } catch {
        return false
      }
      return JSON.stringify(found) === JSON.stringify(statuses)
    },
    () => found,
  )
}

const hb = (part: Partial<CheckDefinition> = {}) =>
  definition({ id: 'hb', kind: { type: 'ttl', ttlMs: 30_000 }, ...part })

t.test(
  'the status a check is registered with outlives a crash, also when it is only confirmed',
  async (t) => {
    const dataDir = tempDir(t)
    const first = await agent(t, dataDir, 1)
    first.runner.put(hb({ initialStatus: 'passing' }))
    for (let i = 0; i < 5; i++) first.runner.report('hb', 'passing', '')
    await Promise.all([first.local.flush(), first.runner.flush()])
    await onDisk(dataDir, { hb: 'passing' })
    t.equal((await agent(t, dataDir, 2)).status('hb'), 'passing')
  },
)

t.test(
  'a check that is registered anew begins with its own status, not with that of the one before',
  async (t) => {
    const dataDir = tempDir(t)
    const first = await agent(t, dataDir, 1)
    first.runner.put(hb())
    first.runner.report('hb', 'passing', 'fine')
    await onDisk(dataDir, { hb: 'passing' })
    first.runner.remove('hb')
    first.runner.put(hb())
    await Promise.all([first.local.flush(), first.runner.flush()])
    await onDisk(dataDir, { hb: 'critical' })
    t.equal((await agent(t, dataDir, 2)).status('hb'), 'critical')
  },
)
