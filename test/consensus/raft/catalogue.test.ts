/** Known failures of Raft implementations, one scenario each, by their number in the catalogue of the design. */
import t from 'tap'
import { initialConfiguration } from '../../../consensus/raft/configuration.ts'
import type { Message, MessageType } from '../../../consensus/raft/types.ts'
import { bytes, disk, drain, elect, entriesOf, message, node, RaftGroup, termsOf } from './harness.ts'

const THREE = ['a', 'b', 'c']
const FIVE = ['a', 'b', 'c', 'd', 'e']
const SEVEN = [...FIVE, 'f', 'g']

/** Elects `id`, after every other node was told that the old leader is gone. */
function depose(group: RaftGroup, id: string): void {
  for (const [other, { raft }] of group.members) if (other !== id) raft.leaderUnreachable()
  for (let tries = 0; tries < 3 && group.raft(id).role !== 'leader'; tries++) group.campaign(id)
}

function only(type: MessageType, from: string): (message: Message) => boolean {
  return (message) => message.type === type && message.from === from
}

t.test('B1: an entry of an old term is not committed by counting its copies (figure 8)', async (t) => {
  // One entry per append, so that the old entry reaches a majority before the new one does.
  const group = new RaftGroup(FIVE, { random: () => 0, appendBytesMax: 0 })
  group.campaign('a')
  group.drops = ({ from, to }) => !['a', 'b'].includes(from) || !['a', 'b'].includes(to)
  group.propose('a', 'old')
  group.settle()
  group.crash('a')
  group.heal()
  group.drops = only('append', 'e')
  depose(group, 'e')
  t.equal(group.leader(), 'e')
  group.crash('e')

  group.restart('a')
  group.drops = ({ type, to, entries }) => {
    if (type !== 'append') return false
    return to === 'd' || (to === 'c' && entries[0]?.index === 3 && group.raft('c').log.termAt(2) === 1)
  }
  depose(group, 'a')
  const copies = ['a', 'b', 'c'].filter((id) => group.raft(id).log.termAt(2) === 1)
  t.same(copies, ['a', 'b', 'c'], 'a majority has the old entry')
  t.equal(group.raft('a').log.committedIndex, 1, 'and yet it is not committed')

  group.crash('a')
  group.restart('e')
  group.heal()
  depose(group, 'e')
  t.equal(group.leader(), 'e', 'so a node without it may still lead')
  group.tickAll(2)
  t.same(group.applied('b'), [])
})

t.test('B2: no configuration change before an entry of the own term is committed', async (t) => {
  const group = new RaftGroup(THREE)
  group.drops = ({ type }) => type === 'append'
  group.campaign('a')
  const change = { steps: [{ kind: 'addVoter', node: 'd' }] } as const
  t.same(group.raft('a').proposeChange(change), { dropped: 'change-pending' })
  group.heal()
  group.tickAll(2)
  t.match(group.raft('a').proposeChange(change), { index: 2 })
})

t.test('B3: a second configuration change waits for the first to be applied', async (t) => {
  const group = new RaftGroup(THREE)
  group.campaign('a')
  const core = group.raft('a')
  t.match(core.proposeChange({ steps: [{ kind: 'addLearner', node: 'd' }] }), { index: 2 })
  const second = { steps: [{ kind: 'addLearner', node: 'e' }] } as const
  t.same(core.proposeChange(second), { dropped: 'change-pending' })
  group.process('a')
  t.same(core.proposeChange(second), { dropped: 'change-pending' }, 'in the log is not yet applied')
  group.settle()
  t.match(core.proposeChange(second), { index: 3 })
})

t.test('B4: a deposed leader answers no read', async (t) => {
  const group = new RaftGroup(THREE)
  group.campaign('a')
  group.isolate('a')
  const old = group.raft('a')
  t.ok(old.readIndex(1))
  const { reads } = old.ready()
  t.same(reads, [], 'nothing before a quorum has confirmed it')
  depose(group, 'b')
  group.propose('b', 'new')
  group.settle()
  t.equal(old.role, 'leader', 'it does not know yet')
  t.notOk(old.hasReady())
  group.heal()
  group.raft('a').step(message({ type: 'heartbeat', from: 'b', to: 'a', term: 2 }))
  t.same(old.ready().reads, [{ id: 1, index: -1, lease: false }])
})

