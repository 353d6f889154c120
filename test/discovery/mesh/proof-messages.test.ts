import t from 'tap'
import {
  decodeHello,
  encodeHello,
  HELLO_BYTES,
  proofInput,
  sameCluster,
} from '../../../discovery/mesh/proof-messages.ts'

const nonce = (fill: number) => new Uint8Array(32).fill(fill)
const context = {
  clusterName: 'home',
  initiator: { peer: 'a', nonce: nonce(1) },
  responder: { peer: 'b', nonce: nonce(2) },
}
const hex = (data: Uint8Array) => Buffer.from(data).toString('hex')

t.test('a hello tells the cluster to those who know it', async (t) => {
  const bytes = encodeHello(nonce(7), 'home')
  const hello = decodeHello(bytes)
  t.equal(bytes.length, HELLO_BYTES)
  t.notOk(Buffer.from(bytes).includes('home'), 'the name is not disclosed')
  t.ok(hello !== undefined && sameCluster(hello, 'home'))
  t.notOk(hello === undefined || sameCluster(hello, 'other'))
  t.not(hex(encodeHello(nonce(8), 'home').subarray(33)), hex(bytes.subarray(33)))
})

t.test('what is not a hello is refused; of another version only the version counts', async (t) => {
  t.equal(decodeHello(new Uint8Array(0)), undefined)
  t.equal(decodeHello(Uint8Array.of(1, 2, 3)), undefined)
  t.equal(decodeHello(Uint8Array.of(9))?.version, 9)
})

t.test('a proof binds the role, both peers, both nonces and the cluster', async (t) => {
  const { initiator, responder } = context
  const variants = [
    proofInput(context, 'initiator'),
    proofInput(context, 'responder'),
    proofInput({ ...context, clusterName: 'hom' }, 'initiator'),
    proofInput({ ...context, initiator: { ...initiator, peer: 'c' } }, 'initiator'),
    proofInput({ ...context, responder: { ...responder, peer: 'c' } }, 'initiator'),
    proofInput({ ...context, initiator: { ...initiator, nonce: nonce(3) } }, 'initiator'),
    proofInput({ ...context, responder: { ...responder, nonce: nonce(3) } }, 'initiator'),
    proofInput(
      { ...context, initiator: { peer: 'ab', nonce: nonce(1) }, responder: { peer: '', nonce: nonce(2) } },
      'initiator',
    ),
  ]
  t.equal(new Set(variants.map(hex)).size, variants.length)
})
