import type { Connection } from '@libp2p/interface'
import t from 'tap'
import { encodeFrame, FRAME, type Frame, FrameDecoder } from '../../../discovery/mesh/frames.ts'
import { DEFAULT_LIMITS } from '../../../discovery/mesh/limits.ts'
import { MeshMetrics } from '../../../discovery/mesh/metrics.ts'
import { OutboundLink } from '../../../discovery/mesh/outbound-link.ts'
import { bytes, text } from './cluster.ts'

/** A stream that keeps what is written to it; the test says what the other end answers. */
class FakeStream extends EventTarget {
  readonly frames: Frame[] = []
  status = 'open'
  writeStatus = 'writable'
  readonly writableNeedsDrain = false
  readonly #decoder = new FrameDecoder({ payloadBytesMax: 1_000 })

  send(data: Uint8Array): void {
    this.frames.push(...this.#decoder.push(data))
  }

  abort(): void {
    if (this.status !== 'open') return
    this.status = 'aborted'
    this.writeStatus = 'closed'
    this.dispatchEvent(new Event('close'))
  }

  answer(kind: Frame['kind'], id: number, payload = ''): void {
    this.dispatchEvent(Object.assign(new Event('message'), { data: encodeFrame(kind, id, bytes(payload)) }))
  }

  get last(): Frame {
    const frame = this.frames.at(-1)
    if (frame === undefined) throw new Error('nothing was written')
    return frame
  }

  texts(): string[] {
    return this.frames.filter(({ kind }) => kind === FRAME.message).map(({ payload }) => text(payload))
  }
}

/** A link over connections the test makes; `switchTo` makes the one before surplus. */
function link() {
  const clock = { now: 0 }
  const streams: FakeStream[] = []
  /** What the next streams that are opened wait for. */
  let opened = Promise.resolve()
  const make = () =>
    ({
      status: 'open',
      newStream: async () => {
        await opened
        const stream = new FakeStream()
        streams.push(stream)
        return stream
      },
    }) as unknown as Connection
  let current = make()
  const connections = {
    connect: async () => current,
    current: () => current,
    isSurplus: (connection: Connection) => connection !== current,
    reachable: () => true,
  }
  const made = new OutboundLink(
    { peer: 'p', protocol: '/x', limits: { ...DEFAULT_LIMITS, keepAliveMs: 1_000 } },
    { connections, metrics: new MeshMetrics(), now: () => clock.now },
  )
  const switchOver = () => {
    current = make()
    made.move()
  }
  const stream = (index: number): FakeStream => {
    const found = streams[index]
    if (found === undefined) throw new Error(`there are ${streams.length} streams`)
    return found
  }
  const openAfter = (promise: Promise<void>) => {
    opened = promise
  }
  return { clock, link: made, switchOver, stream, streams, openAfter }
}

/** Lets what waits for nothing but its turn happen. */
const turn = () => new Promise((resolve) => setImmediate(resolve))

t.test('the queue goes on elsewhere once the other end has handled what was written', async (t) => {
  const { link: made, switchOver, stream, streams } = link()
  made.send(bytes('1'))
  await turn()
  switchOver()
  made.send(bytes('2'))
  await turn()
  t.equal(streams.length, 1, 'it could overtake')
  t.same(stream(0).texts(), ['1'])
  t.equal(stream(0).last.kind, FRAME.ping)
  made.move()
  t.equal(stream(0).frames.length, 2, 'it is asked once')
  stream(0).answer(FRAME.pong, stream(0).last.id)
  await turn()
  t.same(stream(1).texts(), ['2'])
  t.equal(stream(0).status, 'aborted')
})

t.test('a stream that is left stays for the answers that are to come on it', async (t) => {
  const { link: made, switchOver, stream } = link()
  const first = made.request(bytes('a'), { timeoutMs: 60_000 })
  const given = new AbortController()
  const second = made.request(bytes('b'), { timeoutMs: 60_000, signal: given.signal }).catch(() => 'given up')
  await turn()
  const [a, b] = stream(0).frames
  switchOver()
  stream(0).answer(FRAME.pong, stream(0).last.id)
  const third = made.request(bytes('c'), { timeoutMs: 60_000 })
  await turn()
  given.abort(new Error('not needed'))
  t.equal(await second, 'given up')
  t.match(stream(0).last, { kind: FRAME.cancel, id: b?.id ?? -1 }, 'where the request went')
  stream(1).answer(FRAME.response, stream(1).last.id, 'C')
  t.equal(text(await third), 'C')
  t.equal(stream(0).status, 'open')
  stream(0).answer(FRAME.response, a?.id ?? -1, 'A')
  t.equal(text(await first), 'A')
  t.equal(stream(0).status, 'aborted')
})

t.test('its loss fails what was sent on it and nothing else', async (t) => {
  const { link: made, switchOver, stream } = link()
  const first = made.request(bytes('a'), { timeoutMs: 60_000 })
  await turn()
  switchOver()
  const second = made.request(bytes('b'), { timeoutMs: 60_000 })
  stream(0).abort()
  await t.rejects(first, { code: 'MSH_CLOSED' })
  await turn()
  stream(1).answer(FRAME.response, stream(1).last.id, 'B')
  t.equal(text(await second), 'B')
})

t.test('an answer to the question that is lost is asked for again', async (t) => {
  const { clock, link: made, switchOver, stream } = link()
  made.send(bytes('1'))
  await turn()
  clock.now += 1_000
  made.tick()
  const earlier = stream(0).last
  switchOver()
  made.send(bytes('2'))
  stream(0).answer(FRAME.pong, earlier.id)
  await turn()
  t.same(stream(0).texts(), ['1'])
  t.throws(() => stream(1), 'that was the answer to an earlier one')
  made.tick()
  stream(0).answer(FRAME.pong, stream(0).last.id)
  await turn()
  t.same(stream(1).texts(), ['2'])
})

t.test(
  'a stream that a surplus connection does not open any more is opened on the one that is kept',
  async (t) => {
    const { link: made, openAfter, switchOver, stream } = link()
    const first = Promise.withResolvers<void>()
    openAfter(first.promise)
    t.ok(made.send(bytes('1')))
    const asked = made.request(bytes('a'), { timeoutMs: 60_000 })
    await turn()
    openAfter(Promise.resolve())
    switchOver()
    first.reject(new Error('Unexpected EOF'))
    await turn()
    t.same(stream(0).texts(), ['1'])
    stream(0).answer(FRAME.response, stream(0).last.id, 'A')
    t.equal(text(await asked), 'A')
  },
)

t.test('a connection that opens no stream and is not surplus fails what waits for it', async (t) => {
  const { link: made, openAfter } = link()
  openAfter(Promise.reject(new Error('no')))
  await t.rejects(made.request(bytes('a'), { timeoutMs: 60_000 }), { code: 'MSH_UNREACHABLE', message: 'no' })
  t.notOk(made.send(bytes('1')), 'there is a pause')
})
