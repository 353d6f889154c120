import fc from 'fast-check'
import t from 'tap'
import { EMPTY_CONFIGURATION } from '../../../consensus/raft/configuration.ts'
import { jointIndex, jointVote, majorityIndex } from '../../../consensus/raft/quorum.ts'
import type { Configuration } from '../../../consensus/raft/types.ts'

const ids = fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g'), { maxLength: 7 })
const someIds = fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g'), {
  minLength: 1,
  maxLength: 7,
})
const indexes = fc.array(fc.nat(6), { minLength: 7, maxLength: 7 })
const votes = fc.array(fc.constantFrom(true, false, undefined), { minLength: 7, maxLength: 7 })

function of(voters: string[], votersOutgoing: string[]): Configuration {
  return { ...EMPTY_CONFIGURATION, voters, votersOutgoing }
}

function place(id: string): number {
  return id.charCodeAt(0) - 'a'.charCodeAt(0)
}

function hasMajority(voters: readonly string[], agrees: (id: string) => boolean): boolean {
  return voters.length === 0 || voters.filter(agrees).length * 2 > voters.length
}

t.test('a majority has reached majorityIndex, and none has reached more', async (t) => {
  fc.assert(
    fc.property(someIds, indexes, (voters, at) => {
      const indexOf = (id: string) => at[place(id)] ?? 0
      const index = majorityIndex(voters, indexOf)
      t.ok(hasMajority(voters, (id) => indexOf(id) >= index))
      t.notOk(hasMajority(voters, (id) => indexOf(id) >= index + 1))
    }),
    { numRuns: 200 },
  )
  t.equal(
    majorityIndex([], () => 0),
    Number.POSITIVE_INFINITY,
  )
})

t.test('jointIndex needs a majority of both halves', async (t) => {
  fc.assert(
    fc.property(someIds, ids, indexes, (voters, outgoing, at) => {
      const indexOf = (id: string) => at[place(id)] ?? 0
      const index = jointIndex(of(voters, outgoing), indexOf)
      const reached = (to: number) =>
        hasMajority(voters, (id) => indexOf(id) >= to) && hasMajority(outgoing, (id) => indexOf(id) >= to)
      t.ok(reached(index))
      t.notOk(reached(index + 1))
    }),
    { numRuns: 200 },
  )
})

t.test('jointVote: won, lost and pending are what completing the open votes can make of it', async (t) => {
  fc.assert(
    fc.property(someIds, ids, votes, (voters, outgoing, given) => {
      const known = new Map<string, boolean>()
      for (const id of 'abcdefg') {
        const vote = given[place(id)]
        if (vote !== undefined) known.set(id, vote)
      }
      const wins = (open: boolean) =>
        hasMajority(voters, (id) => known.get(id) ?? open) &&
        hasMajority(outgoing, (id) => known.get(id) ?? open)
      const expected = wins(false) ? 'won' : wins(true) ? 'pending' : 'lost'
      t.equal(jointVote(of(voters, outgoing), known), expected)
    }),
    { numRuns: 300 },
  )
})

/** Every way in which the nodes can be for or against something. */
function* sides(): Generator<Map<string, boolean>> {
  for (let bits = 0; bits < 1 << 7; bits++)
    yield new Map([...'abcdefg'].map((id) => [id, (bits & (1 << place(id))) !== 0]))
}

t.test('what wins leaves nothing that could win beside it', async (t) => {
  fc.assert(
    fc.property(someIds, ids, (voters, outgoing) => {
      const configuration = of(voters, outgoing)
      let wins = 0
      for (const side of sides()) {
        if (jointVote(configuration, side) !== 'won') continue
        wins++
        const others = new Map([...side].map(([id, yes]) => [id, !yes]))
        t.equal(jointVote(configuration, others), 'lost')
      }
      t.ok(wins > 0, 'all together win')
    }),
    { numRuns: 100 },
  )
})

t.test('whoever can elect can commit, and nobody else', async (t) => {
  fc.assert(
    fc.property(someIds, ids, (voters, outgoing) => {
      const configuration = of(voters, outgoing)
      for (const side of sides()) {
        const index = jointIndex(configuration, (id) => (side.get(id) === true ? 5 : 4))
        t.equal(index, jointVote(configuration, side) === 'won' ? 5 : 4)
      }
    }),
    { numRuns: 100 },
  )
})

t.test('nodes outside of the configuration count for nothing', async (t) => {
  fc.assert(
    fc.property(someIds, ids, indexes, votes, (voters, outgoing, at, given) => {
      const configuration = of(voters, outgoing)
      const inside = (id: string) => voters.some((voter) => voter === id) || outgoing.some((o) => o === id)
      const indexOf = (id: string) => at[place(id)] ?? 0
      t.equal(
        jointIndex(configuration, indexOf),
        jointIndex(configuration, (id) => (inside(id) ? indexOf(id) : 99)),
      )
      const all = [...'abcdefg'].flatMap((id): [string, boolean][] => {
        const vote = given[place(id)]
        return vote === undefined ? [] : [[id, vote]]
      })
      const members = all.filter(([id]) => inside(id))
      t.equal(jointVote(configuration, new Map(all)), jointVote(configuration, new Map(members)))
    }),
    { numRuns: 200 },
  )
})
