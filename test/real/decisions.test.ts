import { get as httpGet, type IncomingMessage } from 'node:http'
import type { Test } from 'tap'
import { runsMs } from '../held-up.ts'
import type { AgentProcess } from './agent-process.ts'
import { type Cluster, clusterTest, ms } from './cluster.ts'
import { until } from './until.ts'

const VALUE_BYTES = 4 * 1024 * 1024
const ENV = {
  CONSTELLATION_KV_VALUE_BYTES_MAX: String(VALUE_BYTES),
  CONSTELLATION_SESSIONS_TTL_MIN: '1s',
}
/** What a renewal, a tick and a busy machine may add. */
const SLACK_MS = 3_000

/** Blocks of a stream of server-sent events, as they come. */
class Events {
  readonly blocks: string[] = []
  readonly #response: IncomingMessage
  #text = ''

  private constructor(response: IncomingMessage) {
    this.#response = response
    response.on('error', () => {})
    response.on('data', (chunk: Buffer) => {
      this.#text += chunk.toString('utf8')
      const parts = this.#text.split('\n\n')
      this.#text = parts.pop() ?? ''
      this.blocks.push(...parts.filter((part) => !part.startsWith(':')))
    })
  }

  static open(agent: AgentProcess, prefix: string, lastEventId?: string): Promise<Events> {
    const headers = lastEventId === undefined ? {} : { 'last-event-id': lastEventId }
    const path = `/api/v1/kv/watch?prefix=${encodeURIComponent(prefix)}`
    const target = { host: '127.0.0.1', port: agent.ports.http, path, headers, agent: false }
    return new Promise((resolve, reject) => {
      httpGet(target, (response) => resolve(new Events(response))).on('error', reject)
    })
  }

  get ids(): string[] {
    return this.blocks.map((block) => /^id: (.*)$/m.exec(block)?.[1] ?? '')
  }

  close(): void {
    this.#response.destroy()
  }
}

async function roles(cluster: Cluster): Promise<{ leader: AgentProcess; follower: AgentProcess }> {
  const name = await until('a leader', async () => (await cluster.running[0]?.status())?.leader)
  const leader = cluster.agent(name)
  const [follower] = cluster.others(leader).filter(({ running }) => running)
  if (follower === undefined) throw new Error('no follower runs')
  return { leader, follower }
}

async function createSession(agent: AgentProcess, body: object): Promise<string> {
  const answer = await agent.ask('/v1/session/create', { method: 'PUT', body: JSON.stringify(body) })
  if (answer.status !== 200) throw new Error(answer.text)
  return (answer.json() as { ID: string }).ID
}

async function txn(agent: AgentProcess, operations: readonly object[]) {
  const body = JSON.stringify(operations.map((KV) => ({ KV })))
  return await agent.ask('/v1/txn', { method: 'PUT', body })
}

