/** One test per rule of the Raft paper, on the bare core. The names are those of the paper tests of etcd's raft. */
import t from 'tap'
import type { Raft } from '../../../consensus/raft/raft.ts'
import type { Message, MessageType } from '../../../consensus/raft/types.ts'
import {
  bytes,
  disk,
  drain,
  elect,
  entriesOf,
  message,
  node,
  prng,
  RaftGroup,
  raft,
  termsOf,
  text,
} from './harness.ts'

const THREE = ['a', 'b', 'c']
const FIVE = ['a', 'b', 'c', 'd', 'e']

function sent(messages: readonly Message[], type: MessageType): Message[] {
  return messages.filter((message) => message.type === type)
}

/** A candidate in the next term, before any answer. */
function candidate(core: Raft): Raft {
  core.campaign()
  drain(core)
  for (const from of ['b', 'c', 'd', 'e']) {
    if (core.role !== 'pre-candidate') break
    core.step(message({ type: 'preVoteResponse', from, to: 'a', term: core.term + 1 }))
  }
  return core
}

/** Acknowledges everything the leader sent to `from`. */
function acknowledge(core: Raft, from: string): void {
  core.step(
    message({ type: 'appendResponse', from, to: core.id, term: core.term, index: core.log.lastIndex }),
  )
}

// §5.1

for (const role of ['Follower', 'Candidate', 'Leader'] as const) {
  t.test(`${role}UpdateTermFromMessage: a larger term makes everybody a follower of it`, async (t) => {
    const core = node('a', THREE, { term: 1 })
    if (role === 'Candidate') candidate(core)
    if (role === 'Leader') elect(core, ['b'])
    t.equal(core.role, role.toLowerCase())
    core.step(message({ type: 'append', from: 'b', to: 'a', term: 7 }))
    t.equal(core.term, 7)
    t.equal(core.role, 'follower')
    t.equal(core.leader, 'b')
  })
}

t.test('RejectStaleTermMessage: a message of an old term changes nothing', async (t) => {
  const core = node('a', THREE, { term: 3, entries: entriesOf([1, 2]) })
  core.step(
    message({
      type: 'append',
      from: 'b',
      to: 'a',
      term: 2,
      index: 2,
      logTerm: 2,
      entries: entriesOf([2], 3),
    }),
  )
  core.step(message({ type: 'vote', from: 'b', to: 'a', term: 2, index: 9, logTerm: 2 }))
  const { messages } = drain(core)
  t.equal(core.log.lastIndex, 2)
  t.equal(core.term, 3)
  t.equal(core.leader, '')
  t.same(sent(messages, 'voteResponse'), [], 'and no vote is given')
})

// §5.2

t.test('StartAsFollower', async (t) => {
  t.equal(node('a', THREE).role, 'follower')
})

t.test('LeaderBcastBeat: the leader sends a heartbeat to everybody every heartbeat interval', async (t) => {
  const core = node('a', THREE, {}, { heartbeatTicks: 2 })
  elect(core, ['b'])
  core.tick()
  t.same(sent(drain(core).messages, 'heartbeat'), [])
  core.tick()
  t.same(
    sent(drain(core).messages, 'heartbeat').map(({ to, term }) => [to, term]),
    [
      ['b', 1],
      ['c', 1],
    ],
  )
})

t.test(
  'FollowerStartElection: without a leader a follower asks for votes, pre-vote first (thesis 9.6)',
  async (t) => {
    const core = node('a', THREE, { term: 4 })
    for (let i = 0; i < 9; i++) core.tick()
    t.equal(core.role, 'follower')
    core.tick()
    t.equal(core.role, 'pre-candidate')
    t.equal(core.term, 4, 'a pre-vote does not raise the term')
    t.same(
      drain(core).messages.map(({ type, to, term }) => [type, to, term]),
      [
        ['preVote', 'b', 5],
        ['preVote', 'c', 5],
      ],
    )
    core.step(message({ type: 'preVoteResponse', from: 'b', to: 'a', term: 5 }))
    t.equal(core.role, 'candidate')
    t.equal(core.term, 5)
    t.equal(core.vote, 'a')
    t.same(
      drain(core).messages.map(({ type, to, term }) => [type, to, term]),
      [
        ['vote', 'b', 5],
        ['vote', 'c', 5],
      ],
    )
  },
)

