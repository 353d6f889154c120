import t, { type Test } from 'tap'
import { initialConfiguration } from '../../consensus/raft/configuration.ts'
import type { SnapshotMeta } from '../../consensus/raft/types.ts'
import { answerRpc, type RpcRequest } from '../../consensus/rpc.ts'
import { type ReceivedSnapshot, SnapshotReceiver } from '../../consensus/snapshot-receiver.ts'
import { recordsCrc, type SnapshotPart, sendSnapshot } from '../../consensus/snapshot-transfer.ts'
import { decodeRecord } from '../../consensus/state/codec.ts'
import { StateMachine } from '../../consensus/state/state-machine.ts'
import { type Transport, TransportError } from '../../consensus/transport.ts'
import { eventually, set, TestCluster } from './cluster.ts'
import { operationOf } from './network.ts'

/** A snapshot of `keys` keys with this value, at `index`. */
function snapshot(index: number, keys: number, value = 'v'.repeat(80)) {
  const state = new StateMachine()
  for (let i = 1; i <= keys; i++) {
    const command = set(`key/${i}`, value)
    state.apply(index - 1, { at: 0, origin: 'o', sequence: i, acknowledged: i, command })
  }
  state.skip(index)
  const meta: SnapshotMeta = { index, term: 1, configuration: initialConfiguration(['a', 'b', 'c']) }
  return { meta, records: [...state.snapshot()] }
}

/** A receiver behind a wire that can spoil a part, or lose it or its answer. */
class Wire {
  readonly receiver = new SnapshotReceiver()
  readonly received: ReceivedSnapshot[] = []
  /** Numbers of the parts that were sent, in order. */
  readonly sent: number[] = []
  now = 0
  /** What becomes of a part: it arrives damaged, is lost, or its answer is; or the answer is not waited for. */
  fate: (part: SnapshotPart) => 'damage' | 'lose' | 'lose answer' | 'hurry' | 'pass' = () => 'pass'

  transport(from: string): Transport {
    const unused = () => {
      throw new Error('not used')
    }
    return {
      send: unused,
      onMessage: unused,
      onRequest: unused,
      isConnected: () => true,
      request: (_to, payload) => this.#request(from, payload),
    }
  }

  async #request(from: string, payload: Uint8Array): Promise<Uint8Array> {
    const request = decodeRecord(payload) as RpcRequest
    const fate = request.op === 'snapshot' ? this.fate(request) : 'pass'
    if (request.op === 'snapshot') this.sent.push(request.part)
    if (fate === 'lose') throw new TransportError('unknown', 'no answer in time')
    const answering = answerRpc(
      payload,
      () => '',
      async (decoded) => {
        if (decoded.op === 'snapshotProgress') {
          const progress = await this.receiver.progress(from, decoded)
          return { ...progress, done: this.received.at(-1)?.meta.index === decoded.meta.index }
        }
        if (decoded.op !== 'snapshot') throw new Error('not used')
        if (fate === 'damage') decoded.records[0]?.set([0xff], 9)
        await this.receiver.add(from, decoded, this.now, (received) => this.received.push(received))
        return {}
      },
    )
    if (fate === 'hurry') throw new TransportError('unknown', 'no answer in time')
    const answer = await answering
    if (fate === 'lose answer') throw new TransportError('unknown', 'no answer in time')
    return answer
  }
}

function send(wire: Wire, from: string, term: number, source: ReturnType<typeof snapshot>) {
  async function* open() {
    yield* source.records
  }
  const about = { clusterId: 'home', term, meta: source.meta }
  return sendSnapshot(wire.transport(from), 'b', about, open, { partBytes: 1000, retryMs: 1 })
}

/** How many parts of 1,000 bytes the snapshot makes. */
async function partsOf(source: ReturnType<typeof snapshot>): Promise<number> {
  return (await send(new Wire(), 'a', 1, source)).parts
}

/** The last snapshot that arrived, as its keys. */
function arrived(wire: Wire): number | undefined {
  return wire.received.at(-1)?.state.kvList('').length
}

/** Sends until the connection breaks for good at part `at`. */
async function sendUntil(
  t: Test,
  wire: Wire,
  at: number,
  source: ReturnType<typeof snapshot>,
): Promise<void> {
  wire.fate = ({ part }) => (part >= at ? 'lose' : 'pass')
  await t.rejects(send(wire, 'a', 1, source), { name: 'TransportError' })
  wire.fate = () => 'pass'
  wire.sent.length = 0
}

