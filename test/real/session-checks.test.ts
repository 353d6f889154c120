import { runsMs } from '../held-up.ts'
import type { AgentProcess } from './agent-process.ts'
import { clusterTest, ms } from './cluster.ts'
import { askJson } from './http.ts'
import { until } from './until.ts'

const TTL_MS = 12_000
const LOCK_DELAY_MS = 8000
// A session ends when its TTL is over, not at twice the time: the test need not wait longer.
const env = { CONSTELLATION_SESSIONS_TTL_FACTOR: '1' }

async function createSession(agent: AgentProcess, body: object): Promise<string> {
  const options = { method: 'PUT', body: JSON.stringify(body) } as const
  const { ID } = await askJson<{ ID: string }>(agent.ports.http, '/v1/session/create', options)
  return ID
}

function acquire(agent: AgentProcess, key: string, session: string): Promise<boolean> {
  const options = { method: 'PUT', body: agent.name } as const
  return askJson<boolean>(agent.ports.http, `/v1/kv/${key}?acquire=${session}`, options)
}

async function holder(agent: AgentProcess, key: string): Promise<string | undefined> {
  const [entry] = await askJson<{ Session?: string }[]>(agent.ports.http, `/v1/kv/${key}`)
  return entry?.Session
}

clusterTest('a killed agent loses the locks that depend on it', { nodes: 3, env }, async (t, cluster) => {
  const leader = await cluster.leader()
  const [victim, survivor] = cluster.others(leader)
  if (victim === undefined || survivor === undefined) throw new Error('two followers')
  const mortal = await createSession(victim, { LockDelay: `${LOCK_DELAY_MS}ms` })
  const patient = await createSession(survivor, {})
  t.equal(await acquire(victim, 'mortal', mortal), true)

  await victim.stop()
  await until(
    'it has left',
    async () =>
      (await survivor.nodes()).some(({ name, status }) => name === victim.name && status === 'left'),
    { state: () => survivor.nodes() },
  )
  victim.start()
  await cluster.settled()
  t.equal(await holder(survivor, 'mortal'), mortal, 'a restart costs no lock')

  const created = performance.now()
  const timed = await createSession(victim, { Checks: [], TTL: `${TTL_MS}ms`, LockDelay: '0s' })
  t.equal(await acquire(victim, 'timed', timed), true)
  const killed = performance.now()
  const killedRunning = runsMs()
  await victim.kill()
  await until(
    'the session that names serfHealth has ended',
    async () => (await holder(survivor, 'mortal')) === undefined,
    { state: () => survivor.nodes() },
  )
  const endedAfter = performance.now() - killed
  const endedRunning = runsMs() - killedRunning
  t.equal(await holder(survivor, 'timed'), timed, 'a session without checks goes on')
  t.equal(await acquire(survivor, 'mortal', patient), false, 'nobody gets the lock during its delay')
  await until('the lock goes to the next one', () => acquire(survivor, 'mortal', patient))
  const lockedAfter = performance.now() - killed
  t.ok(lockedAfter >= endedAfter + LOCK_DELAY_MS / 2, `not before the delay: ${ms(lockedAfter)}`)
  t.ok(endedRunning < 8000, `within seconds: ${ms(endedAfter)}`)
  t.comment(`ended ${ms(endedAfter)} after the kill, locked by the next ${ms(lockedAfter)} after it`)

  await until(
    'the session without checks ends by its TTL',
    async () => (await holder(survivor, 'timed')) === undefined,
    { timeoutMs: 2 * TTL_MS },
  )
  const livedFor = performance.now() - created
  t.ok(livedFor >= TTL_MS, `after its TTL: ${ms(livedFor)}`)
  t.equal(await holder(survivor, 'mortal'), patient, 'those of other nodes go on')
})
