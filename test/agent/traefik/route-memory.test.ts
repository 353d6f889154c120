import t from 'tap'
import { planMemory, RouteMemory } from '../../../agent/traefik/route-memory.ts'
import { type Remembered, readRemembered } from '../../../providers/traefik/remembered.ts'
import { memoryLog } from '../../discovery/health/fixtures.ts'
import { FakeConsensus } from '../http/fake-consensus.ts'

const textOf = (rule: string) =>
  JSON.stringify({ sets: [{ labels: { 'traefik.http.routers.web.rule': rule }, nodes: ['n1'] }] })

function known(name: string, leaving = false): [string, Remembered] {
  const text = textOf(name)
  const service = readRemembered(name, text)
  if (service === null) throw new Error(text)
  return [name, { ...service, text, leaving }]
}

t.test('what there is to write', (t) => {
  const remembered = new Map([
    known('same'),
    known('changed'),
    known('back', true),
    known('gone'),
    known('going', true),
    known('hidden'),
  ])
  const wanted = new Map([
    ['same', textOf('same')],
    ['changed', textOf('other')],
    ['back', textOf('back')],
    ['new', textOf('new')],
  ])
  const isPresent = (name: string) => wanted.has(name) || name === 'hidden'
  t.same(planMemory(remembered, wanted, isPresent, 600_000), [
    { type: 'set', service: 'changed', text: textOf('other') },
    { type: 'set', service: 'back', text: textOf('back') },
    { type: 'set', service: 'new', text: textOf('new') },
    { type: 'set', service: 'gone', text: textOf('gone'), ttlMs: 600_000 },
    { type: 'forget', service: 'hidden' },
  ])
  t.same(
    planMemory(remembered, wanted, isPresent, 0).map(({ type }) => type),
    Array(6).fill('forget'),
  )
  t.end()
})

t.test('the one node that writes remembers services, and lets them go when their time is over', async (t) => {
  const client = new FakeConsensus()
  let wanted: ReadonlyMap<string, string> | null = new Map([['a/ü', textOf('x')]])
  let mayWrite = false
  const make = () =>
    new RouteMemory(
      { graceMs: 600_000, everyMs: 3_600_000 },
      {
        client,
        wanted: () => wanted,
        isPresent: (name) => wanted?.has(name) === true,
        mayWrite: () => mayWrite,
        log: memoryLog().log,
      },
    )
  const memory = make()
  await memory.start()
  t.teardown(() => memory.stop())
  const rounds = async (count = 2) => {
    for (let i = 0; i < count; i += 1) await memory.round()
  }
  const writes = () => client.proposals.length

  await rounds()
  t.equal(writes(), 0, 'not this node')
  mayWrite = true
  await rounds(1)
  t.equal(writes(), 0, 'once is not settled')
  await rounds(1)
  t.match(client.proposals, [
    { command: { type: 'kv.set', key: /constellation\/traefik\/service\/a%2F%C3%BC/ } },
  ])
  const until = async (condition: () => boolean) => {
    for (let i = 0; i < 100 && !condition(); i += 1) await new Promise(setImmediate)
  }
  await until(() => memory.remembered.size === 1)
  t.match(memory.remembered.get('a/ü'), { name: 'a/ü', leaving: false, text: textOf('x') })
  const { version } = memory
  await rounds(5)
  t.equal(writes(), 1, 'nothing new is written again')
  t.equal(memory.version, version)

  wanted = null
  await rounds()
  t.equal(writes(), 1, 'while the catalogue is not to be trusted nothing has gone')
  wanted = new Map()
  await rounds()
  t.match(client.proposals[1], { command: { type: 'kv.set', ttlMs: 600_000 } })
  await until(() => memory.remembered.get('a/ü')?.leaving === true)
  t.equal(memory.remembered.get('a/ü')?.leaving, true)
  await rounds(4)
  t.equal(writes(), 2)

  const other = make()
  await other.start()
  t.same([...other.remembered.keys()], ['a/ü'], 'a node that was started since has it too')
  await other.stop()
  memory.configure({ graceMs: 0 })
  await rounds()
  await until(() => memory.remembered.size === 0)
  t.equal(memory.remembered.size, 0)
})

t.test('a value nobody here wrote is skipped', async (t) => {
  const client = new FakeConsensus()
  for (const [name, value] of [
    ['%', textOf('x')],
    ['a', 'nonsense'],
    ['b', '{"sets":[{"labels":{"x":1},"nodes":[]}]}'],
    ['c', '{"sets":[{"labels":{"x":"1"},"nodes":[2]}]}'],
    ['d', textOf('x')],
  ]) {
    await client.propose({
      type: 'kv.set',
      key: `constellation/traefik/service/${name}`,
      value: Buffer.from(value ?? ''),
      flags: 0n,
    })
  }
  const memory = new RouteMemory(
    { graceMs: 1000 },
    { client, wanted: () => null, isPresent: () => false, mayWrite: () => false, log: memoryLog().log },
  )
  await memory.start()
  t.same([...memory.remembered.keys()], ['d'])
  await memory.stop()
})