t.test('a snapshot arrives in parts, each once', async (t) => {
  const wire = new Wire()
  const source = snapshot(10, 100)
  const { parts, bytes } = await send(wire, 'a', 1, source)
  t.ok(parts > 10)
  t.same(wire.sent, [...Array(parts).keys()])
  t.equal(
    bytes,
    source.records.reduce((sum, { length }) => sum + length, 0),
  )
  t.equal(arrived(wire), 100)
})

t.test('a lost answer or a lost part costs one question, not the whole', async (t) => {
  const source = snapshot(10, 100)
  const total = await partsOf(source)
  for (const [fate, extra] of [
    ['lose answer', 0],
    ['lose', 1],
  ] as const) {
    for (const at of [0, 5, total - 1]) {
      const wire = new Wire()
      let once = true
      wire.fate = ({ part }) => {
        if (part !== at || !once) return 'pass'
        once = false
        return fate
      }
      await send(wire, 'a', 1, source)
      t.equal(wire.sent.length, total + extra, `${fate} at part ${at}`)
      t.equal(arrived(wire), 100)
      t.equal(wire.received.length, 1, 'it is handed over once')
    }
  }
})

t.test('while the state is being made, the sender waits instead of sending again', async (t) => {
  const source = snapshot(10, 5000)
  const wire = new Wire()
  wire.fate = ({ last }) => (last ? 'hurry' : 'pass')
  const { parts } = await send(wire, 'a', 1, source)
  t.same(wire.sent, [...Array(parts).keys()])
  t.equal(wire.received.length, 1)
  t.equal(arrived(wire), 5000)
})

t.test('after a broken connection the next try goes on where the last one ended', async (t) => {
  const source = snapshot(10, 100)
  const total = await partsOf(source)
  const wire = new Wire()
  await sendUntil(t, wire, 7, source)
  t.match(await send(wire, 'a', 1, source), { parts: total - 7 })
  t.equal(wire.sent[0], 7)
  t.equal(arrived(wire), 100)
})

t.test('a leader that was elected again goes on as well', async (t) => {
  const source = snapshot(10, 100)
  const wire = new Wire()
  await sendUntil(t, wire, 7, source)
  await send(wire, 'a', 3, source)
  t.equal(wire.sent[0], 7)
  t.equal(arrived(wire), 100)
})

t.test('a damaged part is refused and sent again', async (t) => {
  const source = snapshot(10, 100)
  const total = await partsOf(source)
  const wire = new Wire()
  let damaged = 0
  wire.fate = ({ part }) => (part % 5 === 2 && damaged++ % 2 === 0 ? 'damage' : 'pass')
  await send(wire, 'a', 1, source)
  t.ok(damaged > 2)
  t.equal(wire.sent.length, total + damaged / 2)
  t.equal(arrived(wire), 100)

  const hopeless = new Wire()
  hopeless.fate = ({ part }) => (part === 3 ? 'damage' : 'pass')
  await t.rejects(send(hopeless, 'a', 1, source), { message: /part 3 of the snapshot arrived damaged/ })
  t.same(hopeless.sent, [0, 1, 2, 3, 3, 3])
  t.same(hopeless.received, [])
})

t.test('another snapshot starts over', async (t) => {
  const wire = new Wire()
  await sendUntil(t, wire, 7, snapshot(10, 100))
  await send(wire, 'a', 1, snapshot(20, 50))
  t.equal(wire.sent[0], 0)
  t.equal(arrived(wire), 50)
})

t.test('the same description with other content starts over', async (t) => {
  const wire = new Wire()
  await sendUntil(t, wire, 7, snapshot(10, 100))
  const other = snapshot(10, 100, 'w'.repeat(80))
  await send(wire, 'a', 1, other)
  t.equal(wire.sent[0], 0)
  t.same(wire.received.at(-1)?.state.kvList('')[0]?.value, Buffer.from('w'.repeat(80)))
})

