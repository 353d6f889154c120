import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { probeDocker } from '../../../discovery/health/docker-probe.ts'
import { EngineServer } from '../../providers/docker/engine-server.ts'

t.test('a check asks the engine it was given, whatever DOCKER_HOST says', async (t) => {
  const server = new EngineServer('docker 29')
  const folder = await mkdtemp(join(tmpdir(), 'probe-'))
  const path = join(folder, 'engine.sock')
  await server.listen(path)
  const { DOCKER_HOST } = process.env
  process.env.DOCKER_HOST = 'tcp://127.0.0.1:1'
  t.teardown(async () => {
    if (DOCKER_HOST === undefined) delete process.env.DOCKER_HOST
    else process.env.DOCKER_HOST = DOCKER_HOST
    await server.close()
    await rm(folder, { recursive: true })
  })
  const kind = { type: 'docker' as const, container: 'gone', shell: '', args: ['true'] }
  const { signal } = new AbortController()
  const result = await probeDocker(kind, path, { signal, timeoutMs: 5_000, outputMax: 4096 })
  t.match(result, { status: 'critical', output: /No such container/ })
  t.equal(process.env.DOCKER_HOST, 'tcp://127.0.0.1:1', 'and leaves it as it is')
})
