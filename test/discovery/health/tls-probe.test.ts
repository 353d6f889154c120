import { createServer as createHttpServer } from 'node:http'
import { createServer as createH2Server, createSecureServer, type Http2Server } from 'node:http2'
import { createServer as createHttpsServer } from 'node:https'
import { type AddressInfo, createServer as createNetServer, type Server, type Socket } from 'node:net'
import {
  createServer as createTlsServer,
  getCACertificates,
  setDefaultCACertificates,
  type TLSSocket,
} from 'node:tls'
import { Server as GrpcServer, ServerCredentials, type ServiceDefinition, status } from '@grpc/grpc-js'
import t, { type Test } from 'tap'
import { decodeHealthResponse, encodeHealthRequest } from '../../../discovery/health/grpc-health.ts'
import { type GrpcKind, probeGrpc } from '../../../discovery/health/grpc-probe.ts'
import { type H2Kind, probeH2 } from '../../../discovery/health/h2-probe.ts'
import { probeHttp } from '../../../discovery/health/http-probe.ts'
import { probeTcp } from '../../../discovery/health/tcp-probe.ts'
import { certificate } from './certificate.ts'
import { httpKind, names, TLS_VERIFIED, tcpKind } from './fixtures.ts'

const limit = (ms = 5_000) => ({ signal: AbortSignal.timeout(ms), timeoutMs: ms, outputMax: 4_096, names })

async function listen(t: Test, server: Server | Http2Server): Promise<number> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => sockets.add(socket))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

function tlsFiles(t: Test) {
  const files = certificate(t.testdir())
  if (files === null) t.comment('skipped: needs openssl to make a certificate')
  return files
}

t.test('TCP with TLS: the certificate counts, and the name in it', async (t) => {
  const files = tlsFiles(t)
  if (files === null) return
  const names: string[] = []
  const SNICallback = (name: string, done: (error: null) => void) => {
    names.push(name)
    done(null)
  }
  const server = createTlsServer({ ...files, SNICallback }, (socket: TLSSocket) => {
    socket.on('error', () => {})
    socket.end()
  })
  const address = `127.0.0.1:${await listen(t, server)}`
  const kind = tcpKind(address, { useTls: true })
  t.match(await probeTcp(kind, limit()), { status: 'critical', output: /self.signed/ })
  t.match(await probeTcp({ ...kind, tlsSkipVerify: true }, limit()), { status: 'passing' })
  await probeTcp({ ...kind, tlsSkipVerify: true, tlsServerName: 'web.example' }, limit())
  t.same(names, ['web.example'])
  const plain = createNetServer((socket) => socket.end('no TLS here\n'))
  const notTls = tcpKind(`127.0.0.1:${await listen(t, plain)}`, { useTls: true, tlsSkipVerify: true })
  t.match(await probeTcp(notTls, limit()), { status: 'critical' })
})

t.test('HTTPS sends the server name it is told, and redirects can be left alone', async (t) => {
  const files = tlsFiles(t)
  if (files === null) return
  const names: unknown[] = []
  const server = createHttpsServer(files, (request, response) => {
    names.push((request.socket as TLSSocket).servername)
    if (request.url === '/moved') response.writeHead(302, { location: '/here' })
    response.end('x'.repeat(100))
  })
  const url = `https://127.0.0.1:${await listen(t, server)}`
  const kind = httpKind(`${url}/moved`, { tlsSkipVerify: true, tlsServerName: 'web.example' })
  t.match(await probeHttp(kind, limit()), { status: 'passing' })
  t.same(names, ['web.example', 'web.example'])
  t.match(await probeHttp({ ...kind, disableRedirects: true }, limit()), {
    status: 'critical',
    output: /302 Found/,
  })
  const short = await probeHttp(kind, { ...limit(), outputMax: 10 })
  t.match(short.output, /200 OK Output: x{10}$/)
})

const h2 = (address: string, part: Partial<H2Kind> = {}): H2Kind => ({
  type: 'h2ping',
  address,
  useTls: false,
  ...TLS_VERIFIED,
  ...part,
})

