import { randomInt } from 'node:crypto'
import dgram from 'node:dgram'
import { once } from 'node:events'
import net, { isIPv6 } from 'node:net'
import packet, { type DecodedPacket, type OptAnswer, type RecordType } from 'dns-packet'
import { formatHostPort } from '../../config/host-port.ts'
import type { HostPort } from '../../config/types.ts'
import { CliError } from '../errors.ts'

/** What to ask, and how. */
export interface DnsRequest {
  readonly server: HostPort
  readonly name: string
  readonly type: RecordType
  readonly tcp: boolean
  readonly timeoutMs: number
}

/** An answer, and how it came. */
export interface DnsReply {
  readonly message: DecodedPacket
  readonly transport: 'udp' | 'tcp'
  readonly bytes: number
  readonly ms: number
}

/** What a client takes over UDP (DNS flag day 2020). */
const UDP_BYTES = 1232
/** A lost datagram is sent again so often. */
const ATTEMPTS = 2

/**
 * Asks one server one question; over UDP first unless `tcp`, and over TCP when the answer was cut.
 * @throws CliError `CLI_FAILED` if no answer came that can be read, `CLI_USAGE` if the name cannot be asked for
 */
export async function askDns(request: DnsRequest): Promise<DnsReply> {
  const bytes = encode(request)
  const started = performance.now()
  const reply = async (transport: 'udp' | 'tcp', received: Promise<Buffer>): Promise<DnsReply> => {
    const response = await received
    const ms = performance.now() - started
    return { message: decode(response, request), transport, bytes: response.length, ms }
  }
  try {
    if (request.tcp) return await reply('tcp', overTcp(request, bytes))
    const first = await reply('udp', overUdp(request, bytes))
    return first.message.flag_tc ? await reply('tcp', overTcp(request, bytes)) : first
  } catch (error) {
    if (error instanceof CliError) throw error
    throw explain(error as NodeJS.ErrnoException, request)
  }
}

function encode({ name, type }: DnsRequest): Buffer {
  const opt: OptAnswer = {
    name: '.',
    type: 'OPT',
    udpPayloadSize: UDP_BYTES,
    extendedRcode: 0,
    ednsVersion: 0,
    flags: 0,
    flag_do: false,
    options: [],
  }
  const labels = name.split('.')
  if (name.length > 253 || labels.some((label) => label === '' || Buffer.byteLength(label) > 63)) {
    throw new CliError(
      'CLI_USAGE',
      `${JSON.stringify(name)} is no name: labels of 1 to 63 characters with dots between them, 253 in all`,
    )
  }
  return packet.encode({
    id: randomInt(0x10000),
    flags: packet.RECURSION_DESIRED,
    questions: [{ name, type }],
    additionals: [opt],
  })
}

function decode(response: Buffer, { server }: DnsRequest): DecodedPacket {
  try {
    return packet.decode(response)
  } catch (error) {
    throw new CliError('CLI_FAILED', `what answers at ${formatHostPort(server)} does not speak DNS`, {
      cause: error,
    })
  }
}

async function overUdp({ server, timeoutMs }: DnsRequest, bytes: Buffer): Promise<Buffer> {
  const socket = dgram.createSocket(isIPv6(server.host) ? 'udp6' : 'udp4')
  const signal = AbortSignal.timeout(timeoutMs)
  // Connected, so that a port nobody listens on is an error and not silence.
  socket.connect(server.port, server.host)
  try {
    await once(socket, 'connect', { signal })
    const again = setInterval(() => socket.send(bytes), timeoutMs / ATTEMPTS)
    socket.send(bytes)
    try {
      for (;;) {
        const [response] = (await once(socket, 'message', { signal })) as [Buffer]
        if (response.length >= 12 && response.readUInt16BE(0) === bytes.readUInt16BE(0)) return response
      }
    } finally {
      clearInterval(again)
    }
  } finally {
    socket.close()
  }
}

async function overTcp({ server, timeoutMs }: DnsRequest, bytes: Buffer): Promise<Buffer> {
  const socket = net.connect({ ...server, signal: AbortSignal.timeout(timeoutMs) })
  const length = Buffer.alloc(2)
  length.writeUInt16BE(bytes.length)
  socket.write(Buffer.concat([length, bytes]))
  let received = Buffer.alloc(0)
  for await (const chunk of socket) {
    received = Buffer.concat([received, chunk])
    if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) continue
    return received.subarray(2, 2 + received.readUInt16BE(0))
  }
  throw new Error('the connection was closed')
}

function explain(error: NodeJS.ErrnoException, { server, timeoutMs }: DnsRequest): CliError {
  const at = formatHostPort(server)
  const name = error.cause instanceof Error ? error.cause.name : error.name
  const options = { cause: error }
  if (error.code === 'ECONNREFUSED') {
    return new CliError(
      'CLI_FAILED',
      `nothing answers DNS at ${at}; start an agent, or name one with --server`,
      options,
    )
  }
  if (name === 'TimeoutError') {
    return new CliError('CLI_FAILED', `no answer from ${at} within ${timeoutMs / 1000} s`, options)
  }
  return new CliError('CLI_FAILED', `asking ${at} failed: ${error.message}`, options)
}
