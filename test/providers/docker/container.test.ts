import fc from 'fast-check'
import t from 'tap'
import { readContainer } from '../../../providers/docker/container.ts'
import { DockerError } from '../../../providers/docker/errors.ts'
import { readEvent } from '../../../providers/docker/events.ts'
import { translate } from '../../../providers/docker/translate.ts'
import { inspection, OPTIONS } from './fixtures.ts'

t.test('an inspection of Podman 4.3 and one of Docker 20.10 read the same', async (t) => {
  const docker = readContainer(inspection({ ports: { '80/tcp': ['0.0.0.0:8080'] }, health: 'healthy' }))
  t.match(docker, {
    name: 'web',
    state: 'running',
    health: { status: 'healthy' },
    bindings: [{ port: 80, hostIp: '0.0.0.0', hostPort: 8080 }],
  })
  const podman = readContainer({
    ...inspection({ ports: { '80/tcp': [':8080'] } }),
    Name: 'web',
    State: {
      Status: 'running',
      StartedAt: 'x',
      Healthcheck: { Status: 'healthy', FailingStreak: 0, Log: null },
    },
  })
  t.match(podman, { name: 'web', health: { status: 'healthy' }, bindings: [{ hostIp: '', hostPort: 8080 }] })
  t.equal(readContainer(inspection({ status: 'stopped' })).state, 'exited')
  t.equal(readContainer(inspection({ status: 'configured' })).state, 'created')
})

t.test('ports: exposed, published, not yet chosen, and those the catalogue cannot hold', async (t) => {
  const { ports, bindings } = readContainer(
    inspection({
      exposed: ['53/udp', '53/tcp', '9/sctp', '0/tcp', '99999/tcp', 'x'],
      ports: { '80/tcp': ['0.0.0.0:0'], '81/tcp': ['0.0.0.0:70000'], '82/tcp': ['0.0.0.0:8082'] },
    }),
  )
  t.same(
    ports.map(({ port, protocol }) => `${port}/${protocol}`),
    ['53/tcp', '53/udp', '80/tcp', '81/tcp', '82/tcp'],
  )
  t.same(
    bindings.map(({ hostPort }) => hostPort),
    [8082],
  )
})

t.test('whatever an engine answers, it is read or refused', async () => {
  const keys = ['Id', 'Name', 'State', 'Config', 'HostConfig', 'NetworkSettings', 'RestartCount']
  const inner = [
    'Status',
    'Health',
    'Log',
    'Labels',
    'ExposedPorts',
    'Ports',
    'Networks',
    'PortBindings',
    '80/tcp',
  ]
  const leaf = fc.oneof(fc.jsonValue({ maxDepth: 2 }), fc.constantFrom('running', 'exited', 'healthy'))
  const node = fc.dictionary(
    fc.constantFrom(...inner),
    fc.oneof(leaf, fc.dictionary(fc.constantFrom(...inner), leaf)),
  )
  const answer = fc.oneof(leaf, fc.dictionary(fc.constantFrom(...keys), fc.oneof(leaf, node)))
  fc.assert(
    fc.property(answer, (any) => {
      try {
        translate(readContainer(any), { ...OPTIONS, exposeByDefault: true })
      } catch (error) {
        return error instanceof DockerError && error.code === 'DKR_GARBLED'
      }
      return true
    }),
    { numRuns: 1000 },
  )
})

t.test('whatever line an engine sends, it is an event or nothing', async () => {
  fc.assert(
    fc.property(fc.oneof(fc.json({ maxDepth: 3 }), fc.string()), (line) => {
      const event = readEvent(line)
      return event === null || (event.container !== '' && event.action !== '')
    }),
    { numRuns: 1000 },
  )
})
