import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { pino } from 'pino'
import {
  decodeGossip,
  decodeMessage,
  encodeDelta,
  encodeMessage,
  encodeVersion,
} from '../../../discovery/catalog/codec.ts'
import { CatalogError } from '../../../discovery/catalog/errors.ts'
import { GossipCatalog } from '../../../discovery/catalog/gossip-catalog.ts'
import { RecordIntake } from '../../../discovery/catalog/intake.ts'
import { CatalogMetrics } from '../../../discovery/catalog/metrics.ts'
import { Rejections } from '../../../discovery/catalog/rejections.ts'
import { EntrySeals } from '../../../discovery/catalog/sealed-record.ts'
import { CatalogStore } from '../../../discovery/catalog/store.ts'
import type { NodeRecord } from '../../../discovery/catalog/types.ts'
import {
  check,
  delta,
  FakeMembership,
  message,
  record,
  sealed,
  service,
} from '../../discovery/catalog/fixtures.ts'
import { FakeNetwork } from '../../discovery/fake-mesh.ts'
import { damaged, hostile, spoiledJson } from './hostile.ts'
import type { NamedProperty } from './property.ts'

const log = pino({ level: 'silent' })

const meta = { zone: 'a', ['__proto__']: 'x' }
/** Three versions of one record: the second is held. */
const FIRST = record('b', 1, [service('web-1', { meta })], [check('c', 'web-1')])
const SECOND = record('b', 2, [service('web-1', { port: 81, meta }), service('db-1')], [check('c', 'web-1')])
const THIRD = record(
  'b',
  3,
  [service('web-1', { port: 82, meta })],
  [check('c', 'web-1', { status: 'critical' })],
)
/** A life after this one, and one before. */
const NEXT = { ...THIRD, version: { incarnation: 2, sequence: 0 } }
const LAST = { ...THIRD, version: { incarnation: 0, sequence: 9 } }

/** What judges the records of others on one node, with `b` in its second version, a member `c` without a record, and `d`, which left. */
class Witness {
  readonly membership = new FakeMembership('a')
  readonly store = new CatalogStore({ membership: this.membership, log })
  readonly intake: RecordIntake

  constructor() {
    const metrics = new CatalogMetrics(undefined, { nodes: () => 0, services: () => 0, digest: () => 0 })
    const mesh = new FakeNetwork().add('a')
    const rejections = new Rejections({ metrics, log })
    const seals = new EntrySeals()
    this.intake = new RecordIntake({ mesh, store: this.store, seals, metrics, rejections, now: () => 0 })
    for (const id of ['b', 'c', 'd']) this.membership.set(id)
    this.store.start()
    this.store.put(record('a', 5, [service('own-1')]), 0)
    this.intake.record(message(SECOND), 'b')
    this.intake.record(message(record('d', 4, [service('web-4')])), 'd')
    this.membership.set('d', { status: 'left' })
    this.intake.bury('d')
  }

  gossip(bytes: Uint8Array, from: string): void {
    const read = attempt(() => decodeGossip(bytes))
    if (read) this.intake.gossip(read, from)
  }

  answer(bytes: Uint8Array, from: string): void {
    const read = attempt(() => decodeMessage(bytes))
    if (read?.type === 'records') for (const one of read.records) this.intake.record(one, from)
  }

  /** Everything that anybody could read, or would be handed on. */
  state(): string {
    const ids = ['a', 'b', 'c', 'd', 'x', 'evil']
    const held = ids.map((id) => [contentOf(this.store.held(id)), this.intake.sealed(id)?.stamp])
    return JSON.stringify([this.store.index, this.store.digest(), this.store.checks(), held])
  }
}

function contentOf(record: NodeRecord | undefined): unknown {
  return record && { ...record, services: [...record.services], checks: [...record.checks] }
}

function attempt<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof CatalogError) || error.code !== 'CAT_BAD_MESSAGE') throw error
    return undefined
  }
}