t.test('an HTTP/2 ping, plain and with TLS', async (t) => {
  const plain = `127.0.0.1:${await listen(t, createH2Server())}`
  t.same(await probeH2(h2(plain), limit()), { status: 'passing', output: `HTTP2 ping ${plain}: Success` })
  t.match(await probeH2(h2(plain, { useTls: true }), limit()), { status: 'critical' })

  const http1 = `127.0.0.1:${await listen(t, createHttpServer())}`
  t.match(await probeH2(h2(http1), limit()), { status: 'critical' }, 'HTTP/1 does not answer a ping')
  t.match(
    await probeH2(h2('[fe80::1%nowhere0]:9200'), limit(200)),
    { status: 'critical' },
    'an address with a zone',
  )
  t.match(await probeH2(h2('bad host:9200'), limit()), { status: 'critical', output: /want "host:port"/ })
  const silent = `127.0.0.1:${await listen(t, createNetServer())}`
  t.match(await probeH2(h2(silent), limit(200)), { status: 'critical', output: /timeout/ })
  t.match(await probeH2(h2('127.0.0.1:1'), limit()), { status: 'critical', output: /ECONNREFUSED/ })

  const files = tlsFiles(t)
  if (files === null) return
  const secure = `127.0.0.1:${await listen(t, createSecureServer(files) as unknown as Server)}`
  t.match(await probeH2(h2(secure, { useTls: true }), limit()), { status: 'critical', output: /self.signed/ })
  t.match(await probeH2(h2(secure, { useTls: true, tlsSkipVerify: true }), limit()), { status: 'passing' })
})

const HEALTH: ServiceDefinition = {
  Check: {
    path: '/grpc.health.v1.Health/Check',
    requestStream: false,
    responseStream: false,
    requestSerialize: (value: Buffer) => value,
    requestDeserialize: (bytes: Buffer) => bytes,
    responseSerialize: (value: Buffer) => value,
    responseDeserialize: (bytes: Buffer) => bytes,
  },
}

/** A real gRPC server with three services: one well, one not, one that never answers. */
async function grpcServer(t: Test, credentials: ServerCredentials): Promise<string> {
  const server = new GrpcServer()
  server.addService(HEALTH, {
    Check(
      call: { request: Buffer },
      answer: (error: { code: number; details?: string } | null, bytes?: Buffer) => void,
    ) {
      const service = call.request.subarray(2).toString()
      if (service === '' || service === 'well') answer(null, Buffer.from([0x08, 1]))
      else if (service === 'ill') answer(null, Buffer.from([0x08, 2]))
      else if (service !== 'hangs') answer({ code: status.NOT_FOUND, details: 'unknown service' })
    },
  })
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', credentials, (error, bound) => (error ? reject(error) : resolve(bound))),
  )
  t.teardown(() => server.forceShutdown())
  return `127.0.0.1:${port}`
}

const grpc = (target: string, part: Partial<GrpcKind> = {}): GrpcKind => ({
  type: 'grpc',
  target,
  useTls: false,
  ...TLS_VERIFIED,
  ...part,
})

t.test('a gRPC health check against a real server', async (t) => {
  const server = await grpcServer(t, ServerCredentials.createInsecure())
  t.same(await probeGrpc(grpc(server), limit()), {
    status: 'passing',
    output: `gRPC check ${server}: success`,
  })
  t.match(await probeGrpc(grpc(`${server}/well`), limit()), { status: 'passing' })
  t.match(await probeGrpc(grpc(`${server}/ill`), limit()), { status: 'critical', output: /NOT_SERVING/ })
  t.match(await probeGrpc(grpc(`${server}/none`), limit()), { status: 'critical', output: /unknown service/ })
  t.match(await probeGrpc(grpc(`${server}/hangs`), limit(300)), { status: 'critical', output: /timeout/ })
  t.match(await probeGrpc(grpc('127.0.0.1:1'), limit()), { status: 'critical', output: /ECONNREFUSED/ })
  t.match(await probeGrpc(grpc(server, { useTls: true }), limit()), { status: 'critical' })
})