t.test('B4: a read that begins after a round was sent is not confirmed by it', async (t) => {
  const core = node('a', THREE)
  elect(core, ['b'])
  core.step(message({ type: 'appendResponse', from: 'b', to: 'a', term: 1, index: 1 }))
  drain(core)
  core.readIndex(1)
  const [beat] = drain(core).messages.filter(({ type }) => type === 'heartbeat')
  core.propose([bytes('x')])
  drain(core)
  core.step(message({ type: 'appendResponse', from: 'b', to: 'a', term: 1, index: 2 }))
  core.readIndex(2)
  const context = beat?.context ?? 0
  core.step(message({ type: 'heartbeatResponse', from: 'b', to: 'a', term: 1, context }))
  t.same(core.ready().reads, [{ id: 1, index: 1, lease: false }])
  core.step(message({ type: 'heartbeatResponse', from: 'c', to: 'a', term: 1, context: context + 1 }))
  t.same(core.ready().reads, [{ id: 2, index: 2, lease: false }])
})

t.test('B4: a new leader answers no read before it has committed in its term', async (t) => {
  const core = node('a', THREE, { term: 3, commit: 1, entries: entriesOf([1, 2]) })
  elect(core, ['b'])
  t.ok(core.readIndex(1))
  core.tick()
  drain(core)
  core.step(message({ type: 'heartbeatResponse', from: 'b', to: 'a', term: 4 }))
  t.same(core.ready().reads, [])
  core.step(message({ type: 'appendResponse', from: 'b', to: 'a', term: 4, index: 3 }))
  const [beat] = drain(core).messages.filter(({ type }) => type === 'heartbeat')
  const context = beat?.context ?? 0
  core.step(message({ type: 'heartbeatResponse', from: 'c', to: 'a', term: 4, context }))
  t.same(core.ready().reads, [{ id: 1, index: 3, lease: false }])
})

t.test('B5: a vote is neither sent nor counted before it is durable', async (t) => {
  const group = new RaftGroup(THREE)
  group.hold('b')
  group.campaign('a')
  group.lose()
  group.flush('b', 0)
  t.same(group.sent.filter(only('voteResponse', 'b')), [], 'the voter waits for its disk')
  const lone = node('a', ['a'])
  lone.campaign()
  const ready = lone.ready()
  t.equal(lone.role, 'pre-candidate')
  lone.persisted(ready.token)
  for (const own of ready.messagesAfterPersist) lone.step(own)
  t.equal(lone.role, 'candidate')
  lone.ready()
  t.equal(lone.role, 'candidate', 'its own vote counts only once it is written')
})

t.test('B5: after a crash nobody votes a second time in the same term', async (t) => {
  const group = new RaftGroup(THREE, { random: () => 0 })
  group.drops = only('voteResponse', 'b')
  group.isolate('c')
  const cut = group.drops
  group.drops = (m) => cut(m) || only('voteResponse', 'b')(m)
  group.campaign('a')
  t.equal(group.raft('b').vote, 'a')
  group.crash('b')
  group.restart('b')
  group.crash('a')
  group.heal()
  group.raft('b').step(message({ type: 'vote', from: 'c', to: 'b', term: 1 }))
  group.process('b')
  t.equal(group.raft('b').vote, 'a')
  t.same(
    group.sent.filter(only('voteResponse', 'b')).map(({ to, reject }) => [to, reject]),
    [
      ['a', false],
      ['c', true],
    ],
  )
})

t.test('B5: nobody leads in a term that is not on its disk, however many others voted', async (t) => {
  // After a crash it could lead in the same term once more, with other entries at the same index and term.
  const group = new RaftGroup(FIVE)
  group.hold('a')
  group.campaign('a')
  t.equal(group.raft('a').role, 'candidate')
  group.flush('a')
  group.settle()
  t.equal(group.leader(), 'a')
  t.equal(group.member('a').disk.hardState.term, 1)
})