t.test('of two senders the newer leader wins, and the older one is refused', async (t) => {
  const source = snapshot(10, 100)
  const wire = new Wire()
  await sendUntil(t, wire, 7, source)
  wire.fate = ({ part }) => (part >= 3 ? 'lose' : 'pass')
  await t.rejects(send(wire, 'c', 2, source), { name: 'TransportError' })
  t.equal(wire.sent[0], 0, 'another sender starts over')
  wire.fate = () => 'pass'
  await t.rejects(send(wire, 'a', 1, source), { message: /newer leader/ })
  await t.rejects(send(wire, 'a', 2, source), { message: /newer leader/ }, 'one term has one leader')
  wire.sent.length = 0
  await send(wire, 'c', 2, source)
  t.equal(wire.sent[0], 3, 'the refused ones took nothing away')
  t.equal(arrived(wire), 100)
})

t.test('parts that do not belong together are dropped', async (t) => {
  const { receiver, received } = new Wire()
  const { meta, records } = snapshot(10, 3)
  const [head = new Uint8Array(), ...rest] = records
  const about = { op: 'snapshot', clusterId: 'home', term: 1, meta } as const
  const first = {
    ...about,
    part: 0,
    records: [head],
    crc: recordsCrc([head]),
    wholeCrc: recordsCrc([head]),
    last: false,
  }
  const second = {
    ...about,
    part: 1,
    records: rest,
    crc: recordsCrc(rest),
    wholeCrc: recordsCrc(records),
    last: true,
  }
  const add = (part: SnapshotPart) => receiver.add('a', part, 0, (whole) => received.push(whole))
  await add(first)
  await t.rejects(add({ ...second, part: 2 }), { message: /part 1 of the snapshot was expected, not 2/ })
  await t.rejects(add({ ...second, wholeCrc: 7 }), { message: /do not belong together/ })
  await t.rejects(add(second), { message: /beginning of this snapshot is not here/ })
  await add(first)
  const cutShort = rest.slice(1)
  const bad = { records: cutShort, crc: recordsCrc(cutShort), wholeCrc: recordsCrc([head, ...cutShort]) }
  await t.rejects(add({ ...second, ...bad }), { code: 'CST_CODEC' })
  t.same(received, [])
  await add(first)
  await add(second)
  t.equal(received.length, 1)
})

t.test('an abandoned transfer is dropped', async (t) => {
  const source = snapshot(10, 100)
  const wire = new Wire()
  await sendUntil(t, wire, 7, source)
  wire.receiver.expire(120_000)
  t.match(await wire.receiver.progress('a', { term: 1, meta: source.meta }), { parts: 7 })
  wire.receiver.expire(120_001)
  t.match(await wire.receiver.progress('a', { term: 1, meta: source.meta }), { parts: 0 })
})

t.test('in a cluster, a follower that was cut off in the middle gets the rest only', async (t) => {
  const cluster = new TestCluster()
  t.teardown(() => cluster.close())
  await cluster.found(3, { snapshotEntries: 20 })
  const leader = await cluster.leader()
  const follower = ['a', 'b', 'c'].find((id) => id !== leader) ?? ''
  const others = ['a', 'b', 'c'].filter((id) => id !== follower)
  cluster.network.partition(others, [follower])
  const client = cluster.client(leader)
  // Four parts of 1 MiB and more.
  for (let i = 0; i < 10; i++) await client.propose(set(`large/${i}`, 'x'.repeat(500_000)))
  for (let i = 0; i < 60; i++) await client.propose(set('k', `${i}`))
  await eventually('the log is compacted', () => cluster.client(leader).status().firstLogIndex > 20)
  const parts: number[] = []
  let failures = 0
  cluster.network.drops = (passing) => {
    const operation = operationOf(passing)
    if (passing.kind !== 'request' || !operation.startsWith('snapshot')) return false
    // The connection breaks after three parts and stays broken beyond the first new try.
    if (parts.length === 3 && failures < 6) {
      failures++
      throw new TransportError('unknown', 'the connection broke')
    }
    if (operation === 'snapshot') parts.push((decodeRecord(passing.payload) as SnapshotPart).part)
    return false
  }
  cluster.network.heal()
  await eventually(
    'the follower has it',
    () => {
      const { appliedIndex } = cluster.client(follower).status()
      return appliedIndex >= cluster.client(leader).status().commitIndex
    },
    20_000,
  )
  t.equal(failures, 6)
  t.ok(parts.length > 3)
  t.same(parts, [...parts.keys()], 'each part travelled once')
  t.same(cluster.fatal, [])
})