const dead = (sequence: number) => record('d', sequence, [service('web-4')])
const GOSSIP = {
  good: [delta(SECOND, THIRD), delta(FIRST, THIRD)]
    .map(encodeDelta)
    .concat(encodeVersion(sealed(NEXT).stamp)),
  bad: [
    // Signed by somebody else, in the name of its owner.
    encodeDelta(delta(SECOND, THIRD, 'c')),
    encodeVersion(sealed(NEXT, 'c').stamp),
    // Said before.
    encodeDelta(delta(FIRST, SECOND)),
    encodeDelta(delta({ ...LAST, version: { incarnation: 0, sequence: 8 } }, LAST)),
    // Of a node that left, of this node itself.
    encodeDelta(delta(dead(4), dead(5))),
    encodeDelta(delta(record('a', 5), record('a', 6, [service('evil-1')]))),
  ],
}
const answerWith = (records: readonly ReturnType<typeof message>[]) =>
  encodeMessage({ type: 'records', records })
const ANSWERS = {
  good: [
    answerWith([message(THIRD)]),
    answerWith([message(NEXT)]),
    answerWith([message(FIRST), message(THIRD)]),
  ],
  bad: [
    answerWith([message(THIRD, 'c'), message(NEXT, 'evil')]),
    answerWith([message(FIRST), message(LAST), message(SECOND)]),
    answerWith([message(dead(5)), message(record('a', 6, [service('evil-1')]))]),
    answerWith([{ ...message(THIRD), services: message(SECOND).services }]),
    answerWith([{ ...message(THIRD), stamp: sealed(NEXT, 'c').stamp }]),
  ],
}
const OTHERS = [
  encodeMessage({ type: 'compare', digest: '0'.repeat(64), own: { incarnation: 1, sequence: 2 } }),
  encodeMessage({
    type: 'digest',
    entries: [{ id: 'b', incarnation: 1, sequence: 2 }],
    yours: { stamp: sealed(SECOND).stamp, buried: true },
  }),
  encodeMessage({ type: 'offer', entries: [{ id: 'x', incarnation: 1, sequence: 2 }] }),
  encodeMessage({ type: 'fetch', ids: ['a', 'b', 'nobody'] }),
  encodeMessage({ type: 'same' }),
  encodeMessage({ type: 'error', message: 'no' }),
]

const sender = fc.constantFrom('b', 'b', 'c', 'd', 'a', 'evil')

/** The states a witness may be in afterwards: as before, or one its owner has signed as a whole. */
const ALLOWED: ReadonlySet<string> = new Set(
  [[], ...ANSWERS.good.map((one) => [one])].map((list) => {
    const witness = new Witness()
    for (const one of list) witness.answer(one, 'b')
    return witness.state()
  }),
)
const UNCHANGED = new Witness().state()

/** What of the catalogue comes over the mesh. */
export const CATALOG_PROPERTIES: readonly NamedProperty[] = [
  {
    name: 'catalogue: whatever is gossiped, nothing is taken but what the owner signed as a whole',
    property: fc.property(
      fc.array(fc.tuple(hostile([...GOSSIP.good, ...GOSSIP.bad], 'json'), sender), {
        minLength: 1,
        maxLength: 4,
      }),
      (list) => {
        const witness = new Witness()
        for (const [bytes, from] of list) witness.gossip(bytes, from)
        return ALLOWED.has(witness.state())
      },
    ),
  },
  {
    name: 'catalogue: whatever is answered, nothing is taken but what the owner signed as a whole',
    property: fc.property(
      fc.array(fc.tuple(hostile([...ANSWERS.good, ...ANSWERS.bad], 'json'), sender), {
        minLength: 1,
        maxLength: 4,
      }),
      (list) => {
        const witness = new Witness()
        for (const [bytes, from] of list) witness.answer(bytes, from)
        return ALLOWED.has(witness.state())
      },
    ),
  },
  {
    name: 'catalogue: what another signed, was said before, or is of a node that left changes nothing',
    property: fc.property(
      fc.array(
        fc.oneof(
          fc.tuple(fc.constant('gossip' as const), fc.constantFrom(...GOSSIP.bad), sender),
          fc.tuple(fc.constant('answer' as const), fc.constantFrom(...ANSWERS.bad), sender),
        ),
        { minLength: 1, maxLength: 6 },
      ),
      (list) => {
        const witness = new Witness()
        for (const [way, bytes, from] of list) witness[way](bytes, from)
        return witness.state() === UNCHANGED
      },
    ),
  },
  {
    name: 'catalogue: a step of which one bit is another leads nowhere',
    property: fc.property(
      fc.constantFrom(...GOSSIP.good.slice(0, 1)),
      fc.nat(),
      fc.nat(7),
      (bytes, at, bit) => {
        const copy = Uint8Array.from(bytes)
        const place = at % copy.length
        copy[place] = (copy[place] ?? 0) ^ (1 << bit)
        const witness = new Witness()
        witness.gossip(copy, 'b')
        return witness.state() === UNCHANGED
      },
    ),
  },
  {
    name: 'catalogue: requests are read, or refused with one code',
    property: fc.property(
      fc.oneof(hostile(OTHERS, 'json'), spoiledJson(OTHERS), damaged(OTHERS)),
      (bytes) => {
        attempt(() => decodeMessage(bytes))
        return true
      },
    ),
  },
]