t.test('B5: votes given for entries that a crash took away elect nobody', async (t) => {
  const group = new RaftGroup(SEVEN, { random: () => 0 })
  group.campaign('a')
  group.hold('b')
  group.drops = ({ to }) => to === 'f' || to === 'g'
  group.propose('a', 'kept')
  group.settle()
  group.heal()
  t.same(group.applied('a'), ['kept'], 'by a, c, d and e')
  t.equal(group.raft('b').log.lastIndex, 2, 'b has it in memory only')
  group.crash('a')
  for (const id of SEVEN.slice(1)) group.raft(id).leaderUnreachable()
  group.raft('b').campaign()
  group.process('b')
  group.deliver(({ type }) => type === 'preVote')
  // One grant is slow, and so are all the votes that b would ask for now.
  group.deliver(({ type, from }) => type === 'preVoteResponse' && from !== 'c')
  t.equal(group.raft('b').role, 'candidate')
  group.deliver(({ type }) => type === 'vote')
  group.crash('b')
  group.restart('b')
  t.equal(group.raft('b').log.lastIndex, 1)
  group.raft('b').campaign()
  group.process('b')
  group.deliver(({ type }) => type === 'preVote')
  group.deliver(({ type }) => type === 'preVoteResponse')
  t.equal(group.raft('b').role, 'candidate', 'with the help of the slow grant')
  // The harness throws if this makes a leader that lacks a committed entry.
  group.settle()
  t.not(group.raft('b').role, 'leader')
})

t.test('B7: a candidate that steps down in its term keeps its vote', async (t) => {
  const refused = (core: ReturnType<typeof node>, from: string) => {
    core.step(message({ type: 'vote', from, to: 'a', term: core.term, index: 9, logTerm: 9 }))
    return drain(core).messages.find(({ type }) => type === 'voteResponse')?.reject
  }
  const deposed = node('a', THREE)
  deposed.campaign()
  drain(deposed)
  deposed.step(message({ type: 'preVoteResponse', from: 'b', to: 'a', term: 1 }))
  drain(deposed)
  deposed.step(message({ type: 'append', from: 'b', to: 'a', term: 1 }))
  t.equal(deposed.role, 'follower')
  t.equal(refused(deposed, 'c'), true, 'a leader of the same term')

  const beaten = node('a', THREE)
  beaten.campaign()
  drain(beaten)
  beaten.step(message({ type: 'preVoteResponse', from: 'b', to: 'a', term: 1 }))
  drain(beaten)
  for (const from of ['b', 'c'])
    beaten.step(message({ type: 'voteResponse', from, to: 'a', term: 1, reject: true }))
  t.equal(beaten.role, 'follower')
  t.equal(refused(beaten, 'c'), true, 'a lost election')

  const again = node('a', THREE, { term: 1, vote: 'b' })
  again.campaign()
  drain(again)
  for (const from of ['b', 'c'])
    again.step(message({ type: 'preVoteResponse', from, to: 'a', term: 1, reject: true }))
  t.equal(again.vote, 'b')
  t.equal(refused(again, 'c'), true, 'a pre-vote in between')
})

t.test('B8: a late, shorter append removes nothing that matches', async (t) => {
  const core = node('a', THREE, { term: 1 })
  const append = (terms: number[]) =>
    core.step(message({ type: 'append', from: 'b', to: 'a', term: 1, entries: entriesOf(terms) }))
  append([1, 1, 1])
  drain(core)
  append([1])
  const { messages } = drain(core)
  t.equal(core.log.lastIndex, 3)
  t.equal(messages[0]?.index, 1)
  append([])
  t.equal(core.log.lastIndex, 3)
})

t.test('B9: an acknowledgement covers what was compared, not what is in the log', async (t) => {
  const core = node('a', THREE, { term: 2, entries: entriesOf([1, 1, 1, 1]) })
  core.step(
    message({
      type: 'append',
      from: 'b',
      to: 'a',
      term: 2,
      index: 1,
      logTerm: 1,
      entries: entriesOf([1], 2),
      commit: 4,
    }),
  )
  const { messages, committed } = drain(core)
  t.match(messages, [{ type: 'appendResponse', index: 2, reject: false }])
  t.equal(committed.length, 2, 'and no more than that is committed')
})