clusterTest(
  'keys, sessions, transactions and streams on three nodes',
  { nodes: 3, env: ENV, timeoutMs: 100_000 },
  async (t, cluster) => {
    const { leader, follower } = await roles(cluster)

    await t.test('a value of 4 MiB through a follower, and out of a snapshot', async (t) => {
      const value = 'x'.repeat(VALUE_BYTES)
      const written = await follower.ask('/v1/kv/large', { method: 'PUT', body: value, timeoutMs: 20_000 })
      t.equal(written.text, 'true')
      for (const agent of cluster.agents) {
        const read = await agent.ask('/v1/kv/large?raw', { timeoutMs: 20_000 })
        t.ok(read.text === value, agent.name)
      }
      const over = await follower.ask('/v1/kv/large', { method: 'PUT', body: `${value}x`, timeoutMs: 20_000 })
      t.equal(over.status, 413)
      t.match(over.text, `Request body(${VALUE_BYTES + 1} bytes) too large, max size: ${VALUE_BYTES} bytes.`)
      const snapshot = `http://127.0.0.1:${follower.ports.http}/v1/snapshot`
      const archive = await (await fetch(snapshot)).arrayBuffer()
      t.equal((await follower.ask('/v1/kv/large', { method: 'DELETE' })).text, 'true')
      t.equal((await fetch(snapshot, { method: 'PUT', body: archive })).status, 200)
      t.ok((await leader.ask('/v1/kv/large?raw', { timeoutMs: 20_000 })).text === value, 'restored')
      t.equal((await follower.ask('/v1/kv/large', { method: 'DELETE' })).text, 'true')
    })

    await t.test(
      'a session ends between its TTL and twice that, a lock delay later its key is free',
      async (t) => {
        const session = await createSession(follower, { TTL: '1s', LockDelay: '5s', Checks: [] })
        const other = await createSession(leader, { TTL: '60s', Checks: [] })
        const lock = (id: string) => leader.ask(`/v1/kv/lock?acquire=${id}`, { method: 'PUT', body: id })
        const renewedAt = performance.now()
        const renewedRunning = runsMs()
        t.equal((await follower.ask(`/v1/session/renew/${session}`, { method: 'PUT' })).status, 200)
        t.equal((await lock(session)).text, 'true')
        t.equal((await lock(other)).text, 'false')
        const index = (await leader.ask('/v1/kv/lock')).headers['x-consul-index']
        const wake = await follower.ask(`/v1/kv/lock?index=${index}&wait=30s`, { timeoutMs: 20_000 })
        const endedMs = performance.now() - renewedAt
        const endedRunningMs = runsMs() - renewedRunning
        t.notMatch(wake.text, 'Session', 'whoever waits for the key hears of it')
        t.ok(endedMs >= 1_000 && endedRunningMs <= 2_000 + SLACK_MS, `ended after ${ms(endedMs)}`)
        t.equal((await lock(other)).text, 'false', 'its lock delay')
        await until('the key can be locked again', async () => (await lock(other)).text === 'true')
        t.ok(performance.now() - renewedAt >= 6_000, 'the TTL and the lock delay')
        const [entry] = (await follower.ask('/v1/kv/lock')).json() as { LockIndex: number; Session: string }[]
        t.match(entry, { LockIndex: 2, Session: other })
        const renewal = await follower.ask(`/v1/session/renew/${session}`, { method: 'PUT' })
        t.equal(renewal.status, 404)
        t.equal(renewal.text, `Session id '${session}' not found`)
      },
    )

    await t.test('transactions answer the same through leader and follower', async (t) => {
      for (const agent of [leader, follower]) {
        const key = `txn/${agent.name}`
        const done = await txn(agent, [
          { Verb: 'set', Key: key, Value: 'MQ==' },
          { Verb: 'get', Key: key },
        ])
        t.equal(done.status, 200)
        const { Results } = done.json() as { Results: { KV: { Value: string | null } }[] }
        t.same(
          Results.map(({ KV }) => KV.Value),
          [null, 'MQ=='],
        )
        const failed = await txn(agent, [
          { Verb: 'set', Key: `${key}/no`, Value: 'MQ==' },
          { Verb: 'check-not-exists', Key: key },
        ])
        t.equal(failed.status, 409)
        t.same(failed.json(), { Results: null, Errors: [{ OpIndex: 1, What: `key "${key}" exists` }] })
        t.equal((await agent.ask(`/v1/kv/${key}/no`)).status, 404)
        const read = await txn(agent, [{ Verb: 'get-tree', Key: 'txn/' }])
        t.equal(read.status, 200)
        t.equal(read.headers['x-consul-knownleader'], 'true')
      }
    })

    await t.test('a stream goes on at another node, also when its own is killed', (t) =>
      followStream(t, cluster),
    )
  },
)

async function followStream(t: Test, cluster: Cluster): Promise<void> {
  const [first, second, third] = cluster.agents as [AgentProcess, AgentProcess, AgentProcess]
  const events = await Events.open(first, 'stream/')
  await until('ready', () => events.blocks.length === 1)
  for (let i = 0; i < 10; i++) t.equal(await second.put(`stream/${i % 3}`, String(i)), true)
  await until('ten changes', () => events.blocks.length === 11)
  const middle = events.ids[5] ?? ''
  await first.kill()
  const leader = await until('a leader is left', async () => (await second.status()).leader !== first.name)
  t.ok(leader)
  await until('it takes writes', () => third.put('stream/after', 'x'))
  const resumed = await Events.open(second, 'stream/', middle)
  t.teardown(() => resumed.close())
  await until('the rest and the new one', () => resumed.blocks.length >= 6)
  t.same(resumed.blocks.slice(0, 5), events.blocks.slice(6), 'exactly what came after the event it named')
  t.match(resumed.blocks[5], 'stream/after')
  t.equal(await third.put('stream/last', 'y'), true)
  await until('the last one', () => resumed.blocks.length === 7)
  t.notMatch(resumed.blocks.join(), 'reset')
}
