import { pino } from 'pino'
import t from 'tap'
import { ForeignCluster } from '../../agent/foreign-cluster.ts'
import type { ConsensusClient } from '../../consensus/client.ts'
import type { Member, MemberStatus, Membership } from '../../discovery/membership/types.ts'

function member(name: string, cluster: string, status: MemberStatus = 'alive'): Member {
  return { id: `id-${name}`, name, address: '127.0.0.1:1', status, incarnation: 1, meta: { cluster } }
}

function watcher(own: string | null, members: readonly Member[]) {
  const lines: string[] = []
  let now = 0
  const foreign = new ForeignCluster({
    consensus: { status: () => ({ clusterId: own }) } as unknown as ConsensusClient,
    membership: { members: () => members } as unknown as Membership,
    log: pino({ level: 'error' }, { write: (line: string) => lines.push(line) }),
    now: () => now,
  })
  const passMs = (ms: number) => {
    now += ms
  }
  return { foreign, lines, passMs }
}

t.test('the smaller side of two clusters that meet stands back, the larger one only says so', async (t) => {
  const members = [member('a', 'one'), member('b', 'two'), member('c', 'two'), member('d', '')]
  const small = watcher('one', members)
  small.foreign.check()
  t.match(small.foreign.reason, /a \(one\) and b, c \(two\).*move its data_dir away/)
  t.equal(small.lines.length, 1)
  const large = watcher('two', members)
  large.foreign.check()
  t.equal(large.foreign.reason, null)
  t.match(large.lines[0], /smaller side stand back/)
})

t.test('of two equal sides exactly one stands back', async (t) => {
  const members = [member('a', 'one'), member('b', 'two')]
  const sides = ['one', 'two'].map((id) => watcher(id, members))
  for (const { foreign } of sides) foreign.check()
  t.equal(sides.filter(({ foreign }) => foreign.reason !== null).length, 1)
})

t.test('the dead, the undecided and a node without a cluster of its own are no conflict', async (t) => {
  const members = [member('a', 'one'), member('b', 'two', 'failed'), member('c', '')]
  for (const own of ['one', null]) {
    const { foreign, lines } = watcher(own, members)
    foreign.check()
    t.equal(foreign.reason, null)
    t.equal(lines.length, 0)
  }
})

t.test('it is said once a minute', async (t) => {
  const { foreign, lines, passMs } = watcher('one', [member('a', 'one'), member('b', 'two')])
  foreign.check()
  passMs(59_000)
  foreign.check()
  t.equal(lines.length, 1)
  passMs(1000)
  foreign.check()
  t.equal(lines.length, 2)
})

t.test(
  'what is left of a cluster stands back before the one recovered from it, however small that is',
  async (t) => {
    const recovered = 'one+1-00000000'
    const members = [member('a', recovered), member('b', 'one'), member('c', 'one'), member('d', 'two')]
    const old = watcher('one', members)
    old.foreign.check()
    t.match(old.foreign.reason, /b, c \(one\) and a \(one\+1-00000000\).*move its data_dir away/)
    const next = watcher(recovered, members.slice(0, 3))
    next.foreign.check()
    t.equal(next.foreign.reason, null)
    t.match(next.lines[0], /the first was recovered from the second/)
  },
)
