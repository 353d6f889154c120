import t, { type Test } from 'tap'
import { ms } from './cluster.ts'
import { faultNamed } from './patroni/faults.ts'
import type { Member } from './patroni/member.ts'
import { findPrograms } from './patroni/programs.ts'
import { judgeEnd, runFault } from './patroni/round.ts'
import { Scene } from './patroni/scene.ts'
import { SCOPE, type Timing } from './patroni/settings.ts'
import { until } from './until.ts'

const TIMING: Timing = { ttl: 15, loopWait: 5, retryTimeout: 5 }
/** Half of that ttl is below the shortest that sessions may have by default. */
const ENV = { CONSTELLATION_SESSIONS_TTL_MIN: '1s' }
const FAULTS = [
  'switchover',
  'kill-primary',
  'kill-leader-agent',
  'pause-leader-agent',
  'pause-agent-of-primary',
  'restart-agents',
]

const programs = findPrograms()
const skip = typeof programs === 'string' ? programs : false

// Failovers take as long as the ttl; the file takes about two minutes.
t.setTimeout(360_000)

interface ServiceRow {
  readonly Service: { readonly ID: string; readonly Tags: readonly string[] }
}

/** Waits until every agent names every member as healthy, in its role. */
async function rolesAreServed(t: Test, scene: Scene): Promise<void> {
  const primary = await scene.settled()
  const wanted = scene.members.map((member) => `${id(member)} ${member === primary ? 'master' : 'replica'}`)
  for (const agent of scene.agents) {
    const read = async () => {
      const rows = await agent.json<readonly ServiceRow[]>(`/v1/health/service/${SCOPE}?passing`)
      return rows.map(({ Service }) => `${Service.ID} ${Service.Tags[0]}`).toSorted()
    }
    await until(`${agent.name}: ${wanted}`, async () => String(await read()) === String(wanted), {
      timeoutMs: 20_000,
      state: read,
    })
    t.pass(`${agent.name}: ${wanted}`)
  }
}

/** Id of the service that Patroni registers for a member. */
function id(member: Member): string {
  return `${SCOPE}/${member.name}`
}

void t.test('Patroni keeps one primary and every acknowledged row', { skip, timeout: 350_000 }, async (t) => {
  if (typeof programs === 'string') return
  const started = performance.now()
  const scene = await Scene.make({ programs, timing: TIMING, env: ENV })
  t.teardown(async () => {
    if (!t.passing()) process.stderr.write(scene.lastWords())
    await scene.close()
  })
  await scene.start()
  t.comment(`Patroni ${programs.patroni}, ${programs.postgres}: up after ${ms(performance.now() - started)}`)
  await rolesAreServed(t, scene)

  for (const name of FAULTS) {
    const { wrong, takenOverMs, gapMs, rows, primary } = await runFault(scene, faultNamed(name))
    t.strictSame(wrong, [], name)
    t.ok(rows > 0, `${rows} rows`)
    const how = takenOverMs === null ? 'stays' : `to ${primary.after} within ${ms(takenOverMs)}`
    t.comment(`${name}: ${primary.before} ${how}, longest time without a row ${ms(gapMs)}, ${rows} rows`)
  }
  t.strictSame(await judgeEnd(scene), [], 'all in all')

  await rolesAreServed(t, scene)
  const leaving = await scene.standby()
  t.equal(await leaving.stop(), 0, 'a replica stops in order')
  for (const agent of scene.agents) {
    // Not only unhealthy, which it would be in any case: Patroni has deregistered it.
    const read = async () => {
      const rows = await agent.json<readonly { readonly ServiceID: string }[]>(`/v1/catalog/service/${SCOPE}`)
      return rows.map(({ ServiceID }) => ServiceID)
    }
    await until(`${agent.name} has no ${id(leaving)}`, async () => !(await read()).includes(id(leaving)), {
      state: read,
    })
    t.equal((await read()).length, 2, `${agent.name} has the other two`)
  }
  t.comment(`took ${ms(performance.now() - started)}`)
})