t.test('CandidateStartNewElection: an election without a result is followed by another', async (t) => {
  const core = candidate(node('a', THREE, { term: 4 }))
  t.equal(core.term, 5)
  drain(core)
  for (let i = 0; i < 10; i++) core.tick()
  t.equal(core.role, 'pre-candidate')
  t.same(
    sent(drain(core).messages, 'preVote').map(({ term }) => term),
    [6, 6],
  )
})

t.test('LeaderElectionInOneRoundRPC: won, lost or open, as the votes say', async (t) => {
  const cases: [size: number, granted: number, refused: number, role: string][] = [
    [1, 0, 0, 'leader'],
    [3, 2, 0, 'leader'],
    [3, 1, 0, 'leader'],
    [5, 4, 0, 'leader'],
    [5, 3, 0, 'leader'],
    [5, 2, 0, 'leader'],
    [3, 0, 2, 'follower'],
    [5, 0, 4, 'follower'],
    [5, 1, 3, 'follower'],
    [3, 0, 0, 'candidate'],
    [5, 1, 0, 'candidate'],
    [5, 1, 2, 'candidate'],
  ]
  for (const [size, granted, refused, role] of cases) {
    const ids = FIVE.slice(0, size)
    const core = node('a', ids)
    candidate(core)
    drain(core)
    ids.slice(1, 1 + granted + refused).forEach((from, i) => {
      core.step(message({ type: 'voteResponse', from, to: 'a', term: core.term, reject: i >= granted }))
    })
    t.equal(core.role, role, `${size} nodes, ${granted} for, ${refused} against`)
    t.equal(core.term, 1)
  }
})

t.test('FollowerVote: at most one candidate per term, first come first served', async (t) => {
  const cases: [before: string, from: string, granted: boolean][] = [
    ['', 'b', true],
    ['', 'c', true],
    ['b', 'b', true],
    ['c', 'c', true],
    ['b', 'c', false],
    ['c', 'b', false],
  ]
  for (const [vote, from, granted] of cases) {
    const core = node('a', THREE, { term: 1, vote })
    core.step(message({ type: 'vote', from, to: 'a', term: 1 }))
    const [answer] = sent(drain(core).messages, 'voteResponse')
    t.equal(answer?.reject, !granted, `voted for "${vote}", asked by ${from}`)
    t.equal(answer?.to, from)
  }
})

t.test('CandidateFallback: a leader of the same term makes a candidate a follower', async (t) => {
  const core = candidate(node('a', THREE))
  core.step(message({ type: 'heartbeat', from: 'b', to: 'a', term: core.term }))
  t.equal(core.role, 'follower')
  t.equal(core.leader, 'b')
  t.equal(core.vote, 'a', 'the vote of the term stays (catalogue B7)')
})

for (const role of ['Follower', 'Candidate'] as const) {
  t.test(`${role}ElectionTimeoutRandomized: every value in [T, 2T−1] occurs, no other`, async (t) => {
    const random = prng(1)
    const seen = new Set<number>()
    for (let run = 0; run < 400; run++) {
      const core = node('a', THREE, {}, { random })
      if (role === 'Candidate') candidate(core)
      drain(core)
      let ticks = 0
      while (sent(drain(core).messages, 'preVote').length === 0) {
        core.tick()
        ticks++
      }
      seen.add(ticks)
    }
    t.same(
      [...seen].sort((a, b) => a - b),
      [10, 11, 12, 13, 14, 15, 16, 17, 18, 19],
    )
  })

  t.test(`${role}sElectionTimeoutNonconflict: mostly one node alone times out first`, async (t) => {
    const random = prng(2)
    let conflicts = 0
    const runs = 400
    for (let run = 0; run < runs; run++) {
      const cores = FIVE.map((id) => node(id, FIVE, {}, { random }))
      if (role === 'Candidate') for (const core of cores) core.campaign()
      for (const core of cores) drain(core)
      let timedOut = 0
      while (timedOut === 0) {
        for (const core of cores) {
          core.tick()
          if (sent(drain(core).messages, 'preVote').length > 0) timedOut++
        }
      }
      if (timedOut > 1) conflicts++
    }
    t.ok(conflicts / runs < 0.4, `${conflicts} of ${runs} elections began together`)
    t.ok(conflicts > 0, 'the nodes do not share one timeout')
  })
}

// §5.3