/**
 * Sends a node many messages that cannot be taken, each of another node: not signed, or signed by somebody else.
 * @throws Error when they change anything, or leave more behind than the bytes given
 */
export function floodCatalog(options: { readonly messages: number; readonly bytesMax: number }): void {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const witness = new Witness()
  const whole = message(THIRD)
  const step = delta(SECOND, THIRD)
  const flood = (count: number): void => {
    for (let i = 0; i < count; i++) {
      const id = randomUUID()
      witness.answer(answerWith([{ ...whole, stamp: { ...whole.stamp, id } }]), id)
      witness.gossip(encodeDelta({ ...step, stamp: { ...step.stamp, id } }), id)
      witness.gossip(encodeVersion({ ...step.stamp, id }), 'evil')
    }
  }
  // What is kept on purpose, such as who was complained about, is full after this.
  flood(500)
  collect()
  const before = process.memoryUsage().heapUsed
  flood(options.messages)
  collect()
  const grown = process.memoryUsage().heapUsed - before
  if (witness.state() !== UNCHANGED) throw new Error('the flood changed the state')
  if (grown > options.bytesMax)
    throw new Error(`${options.messages} refused messages left ${grown} bytes behind`)
}

/**
 * A running node with a member beside it that publishes, asks and answers whatever it likes. It must go on, answer, and stay
 * as it is. @throws Error with the message it did not survive
 */
export async function hurtCatalog(options: {
  readonly seed: number
  readonly numRuns: number
}): Promise<void> {
  const dataDir = await mkdtemp(join(tmpdir(), 'constellation-fuzz-'))
  const net = new FakeNetwork()
  const [mesh, evil] = [net.add('a'), net.add('evil')]
  const membership = new FakeMembership('a')
  const catalog = new GossipCatalog(
    { name: 'a', address: mesh.advertise, meta: {}, dataDir, intervalMs: 60_000 },
    { mesh, membership, log },
  )
  let answer: Uint8Array = OTHERS[4] ?? new Uint8Array(0)
  evil.onRequest('catalog', async () => answer)
  try {
    await mesh.start()
    await evil.start()
    await catalog.start()
    catalog.local.putService(service('own-1'))
    const state = () =>
      JSON.stringify([catalog.store.index, catalog.store.digest(), catalog.local.record().version])
    const before = state()
    const any = hostile([...OTHERS, ...ANSWERS.good, ...ANSWERS.bad], 'json')
    const property = fc.asyncProperty(
      hostile([...GOSSIP.good, ...GOSSIP.bad], 'json'),
      any,
      any,
      async (said, asked, answered) => {
        answer = answered
        net.close('a', 'evil')
        await evil.dial(mesh.advertise)
        await evil.publish('catalog', said)
        await evil.request('a', 'catalog', asked, { timeoutMs: 1000 })
        const reply = await evil.request('a', 'catalog', OTHERS[3] ?? asked, { timeoutMs: 1000 })
        const read = decodeMessage(reply)
        return (
          state() === before && read.type === 'records' && read.records.some(({ stamp }) => stamp.id === 'a')
        )
      },
    )
    await fc.assert(property, options)
  } finally {
    await catalog.stop()
    await mesh.stop()
    await rm(dataDir, { recursive: true, force: true })
  }
}