t.test('B14: a removed node with a complete log cannot depose the leader', async (t) => {
  const group = new RaftGroup(THREE)
  group.campaign('a')
  group.raft('a').proposeChange({ steps: [{ kind: 'remove', node: 'c' }] })
  group.process('a')
  group.drops = ({ type, from, to }) => from === 'a' && to === 'c' && type === 'append'
  group.settle()
  group.tickAll(3)
  t.same(group.configurationOf('a'), ['a', 'b'])
  for (let i = 0; i < 40; i++) {
    group.tick('c')
    if (i % 4 === 0) group.tickAll()
    else group.settle()
  }
  t.equal(group.raft('a').role, 'leader')
  t.equal(group.raft('a').term, 1)
})

t.test(
  'B15 (c): a leader of an old term is told the new one, so that a node with a higher term comes back',
  async (t) => {
    const group = new RaftGroup(THREE, { random: () => 0 })
    group.campaign('a')
    // c was alone with a candidate that bumped its term and vanished.
    group.raft('c').step(message({ type: 'append', from: 'b', to: 'c', term: 5 }))
    group.process('c')
    group.lose()
    t.equal(group.raft('c').term, 5)
    for (let i = 0; i < 25; i++) group.tickAll()
    const leader = group.leader()
    t.ok(group.raft(leader).term > 5)
    group.propose(leader, 'x')
    group.settle()
    group.tickAll()
    for (const id of THREE) t.same(group.applied(id), ['x'], id)
  },
)

t.test('B15 (d): a pre-vote of an old term is refused aloud', async (t) => {
  const core = node('a', THREE, { term: 5 })
  core.step(message({ type: 'preVote', from: 'b', to: 'a', term: 3 }))
  t.match(drain(core).messages, [{ type: 'preVoteResponse', to: 'b', term: 5, reject: true }])
  const behind = node('b', THREE, { term: 2 })
  behind.campaign()
  drain(behind)
  behind.step(message({ type: 'preVoteResponse', from: 'a', to: 'b', term: 5, reject: true }))
  t.equal(behind.term, 5, 'and that is how it learns the term')
})

t.test('B17: replication goes on after a full window was lost', async (t) => {
  const group = new RaftGroup(THREE, { window: { messagesMax: 2, bytesMax: 1 << 20 } })
  group.campaign('a')
  group.drops = ({ type, to }) => type === 'append' && to === 'c'
  for (const command of ['1', '2', '3', '4']) group.propose('a', command)
  group.settle()
  t.equal(group.raft('a').progress.get('c')?.isWindowFull(), true)
  t.equal(group.raft('c').log.lastIndex, 1)
  group.heal()
  group.tickAll(2)
  t.same(group.applied('c'), ['1', '2', '3', '4'])
})

t.test('B18: a follower that has everything does not stay in probe', async (t) => {
  const group = new RaftGroup(THREE)
  group.campaign('a')
  group.raft('a').reportUnreachable('b')
  t.equal(group.raft('a').progress.get('b')?.state, 'probe')
  group.tickAll()
  t.equal(group.raft('a').progress.get('b')?.state, 'replicate')
})

t.test(
  'B19: the completion of an old write does not vouch for an entry that was replaced since (A→B→A)',
  async (t) => {
    const core = node('b', THREE, { term: 1, entries: entriesOf([1]) })
    const append = (from: string, term: number, terms: number[], commit = 0) => {
      core.step(
        message({
          type: 'append',
          from,
          to: 'b',
          term,
          index: 1,
          logTerm: 1,
          entries: entriesOf(terms, 2),
          commit,
        }),
      )
      return core.ready()
    }
    const first = append('a', 1, [1])
    const second = append('c', 2, [2])
    const third = append('a', 3, [1, 3], 3)
    core.persisted(first.token)
    t.equal(core.log.stableIndex, 1, 'entry 2 on the disk is about to be overwritten')
    t.same(core.ready().committed, [], 'and so is not applied')
    core.persisted(second.token)
    t.same(core.ready().committed, [])
    core.persisted(third.token)
    t.same(
      core.ready().committed.map(({ index, term }) => [index, term]),
      [
        [2, 1],
        [3, 3],
      ],
    )
  },
)

t.test('B20: a node alone acknowledges nothing before it is on the disk', async (t) => {
  const group = new RaftGroup(['a'])
  group.campaign('a')
  group.hold('a')
  group.propose('a', 'x')
  t.equal(group.raft('a').log.committedIndex, 1)
  t.same(group.applied('a'), [])
  group.flush('a')
  t.same(group.applied('a'), ['x'])
  group.crash('a')
  group.restart('a')
  group.campaign('a')
  t.same(group.applied('a'), ['x'])
})

