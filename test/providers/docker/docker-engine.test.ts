import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { agree, DockerEngine } from '../../../providers/docker/docker-engine.ts'
import type { EngineEvent } from '../../../providers/docker/events.ts'
import { DIALECTS, type Dialect, EngineServer } from './engine-server.ts'
import { inspection } from './fixtures.ts'

const never = new AbortController().signal

async function pair(t: Test, dialect: Dialect) {
  const server = new EngineServer(dialect)
  // The path of a socket is short.
  const folder = await mkdtemp(join(tmpdir(), 'engine-'))
  const path = join(folder, 'engine.sock')
  await server.listen(path)
  t.teardown(async () => {
    await server.close()
    await rm(folder, { recursive: true })
  })
  return { server, path, engine: new DockerEngine({ address: { kind: 'unix', path } }) }
}

for (const [dialect, { api, version, product }] of Object.entries(DIALECTS)) {
  t.test(`${dialect}: agrees on a version, lists, inspects, restarts`, async (t) => {
    const { server, engine } = await pair(t, dialect as Dialect)
    server.containers.set('c1', inspection({ health: 'healthy' }))
    const name = product === 'Engine' ? 'docker' : 'podman'
    t.same(await engine.connect(never), { product: name, version, apiVersion: api })
    t.same(await engine.list(never), ['c1'])
    t.match(await engine.inspect('c1', never), { id: 'c1', name: 'web', health: { status: 'healthy' } })
    t.equal(await engine.inspect('gone', never), null)
    await engine.restart('c1', never)
    await engine.start('c1', never)
    await engine.stop('c1', 7, never)
    await engine.stop('c1', null, never)
    t.same(server.requests.slice(-3), [
      `POST /v${api}/containers/c1/start`,
      `POST /v${api}/containers/c1/stop?t=7`,
      `POST /v${api}/containers/c1/stop`,
    ])
    server.refused.set('/containers/c1/stop', 304)
    await engine.stop('c1', null, never)
    server.refused.set('/containers/c1/start', 500)
    await t.rejects(engine.start('c1', never), { code: 'DKR_REFUSED' })
    t.ok(
      server.requests.slice(1).every((request) => request.includes(` /v${api}/`)),
      'with the version',
    )
  })
}

t.test('a version both sides speak, or a sentence about why there is none', async (t) => {
  t.equal(agree({ ApiVersion: '1.99', MinAPIVersion: '1.44' }).apiVersion, '1.52')
  t.equal(agree({ ApiVersion: '1.40' }).apiVersion, '1.40')
  t.throws(() => agree({ ApiVersion: '1.99', MinAPIVersion: '1.60' }), { code: 'DKR_VERSION' })
  t.throws(() => agree({ ApiVersion: '1.20', MinAPIVersion: '1.12' }), { code: 'DKR_VERSION' })
  t.throws(() => agree({}), { code: 'DKR_GARBLED' })
  t.throws(() => agree('x'), { code: 'DKR_GARBLED' })
})

t.test('a proxy that keeps the version for itself is asked without one', async (t) => {
  const { server, engine } = await pair(t, 'docker 29')
  server.refused.set('/version', 403)
  t.match(await engine.connect(never), { apiVersion: '' })
  t.same(await engine.list(never), [])
  t.match(server.requests.at(-1), /^GET \/containers\/json/)
})

t.test('the environment of the docker command changes nothing', async (t) => {
  const before = { ...process.env }
  t.teardown(() => {
    process.env = before
  })
  for (const env of [
    { DOCKER_HOST: 'tcp://127.0.0.1:1' },
    { DOCKER_HOST: 'tcp://127.0.0.1:2376', DOCKER_TLS_VERIFY: '1', DOCKER_CERT_PATH: '/nonexistent' },
    { DOCKER_HOST: 'ssh://127.0.0.1', DOCKER_CLIENT_TIMEOUT: '1' },
    { DOCKER_HOST: 'no address:x' },
  ]) {
    process.env = { ...before, ...env }
    const { engine } = await pair(t, 'docker 29')
    t.match(await engine.connect(never), { apiVersion: '1.52' }, env.DOCKER_HOST)
  }
})

t.test('events come whole, and the end of the stream is told', async (t) => {
  const { server, engine } = await pair(t, 'podman 4.3')
  const events: EngineEvent[] = []
  let heard = () => {}
  const stream = await engine.events((event) => {
    events.push(event)
    heard()
  }, never)
  const until = async (count: number) => {
    while (events.length < count) {
      await new Promise<void>((resolve) => {
        heard = resolve
      })
    }
  }
  t.equal(server.listeners, 1, 'it is open when the promise resolves')
  const line = (id: string, Action: string) =>
    `${JSON.stringify({ Type: 'container', Action, Actor: { ID: id, Attributes: { name: 'ü' } } })}\n`
  const bytes = Buffer.from(line('a', 'start') + line('b', 'died'))
  const cut = bytes.indexOf('ü') + 1
  server.send(bytes.subarray(0, cut))
  server.send(bytes.subarray(cut))
  await until(2)
  t.match(events, [
    { container: 'a', action: 'start' },
    { container: 'b', action: 'die' },
  ])
  server.endStreams()
  t.match(await stream.ended, { code: 'DKR_STREAM_ENDED' })
  t.ok(
    server.requests.some((request) =>
      request.includes(encodeURIComponent('{"type":["container","network"]}')),
    ),
  )
})

t.test('closing the stream ends it', async (t) => {
  const { engine } = await pair(t, 'docker 20.10')
  const stream = await engine.events(() => {}, never)
  stream.close()
  t.match(await stream.ended, { code: 'DKR_STREAM_ENDED' })
})

t.test('failures say what to do', async (t) => {
  const { server, path, engine } = await pair(t, 'docker 29')
  const impatient = new DockerEngine({ address: { kind: 'unix', path }, timeoutMs: 200 })
  server.refused.set('/containers/json', 403)
  await t.rejects(engine.list(never), {
    code: 'DKR_DENIED',
    message: /does not allow this request: not for you/,
  })
  server.refused.set('/containers/json', 500)
  await t.rejects(engine.list(never), { code: 'DKR_REFUSED', message: /not for you/ })
  server.refused.clear()
  server.silent.add('/containers/json')
  await t.rejects(impatient.list(never), { code: 'DKR_TIMEOUT' })
  server.silent.add('/events')
  await t.rejects(
    impatient.events(() => {}, never),
    { code: 'DKR_TIMEOUT' },
  )
  const aborted = AbortSignal.abort(new Error('stop'))
  await t.rejects(engine.list(aborted), { message: 'stop' })
  const nobody = new DockerEngine({ address: { kind: 'unix', path: `${path}.no` } })
  await t.rejects(nobody.connect(never), {
    code: 'DKR_UNREACHABLE',
    message: /engine\.sock\.no does not answer/,
  })
})
