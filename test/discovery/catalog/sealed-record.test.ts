import fc from 'fast-check'
import t from 'tap'
import { EntryTree } from '../../../discovery/catalog/entry-tree.ts'
import {
  contentOf,
  digestOfContent,
  digestOfTexts,
  EntrySeals,
  nextContent,
  sealRecord,
} from '../../../discovery/catalog/sealed-record.ts'
import { verifyStamp } from '../../../discovery/catalog/stamp.ts'
import { FakeNetwork } from '../fake-mesh.ts'
import { check, message, record, service } from './fixtures.ts'

const hashes = fc.uniqueArray(
  fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes).toString('hex')),
  { maxLength: 40 },
)

t.test('a set has one digest, however it came to be, and another set another', async () => {
  fc.assert(
    fc.property(hashes, hashes, fc.nat(), (kept, others, at) => {
      const whole = EntryTree.empty.with([], [...kept, ...others])
      const stepwise = [...kept].reverse().reduce((tree, one) => tree.with([], [one]), EntryTree.empty)
      if (EntryTree.empty.with([], kept).root !== stepwise.root) return false
      const gone = others.filter((one) => !kept.includes(one))
      if (whole.with(gone, []).root !== stepwise.root) return false
      const one = kept[at % Math.max(1, kept.length)]
      return one === undefined || stepwise.with([one], []).root !== stepwise.root
    }),
  )
})

t.test('the digest of a record is the same by its texts, as a whole and step by step', async (t) => {
  const seals = new EntrySeals()
  const first = record('b', 1, [service('web-1'), service('web-2')], [check('c', 'web-1')])
  const services = new Map(first.services).set('web-3', service('web-3'))
  services.delete('web-2')
  const checks = new Map(first.checks).set('c', check('c', 'web-1', { status: 'critical' }))
  const second = { ...first, services, checks }
  const step = nextContent(contentOf(first, '{}', seals), second, seals)
  const whole = contentOf({ ...second, services: new Map([...services].reverse()) }, '{}', new EntrySeals())
  t.equal(digestOfContent(step), digestOfContent(whole))
  t.equal(step.bytes, whole.bytes)
  const texts = message(second)
  t.equal(digestOfContent(step), digestOfTexts('{}', texts.services, texts.checks))
  t.not(digestOfContent(step), digestOfTexts('{ }', texts.services, texts.checks), 'the head counts')
  t.not(
    digestOfContent(step),
    digestOfTexts('{}', [...texts.services, ...texts.checks], []),
    'and of which kind an entry is',
  )
})

t.test('a stamp is for one version of one record of one node', async (t) => {
  const mesh = new FakeNetwork().add('b')
  const { stamp } = sealRecord(mesh, record('b', 3), new EntrySeals())
  t.ok(verifyStamp(mesh, stamp))
  for (const other of [{ id: 'c' }, { incarnation: 2 }, { sequence: 4 }, { digest: '0'.repeat(64) }]) {
    t.notOk(verifyStamp(mesh, { ...stamp, ...other }), JSON.stringify(other))
  }
  const signature = Buffer.from(mesh.sign('something else', Buffer.from('x'))).toString('base64')
  t.notOk(verifyStamp(mesh, { ...stamp, signature }))
})
