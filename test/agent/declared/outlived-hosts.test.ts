import { setImmediate as turn } from 'node:timers/promises'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { OutlivedHosts } from '../../../agent/declared/outlived-hosts.ts'
import { noLeader } from '../../../consensus/errors.ts'
import { declaredHarness } from '../http/declared-harness.ts'

const PRINTER = { Node: 'n2', Address: '192.0.2.7', Service: { Service: 'ipp', Port: 631 } }

async function fixture(t: Test) {
  const made = await declaredHarness(t)
  let now = 0
  const lines: string[] = []
  const hosts = new OutlivedHosts({
    client: made.consensus,
    catalog: made.store,
    now: () => now,
    log: pino({ level: 'info' }, { write: (line: string) => lines.push(line) }),
  })
  const look = async (ms = 0) => {
    now += ms
    await hosts.look()
    await made.declared.settled()
    await turn()
  }
  return { ...made, lines, look }
}

t.test('what is declared about a host whose agent left is taken back after a minute', async (t) => {
  const { register, membership, store, look, lines } = await fixture(t)
  await register(PRINTER)
  await look(300_000)
  t.ok(store.node('n2'), 'not while it runs')
  membership.set('n2', { status: 'left' })
  await look()
  await look(59_000)
  t.match(store.instances('ipp'), [{ status: 'critical' }], 'it may only be starting again')
  await look(1000)
  t.strictSame([store.node('n2'), store.instances('ipp')], [undefined, []])
  t.match(lines, [/"node":"n2".*its agent left/])
})

t.test('a restart loses nothing, and who declares it anew is heard', async (t) => {
  const { register, membership, store, look } = await fixture(t)
  await register(PRINTER)
  membership.set('n2', { status: 'left' })
  await look()
  membership.set('n2', { status: 'alive', incarnation: 2 })
  await look(300_000)
  t.match(store.instances('ipp'), [{ status: 'passing' }])
  membership.set('n2', { status: 'left' })
  await look()
  await look(50_000)
  await register({ ...PRINTER, Address: '192.0.2.8' })
  await look(300_000)
  t.match(store.instances('ipp'), [{ status: 'passing', node: { record: { address: '192.0.2.8' } } }])
})

t.test('only the leader decides it, and tries again without one', async (t) => {
  const { register, consensus, membership, store, look } = await fixture(t)
  await register(PRINTER)
  membership.set('n2', { status: 'left' })
  consensus.leader = 'peer-2'
  await look()
  await look(100_000)
  t.ok(store.node('n2'))
  consensus.leader = 'peer-1'
  consensus.nextError = noLeader()
  await look()
  t.ok(store.node('n2'))
  await look()
  t.equal(store.node('n2'), undefined)
})