t.test('B11: after a snapshot of the leader the configuration is that of the snapshot', async (t) => {
  const group = new RaftGroup(THREE)
  group.campaign('a')
  group.isolate('c')
  group.raft('a').proposeChange({ steps: [{ kind: 'addLearner', node: 'd' }] })
  group.settle()
  group.propose('a', 'x')
  group.settle()
  group.compact('a')
  group.heal()
  group.tickAll(3)
  t.same(group.configurationOf('c'), ['a', 'b', 'c', 'd'])
  t.equal(group.raft('c').log.snapshotIndex, 3)
})

t.test('B11: who does not know yet whether its vote counts does not campaign', async (t) => {
  const change = new TextEncoder().encode(JSON.stringify({ steps: [{ kind: 'addLearner', node: 'd' }] }))
  const core = node('a', THREE, {
    term: 1,
    commit: 1,
    entries: [{ index: 1, term: 1, type: 'config', data: change }],
  })
  core.campaign()
  t.equal(core.role, 'follower')
  drain(core)
  core.campaign()
  t.equal(core.role, 'pre-candidate')
})

t.test('B11: a change is stored together with the commit of the one before it', async (t) => {
  const group = new RaftGroup(THREE)
  group.campaign('a')
  for (const [i, node] of ['d', 'e'].entries()) {
    group.raft('a').proposeChange({ steps: [{ kind: 'addLearner', node }] })
    group.process('a')
    group.deliver()
    const { disk } = group.member('b')
    t.equal(disk.entries.at(-1)?.type, 'config')
    t.ok(disk.hardState.commit >= i + 1, `change ${i + 1} is known to be committed when the next is stored`)
    group.settle()
  }
})

t.test('B12: a crash while a snapshot is installed leaves a node that can install it again', async (t) => {
  const group = new RaftGroup(THREE)
  group.campaign('a')
  group.isolate('c')
  group.propose('a', 'x', 'y')
  group.settle()
  group.compact('a')
  group.heal()
  group.tick('a')
  while (!group.inFlight.some(({ type }) => type === 'snapshot')) group.deliver()
  group.hold('c')
  group.settle()
  t.equal(group.raft('c').log.snapshotIndex, 3, 'taken over in memory')
  t.equal(group.raft('a').progress.get('c')?.matchIndex, 1, 'and not acknowledged')
  group.crash('c')
  group.restart('c')
  t.equal(group.raft('c').log.lastIndex, 1)
  group.tickAll(4)
  t.equal(group.raft('c').log.snapshotIndex, 3)
  t.equal(group.raft('a').progress.get('c')?.matchIndex, 3)
})

t.test('a joint configuration is left even if a transfer of leadership was in the way', async (t) => {
  const ids = ['a', 'b', 'c', 'd', 'e']
  const group = new RaftGroup(ids, {
    disks: Object.fromEntries(ids.map((id) => [id, disk(initialConfiguration(THREE))])),
  })
  group.campaign('a')
  group.raft('a').proposeChange({
    steps: [
      { kind: 'addVoter', node: 'd' },
      { kind: 'addVoter', node: 'e' },
    ],
  })
  group.process('a')
  group.drops = ({ type }) => type === 'timeoutNow'
  t.ok(group.raft('a').transferLeadership('b'))
  group.settle()
  t.equal(group.raft('a').configuration.votersOutgoing.length, 3)
  group.tickAll(12)
  t.same(group.raft('a').configuration.votersOutgoing, [])
  t.equal(group.raft('a').configuration.voters.length, 5)
})

t.test(
  'a leader left without a quorum steps down and its log is given up for that of the next',
  async (t) => {
    const group = new RaftGroup(THREE)
    group.campaign('a')
    group.isolate('a')
    group.propose('a', 'lost')
    depose(group, 'b')
    group.propose('b', 'kept')
    group.settle()
    for (let i = 0; i < 25; i++) group.tick('a')
    t.not(group.raft('a').role, 'leader')
    group.heal()
    group.tickAll(25)
    for (const id of THREE) t.same(group.applied(id), ['kept'], id)
    t.same(termsOf(group.raft('a')), termsOf(group.raft('b')))
  },
)