t.test('LeaderStartReplication: a proposal goes to the log and to every follower', async (t) => {
  const core = node('a', THREE)
  elect(core, ['b'])
  for (const from of ['b', 'c']) acknowledge(core, from)
  drain(core)
  core.propose([bytes('x')])
  const ready = core.ready()
  t.same(
    sent(ready.messages, 'append').map(({ to, index, logTerm, commit, entries }) => [
      to,
      index,
      logTerm,
      commit,
      entries.map(({ data }) => text(data)),
    ]),
    [
      ['b', 1, 1, 1, ['x']],
      ['c', 1, 1, 1, ['x']],
    ],
  )
  t.same(
    ready.entries.map(({ index, term, data }) => [index, term, text(data)]),
    [[2, 1, 'x']],
  )
  t.equal(core.log.committedIndex, 1)
})

t.test(
  'LeaderCommitEntry: what a majority has is committed, applied, and told to the followers',
  async (t) => {
    const core = node('a', THREE)
    elect(core, ['b'])
    for (const from of ['b', 'c']) acknowledge(core, from)
    drain(core)
    core.propose([bytes('x')])
    drain(core)
    t.equal(core.log.committedIndex, 1, 'its own copy is no majority')
    acknowledge(core, 'b')
    const { messages, committed } = drain(core)
    t.same(
      committed.map(({ data }) => text(data)),
      ['x'],
    )
    t.same(
      sent(messages, 'append').map(({ to, commit }) => [to, commit]),
      [
        ['b', 2],
        ['c', 2],
      ],
    )
  },
)

t.test('LeaderAcknowledgeCommit: a majority, not one less', async (t) => {
  const cases: [size: number, acknowledging: number, committed: boolean][] = [
    [1, 0, true],
    [3, 0, false],
    [3, 1, true],
    [3, 2, true],
    [5, 0, false],
    [5, 1, false],
    [5, 2, true],
    [5, 4, true],
  ]
  for (const [size, acknowledging, committed] of cases) {
    const ids = FIVE.slice(0, size)
    const core = node('a', ids)
    elect(core, ids.slice(1))
    for (const from of ids.slice(1)) acknowledge(core, from)
    drain(core)
    core.propose([bytes('x')])
    drain(core)
    for (const from of ids.slice(1, 1 + acknowledging)) acknowledge(core, from)
    t.equal(core.log.committedIndex >= 2, committed, `${acknowledging} of ${size - 1} followers`)
  }
})

t.test(
  'LeaderCommitPrecedingEntries: with an entry of its own term all before it are committed',
  async (t) => {
    for (const terms of [[], [2], [1, 2], [1]]) {
      const core = node('a', THREE, { term: 2, entries: entriesOf(terms) })
      elect(core, ['b'])
      core.propose([bytes('x')])
      drain(core)
      acknowledge(core, 'b')
      t.same(
        drain(core).committed.map(({ index, term }) => [index, term]),
        [...terms, 3, 3].map((term, i) => [i + 1, term]),
      )
    }
  },
)

t.test('FollowerCommitEntry: a follower applies what the leader says is committed, and it has', async (t) => {
  const entries = entriesOf([1, 1])
  for (const [commit, expected] of [
    [0, 0],
    [1, 1],
    [2, 2],
    [9, 2],
  ] as const) {
    const core = node('a', THREE, { term: 1 })
    core.step(message({ type: 'append', from: 'b', to: 'a', term: 1, entries, commit }))
    t.same(
      drain(core).committed.map(({ index }) => index),
      [1, 2].slice(0, expected),
      `leader says ${commit}`,
    )
  }
})

t.test('FollowerCheckMsgApp: entries are refused unless the one before them matches', async (t) => {
  const cases: [index: number, logTerm: number, refused: boolean][] = [
    [0, 0, false],
    [1, 1, false],
    [2, 2, false],
    [1, 2, true],
    [2, 3, true],
    [3, 3, true],
  ]
  for (const [index, logTerm, refused] of cases) {
    const core = node('a', THREE, { term: 3, entries: entriesOf([1, 2]) })
    core.step(message({ type: 'append', from: 'b', to: 'a', term: 3, index, logTerm }))
    const [answer] = sent(drain(core).messages, 'appendResponse')
    t.equal(answer?.reject, refused, `append behind (${index}, ${logTerm})`)
    t.equal(answer?.index, index)
    if (refused) t.ok((answer?.rejectHint ?? 9) <= 2, 'with a hint within the log')
  }
})

