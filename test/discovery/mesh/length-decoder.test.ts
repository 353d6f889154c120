import { generateKeyPair } from '@libp2p/crypto/keys'
import type { MessageStream } from '@libp2p/interface'
import { noise } from '@libp2p/noise'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { multiaddrConnectionPair } from '@libp2p/utils'
import { pino } from 'pino'
import t from 'tap'
import { decodeLengthsQuietly } from '../../../discovery/mesh/length-decoder.ts'
import { quietLogger } from '../../../discovery/mesh/libp2p-logger.ts'

const MESSAGES = 50

async function encryption() {
  const privateKey = await generateKeyPair('Ed25519')
  const peerId = peerIdFromPrivateKey(privateKey)
  return noise()({
    privateKey,
    peerId,
    logger: quietLogger(pino({ level: 'silent' })),
    upgrader: { getStreamMuxers: () => new Map() },
  } as never)
}

/** Two ends of an encrypted connection. */
async function pair(): Promise<readonly [MessageStream, MessageStream]> {
  const [near, far] = multiaddrConnectionPair()
  const [a, b] = [await encryption(), await encryption()]
  const [out, in_] = await Promise.all([a.secureOutbound(near), b.secureInbound(far)])
  return [out.connection, in_.connection]
}

/** Sends messages one by one; answers how many bytes came and how many errors were made for it. */
async function exchange(sender: MessageStream, receiver: MessageStream) {
  let bytes = 0
  let errors = 0
  const Native = globalThis.RangeError
  globalThis.RangeError = new Proxy(Native, {
    apply: (target, self, args) => {
      errors++
      return Reflect.apply(target, self, args)
    },
    construct: (target, args, newTarget) => {
      errors++
      return Reflect.construct(target, args, newTarget)
    },
  })
  try {
    receiver.addEventListener('message', ({ data }) => {
      bytes += data.byteLength
    })
    for (let i = 0; i < MESSAGES; i++) {
      sender.send(new Uint8Array(1 + i * 700).fill(i))
      await new Promise((resolve) => setImmediate(resolve))
    }
    for (let i = 0; i < 1000 && bytes < total(); i++) await new Promise((resolve) => setImmediate(resolve))
  } finally {
    globalThis.RangeError = Native
  }
  return { bytes, errors }
}

function total(): number {
  return Array.from({ length: MESSAGES }, (_, i) => 1 + i * 700).reduce((sum, bytes) => sum + bytes, 0)
}

t.test('an encrypted connection reads packet after packet without an error for each', async (t) => {
  const [before, receiver] = await pair()
  const loud = await exchange(before, receiver)
  t.equal(loud.bytes, total())
  t.ok(loud.errors >= MESSAGES, `noise by itself makes one per packet: ${loud.errors}`)
  const [sender, quiet] = await pair()
  t.strictSame(await exchange(sender, decodeLengthsQuietly(quiet)), { bytes: total(), errors: 0 })
})
