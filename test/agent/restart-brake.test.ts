import t from 'tap'
import {
  ClusterRestartBrake,
  RESTART_SLOT_MS,
  RESTARTS_MAX,
  SERVICE_PAUSE_MS,
} from '../../agent/restart-brake.ts'
import type { Command, ConsensusClient, KvEntry, StateView } from '../../consensus/client.ts'

/** Keys that end by themselves, on a clock that moves when told. */
class FakeKeys {
  readonly ends = new Map<string, number>()
  now = 0
  down = false

  async propose(command: Command) {
    if (this.down) throw new Error('no leader')
    this.#expire()
    const index = 1
    if (command.type === 'kv.delete') return { index, ok: this.ends.delete(command.key) }
    if (command.type !== 'kv.set' || command.cas !== 0 || command.ttlMs === undefined)
      throw new Error('unexpected')
    if (this.ends.has(command.key)) return { index, ok: false }
    this.ends.set(command.key, this.now + command.ttlMs)
    return { index, ok: true }
  }

  async read() {
    this.#expire()
    const kvGet = (key: string) => (this.ends.has(key) ? ({} as KvEntry) : undefined)
    return { view: { kvGet } as unknown as StateView, index: 1 }
  }

  #expire(): void {
    for (const [key, end] of this.ends) if (end <= this.now) this.ends.delete(key)
  }
}

function brakes(count: number) {
  const keys = new FakeKeys()
  const client = keys as unknown as Pick<ConsensusClient, 'propose' | 'read'>
  return {
    keys,
    brakes: Array.from({ length: count }, (_, i) => new ClusterRestartBrake({ node: `n${i}` }, { client })),
  }
}

const { signal } = new AbortController()

t.test('the cluster has so many restarts in so much time, whoever asks', async (t) => {
  const { keys, brakes: all } = brakes(3)
  const answers = await Promise.all(
    Array.from({ length: 12 }, (_, i) => all[i % 3]?.ask(`service ${i}`, signal)),
  )
  t.equal(answers.filter((answer) => answer === null).length, RESTARTS_MAX)
  t.match(
    answers.find((answer) => answer !== null),
    /has restarted 5 containers in 5 minutes/,
  )
  keys.now = RESTART_SLOT_MS - 1
  t.type(await all[0]?.ask('other', signal), 'string')
  keys.now = RESTART_SLOT_MS
  t.equal(await all[0]?.ask('other', signal), null)
})

t.test('copies of one service are not restarted at the same time', async (t) => {
  const { keys, brakes: all } = brakes(2)
  t.equal(await all[0]?.ask('web', signal), null)
  t.match(await all[1]?.ask('web', signal), /a copy of web/)
  t.equal(await all[1]?.ask('db', signal), null)
  keys.now = SERVICE_PAUSE_MS
  t.equal(await all[1]?.ask('web', signal), null)
})

t.test('who finds no restart left does not keep others of its service waiting', async (t) => {
  const { keys, brakes: all } = brakes(1)
  for (let i = 0; i < RESTARTS_MAX; i++) await all[0]?.ask(`s${i}`, signal)
  t.type(await all[0]?.ask('web', signal), 'string')
  t.notOk([...keys.ends.keys()].some((key) => key.endsWith('/web')))
})

t.test('without a cluster that decides there is no restart', async (t) => {
  const { keys, brakes: all } = brakes(1)
  keys.down = true
  await t.rejects(async () => all[0]?.ask('web', signal), { message: 'no leader' })
})