t.test(
  'FollowerAppendEntries: conflicts are replaced, what is missing is added, the rest stays',
  async (t) => {
    const cases: [index: number, logTerm: number, terms: number[], log: number[], stored: number[]][] = [
      [2, 2, [3], [1, 2, 3], [3]],
      [1, 1, [3, 4], [1, 3, 4], [3, 4]],
      [0, 0, [1], [1, 2], []],
      [0, 0, [3], [3], [3]],
    ]
    for (const [index, logTerm, terms, log, stored] of cases) {
      const core = node('a', THREE, { term: 4, entries: entriesOf([1, 2]) })
      core.step(
        message({
          type: 'append',
          from: 'b',
          to: 'a',
          term: 4,
          index,
          logTerm,
          entries: entriesOf(terms, index + 1),
        }),
      )
      t.same(
        core.ready().entries.map(({ term }) => term),
        stored,
      )
      t.same(termsOf(core), log)
    }
  },
)

t.test('LeaderSyncFollowerLog: the followers of figure 7 end with the log of the leader', async (t) => {
  const leader = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6]
  const followers = [
    [1, 1, 1, 4, 4, 5, 5, 6, 6],
    [1, 1, 1, 4],
    [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
    [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7],
    [1, 1, 1, 4, 4, 4, 4],
    [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
  ]
  for (const terms of followers) {
    const configuration = {
      voters: THREE,
      votersOutgoing: [],
      learners: [],
      learnersNext: [],
      autoLeave: false,
    }
    const group = new RaftGroup(THREE, {
      random: () => 0,
      disks: {
        a: disk(configuration, { term: 8, commit: 3, entries: entriesOf(leader) }),
        b: disk(configuration, { term: 7, commit: 3, entries: entriesOf(terms) }),
        c: disk(configuration, { term: 8 }),
      },
    })
    group.campaign('a')
    t.equal(group.leader(), 'a')
    group.propose('a', 'x')
    group.settle()
    group.tickAll(2)
    t.same(termsOf(group.raft('b')), termsOf(group.raft('a')), `from ${terms}`)
    t.same(termsOf(group.raft('b')).slice(0, 10), leader)
    t.equal(group.raft('b').log.committedIndex, group.raft('a').log.lastIndex)
  }
})

// §5.4

t.test('VoteRequest: a request names the last entry of the candidate', async (t) => {
  for (const [terms, term] of [
    [[1], 2],
    [[1, 2], 3],
  ] as const) {
    const core = node('a', THREE, { term: term - 1, entries: entriesOf(terms) })
    candidate(core)
    t.same(
      sent(drain(core).messages, 'vote').map(({ to, term, index, logTerm }) => [to, term, index, logTerm]),
      ['b', 'c'].map((to) => [to, term, terms.length, terms.at(-1)]),
    )
  }
})

t.test('Voter: no vote for a log that is less complete', async (t) => {
  const cases: [log: number[], index: number, logTerm: number, refused: boolean][] = [
    [[1], 1, 1, false],
    [[1], 2, 1, false],
    [[1, 1], 1, 1, true],
    [[1], 1, 2, false],
    [[1], 2, 2, false],
    [[1, 1], 1, 2, false],
    [[2], 1, 1, true],
    [[2], 2, 1, true],
    [[2, 1], 1, 1, true],
  ]
  for (const type of ['vote', 'preVote'] as const) {
    for (const [log, index, logTerm, refused] of cases) {
      const core = node('a', THREE, { term: 2, entries: entriesOf(log) })
      core.step(message({ type, from: 'b', to: 'a', term: 3, index, logTerm }))
      const [answer] = sent(drain(core).messages, `${type}Response`)
      t.equal(answer?.reject, refused, `${type}: log ${log}, candidate at (${index}, ${logTerm})`)
    }
  }
})

t.test('LeaderOnlyCommitsLogFromCurrentTerm: replicas of an old term do not count (figure 8)', async (t) => {
  for (const [index, committed] of [
    [1, 0],
    [2, 0],
    [3, 3],
  ] as const) {
    const core = node('a', THREE, { term: 2, entries: entriesOf([1, 2]) })
    elect(core, ['b'])
    t.equal(core.term, 3)
    core.step(message({ type: 'appendResponse', from: 'b', to: 'a', term: 3, index }))
    t.equal(core.log.committedIndex, committed, `a majority has entry ${index}`)
  }
})

t.test('a node alone leads and commits at once', async (t) => {
  const core = raft(
    'a',
    disk({ voters: ['a'], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false }),
  )
  elect(core, [])
  t.equal(core.log.committedIndex, 1)
})