t.test('the same failure of a gRPC check has the same output each time', async (t) => {
  const server = `127.0.0.1:${await listen(
    t,
    createNetServer((socket) => socket.end('no HTTP/2 here\n')),
  )}`
  const { status, output } = await probeGrpc(grpc(server), limit())
  t.equal(status, 'critical')
  t.match(output, /Last error: \S/)
  t.notMatch(output, /\d{4}-\d\d-\d\dT/)
})

t.test('a gRPC health check with TLS', async (t) => {
  const files = tlsFiles(t)
  if (files === null) return
  const pair = { private_key: files.key, cert_chain: files.cert }
  const server = await grpcServer(t, ServerCredentials.createSsl(null, [pair]))
  t.match(await probeGrpc(grpc(server, { useTls: true }), limit()), {
    status: 'critical',
    output: /self.signed/,
  })
  const insecure = grpc(`${server}/well`, { useTls: true, tlsSkipVerify: true })
  t.match(await probeGrpc(insecure, limit()), { status: 'passing' })
  t.match(await probeGrpc({ ...insecure, tlsServerName: 'web.example' }, limit()), { status: 'passing' })
})

t.test('a server name that is an IP address is looked for in the certificate', async (t) => {
  const files = certificate(t.testdir(), 'IP:10.9.8.7,IP:fd00::7')
  if (files === null) {
    t.comment('skipped: needs openssl to make a certificate')
    return
  }
  // Trusted for this test as one of the machine's, which every kind of check asks.
  const before = getCACertificates('default')
  setDefaultCACertificates([...before, files.cert.toString()])
  t.teardown(() => setDefaultCACertificates(before))
  const names: unknown[] = []
  const tcpServer = createTlsServer(files, (socket: TLSSocket) => {
    names.push(socket.servername)
    socket.on('error', () => {})
    socket.end()
  })
  const tcp = `127.0.0.1:${await listen(t, tcpServer)}`
  const web = `127.0.0.1:${await listen(
    t,
    createHttpsServer(files, (request, response) => {
      names.push((request.socket as TLSSocket).servername)
      response.end()
    }),
  )}`
  const http2 = `127.0.0.1:${await listen(t, createSecureServer(files) as unknown as Server)}`
  const credentials = ServerCredentials.createSsl(null, [{ private_key: files.key, cert_chain: files.cert }])
  const rpc = await grpcServer(t, credentials)
  const checks = (tlsServerName: string) =>
    Promise.all([
      probeTcp(tcpKind(tcp, { useTls: true, tlsServerName }), limit()),
      probeHttp(httpKind(`https://${web}/`, { tlsServerName }), limit()),
      probeH2(h2(http2, { useTls: true, tlsServerName }), limit()),
      probeGrpc(grpc(rpc, { useTls: true, tlsServerName }), limit()),
    ])
  for (const name of ['10.9.8.7', 'fd00::7', 'fd00::7%lo']) {
    for (const result of await checks(name)) t.match(result, { status: 'passing' }, name)
  }
  t.same(
    names.filter((name) => name !== false),
    [],
    'an address is not sent as a name',
  )
  for (const name of ['10.9.8.6', '', 'web.example']) {
    for (const result of await checks(name)) t.match(result, { status: 'critical', output: /altnames/ }, name)
  }
})

t.test('the two messages of the gRPC health protocol', async (t) => {
  t.same([...encodeHealthRequest('')], [])
  t.same([...encodeHealthRequest('ab')], [0x0a, 2, 0x61, 0x62])
  t.same([...encodeHealthRequest('x'.repeat(200)).subarray(0, 3)], [0x0a, 0xc8, 0x01])
  t.equal(decodeHealthResponse(Buffer.from([])), 'UNKNOWN')
  t.equal(decodeHealthResponse(Buffer.from([0x08, 1])), 'SERVING')
  t.equal(decodeHealthResponse(Buffer.from([0x08, 99])), 'UNKNOWN')
  t.equal(decodeHealthResponse(Buffer.from([0x12, 2, 0x61, 0x62, 0x08, 1])), 'SERVING', 'an unknown field')
  for (const bytes of [[0x08], [0x08, 0x80], [0x12, 9, 1], [0x0f, 1], [0x11, 1], Array(20).fill(0xff)]) {
    t.throws(() => decodeHealthResponse(Buffer.from(bytes)), { message: /health answer/ })
  }
})
