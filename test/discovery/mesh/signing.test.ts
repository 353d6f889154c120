import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import t from 'tap'
import { SIGNATURE_BYTES, Signing } from '../../../discovery/mesh/signing.ts'

const bytes = (text: string) => Buffer.from(text)

async function signer(clusterName = 'home') {
  const privateKey = await generateKeyPair('Ed25519')
  return {
    id: peerIdFromPrivateKey(privateKey).toString(),
    signing: new Signing({ clusterName, privateKey }),
  }
}

t.test('whoever knows the id of a node can tell what it signed', async (t) => {
  const [a, b] = [await signer(), await signer()]
  const signature = a.signing.sign('record', bytes('payload'))
  t.equal(signature.length, SIGNATURE_BYTES)
  const verifies = (peer: string, context: string, payload: string, given = signature) =>
    b.signing.verify(peer, context, bytes(payload), given)
  t.ok(verifies(a.id, 'record', 'payload'))
  t.ok(verifies(a.id, 'record', 'payload'), 'and again, with the key it has kept')
  t.notOk(verifies(b.id, 'record', 'payload'), 'not in the name of another')
  t.notOk(verifies(a.id, 'record', 'payloae'))
  t.notOk(verifies(a.id, 'recor', 'dpayload'), 'a context ends where it ends')
  t.notOk(verifies(a.id, 'recordp', 'ayload'))
  t.notOk(verifies(a.id, '', 'payload'))
  for (const at of [0, 31, 32, 63]) {
    const spoiled = Uint8Array.from(signature)
    spoiled[at] = (spoiled[at] ?? 0) ^ 1
    t.notOk(verifies(a.id, 'record', 'payload', spoiled), `byte ${at}`)
  }
})

t.test('it counts in its own cluster only', async (t) => {
  const [a, other] = [await signer('home'), await signer('work')]
  const signature = a.signing.sign('record', bytes('payload'))
  t.notOk(other.signing.verify(a.id, 'record', bytes('payload'), signature))
})

t.test('what is no id and what is no signature is told as such, and not thrown', async (t) => {
  const { id, signing } = await signer()
  const signature = signing.sign('c', bytes('p'))
  const rsa = 'QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N'
  // The same key as a CID: the same node to libp2p, and not the id it goes by.
  const ids = ['', 'a', '\ud800', `${id} `, id.slice(1), rsa, 'x'.repeat(1_000_000)]
  for (const bad of ids) t.equal(signing.verify(bad, 'c', bytes('p'), signature), false, bad.slice(0, 60))
  for (const bad of [new Uint8Array(0), signature.subarray(1), Buffer.concat([signature, bytes('x')])]) {
    t.equal(signing.verify(id, 'c', bytes('p'), bad), false, `${bad.length} bytes`)
  }
})
