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

/** Waits until every agent names exactly these as healthy members, with these roles. */
async function servicesAre(t: Test, scene: Scene, expected: Readonly<Record<string, string>>): Promise<void> {
  for (const agent of scene.agents) {
    const read = async () => {
      const rows = await agent.json<readonly ServiceRow[]>(`/v1/health/service/${SCOPE}?passing`)
      return Object.fromEntries(rows.map(({ Service }) => [Service.ID, Service.Tags[0] ?? '']))
    }
    const wanted = JSON.stringify(expected)
    const sorted = (entries: Readonly<Record<string, string>>) =>
      JSON.stringify(Object.fromEntries(Object.entries(entries).toSorted(([a], [b]) => (a < b ? -1 : 1))))
    await until(`${agent.name} has the services ${wanted}`, async () => sorted(await read()) === wanted, {
      timeoutMs: 20_000,
      state: read,
    })
    t.pass(`${agent.name}: ${wanted}`)
  }
}

function roles(scene: Scene, primary: Member, gone?: Member): Readonly<Record<string, string>> {
  const there = scene.members.filter((member) => member !== gone)
  return Object.fromEntries(
    there.map((member) => [`${SCOPE}/${member.name}`, member === primary ? 'master' : 'replica']),
  )
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
  await servicesAre(t, scene, roles(scene, await scene.settled()))

  for (const name of FAULTS) {
    const { wrong, takenOverMs, gapMs, rows, primary } = await runFault(scene, faultNamed(name))
    t.strictSame(wrong, [], name)
    t.ok(rows > 0, `${rows} rows`)
    const how = takenOverMs === null ? 'stays' : `to ${primary.after} within ${ms(takenOverMs)}`
    t.comment(`${name}: ${primary.before} ${how}, longest time without a row ${ms(gapMs)}, ${rows} rows`)
  }
  t.strictSame(await judgeEnd(scene), [], 'all in all')

  const [standby, primary] = [await scene.standby(), await scene.settled()]
  t.equal(await standby.stop(), 0, 'a replica stops in order')
  await servicesAre(t, scene, roles(scene, primary, standby))
  t.comment(`took ${ms(performance.now() - started)}`)
})
