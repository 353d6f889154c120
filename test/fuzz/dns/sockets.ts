import dgram from 'node:dgram'
import { once } from 'node:events'
import net from 'node:net'
import fc from 'fast-check'
import { pino } from 'pino'
import { DnsServer } from '../../../discovery/dns/server.ts'
import { optQuery } from '../../discovery/dns/wire.ts'
import { message } from './inputs.ts'
import { CATALOG, soundResponse } from './parser.ts'

const ANSWER_MS = 5_000
/** Bytes of a TCP segment, so that frames come in pieces. */
const PIECE_BYTES = 7

/**
 * Sends a server what no client should, over UDP and over TCP, and after each input a question it must answer. @throws Error with what
 * it did not survive; also if it logs an error, or keeps connections
 */
export async function hurtDnsServer(options: {
  readonly seed: number
  readonly numRuns: number
}): Promise<void> {
  const logged: string[] = []
  const log = pino({ level: 'warn' }, { write: (line: string) => void logged.push(line) })
  const server = new DnsServer(
    {
      listen: { host: '127.0.0.1', port: 0 },
      domain: 'constellation',
      datacenter: 'dc1',
      idleTimeoutMs: 20_000,
    },
    { catalog: CATALOG, log },
  )
  await server.start()
  const { port } = server.address()
  const udp = dgram.createSocket('udp4')
  try {
    udp.connect(port, '127.0.0.1')
    await once(udp, 'connect')
    let id = 0
    await fc.assert(
      fc.asyncProperty(message, async (bytes) => {
        id = (id + 1) & 0xffff
        const good = optQuery('web.service.consul', 'A', undefined, id)
        await overUdp(udp, bytes, good)
        await overTcp(port, bytes, good)
        if (logged.length > 0) throw new Error(`logged: ${logged[0]}`)
      }),
      options,
    )
  } finally {
    udp.close()
    await server.stop()
  }
}

/** Sends both; the answer to the good one must come. */
async function overUdp(socket: dgram.Socket, bytes: Buffer, good: Buffer): Promise<void> {
  const answered = new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('no answer over UDP')), ANSWER_MS)
    socket.removeAllListeners('message')
    socket.on('message', (response) => {
      if (response.readUInt16BE(0) !== good.readUInt16BE(0) || response.readUInt16BE(6) === 0) return
      clearTimeout(timer)
      resolve()
    })
  })
  if (bytes.length <= 60_000) socket.send(bytes)
  socket.send(good)
  await answered
}

/** On one connection the bytes as a message, on another as a whole stream; then a good question on a third. */
async function overTcp(port: number, bytes: Buffer, good: Buffer): Promise<void> {
  const stream = net.connect(port, '127.0.0.1')
  stream.on('error', () => undefined).resume()
  for (let at = 0; at < Math.min(bytes.length, 700); at += PIECE_BYTES) {
    stream.write(bytes.subarray(at, at + PIECE_BYTES))
  }
  const socket = net.connect(port, '127.0.0.1')
  socket.on('error', () => undefined).resume()
  socket.end(framed(bytes))
  const well = net.connect(port, '127.0.0.1')
  well.setTimeout(ANSWER_MS, () => well.destroy(new Error('no answer over TCP')))
  well.write(framed(good))
  let received = Buffer.alloc(0)
  for await (const chunk of well) {
    received = Buffer.concat([received, chunk])
    if (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) break
  }
  stream.destroy()
  socket.destroy()
  if (!soundResponse(good, received.subarray(2), 65_535)) throw new Error('a bad answer over TCP')
}

function framed(bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes])
}
