import { setTimeout as delay } from 'node:timers/promises'
import { until } from '../real/until.ts'
import { type Fault, type FaultContext, hold, progress, roles, since, stepsDown } from './fault.ts'
import type { Place } from './nodes.ts'

const RESETS_MS = 6000
const RESETS_MS_MAX = 40_000
const RESETS_MIN = 5
const SLOW_MS = 8000

/** Cuts every link between the two sides. */
function split({ nodes }: FaultContext, some: readonly Place[]): readonly Place[] {
  const others = nodes.others(...some)
  for (const a of some) for (const b of others) nodes.links.cut(a.name, b.name)
  return others
}

function names(places: readonly Place[]): string {
  return places.map(({ agent }) => agent.name).join(', ')
}

/** Bytes held back since `from`; throws if there are none: then nobody felt the fault. */
function held({ nodes }: FaultContext, from: number): string {
  const bytes = nodes.links.counts.heldBytes - from
  if (bytes <= 0) throw new Error('nothing was said on the links that were cut')
  return `${bytes} bytes held back`
}

/** Cuts the leader off together with `followers`: the majority must elect another and the old one step down. */
async function isolate(
  context: FaultContext,
  followers: (leader: Place) => readonly Place[],
): Promise<string> {
  const { nodes } = context
  const { leader } = await roles(context)
  const side = [leader.place, ...followers(leader.place)]
  const { heldBytes } = nodes.links.counts
  try {
    split(context, side)
    const began = performance.now()
    const next = await nodes.leader(leader)
    const after = since(began)
    if (side.includes(next.place)) throw new Error(`${next.place.name} of the minority was elected`)
    await Promise.all([stepsDown(context, leader.place), progress(context, 10, side)])
    await hold(context, 500, 3000)
    return `${names(side)} cut off: ${next.place.agent.name} led after ${after}, ${leader.place.agent.name} stepped down; ${held(context, heldBytes)}`
  } finally {
    nodes.links.heal()
  }
}

/** Faults of the links between nodes. */
export const NETWORK_FAULTS: readonly Fault[] = [
  {
    name: 'partition-leader',
    sentence: 'the leader is cut off alone: another must be elected and it must step down',
    run: (context) => isolate(context, () => []),
  },
  {
    name: 'partition-minority',
    sentence: 'the leader is cut off together with as many followers as make a minority',
    unavailable: ({ nodes }) => (nodes.places.length < 5 ? 'needs five nodes' : null),
    run: (context) =>
      isolate(context, (leader) =>
        context.random
          .shuffle(context.nodes.others(leader))
          .slice(0, context.nodes.places.length - context.nodes.majority - 1),
      ),
  },
  {
    name: 'partition-halves',
    sentence: 'a random minority is cut off; the majority must go on and the minority know no leader',
    async run(context) {
      const { nodes, random } = context
      const { heldBytes } = nodes.links.counts
      const side = random.shuffle(nodes.places).slice(0, nodes.places.length - nodes.majority)
      try {
        split(context, side)
        await nodes.leader()
        await until(
          `${names(side)} know no leader`,
          async () =>
            (await Promise.all(side.map((place) => place.raft()))).every(({ leader }) => leader === null),
          { timeoutMs: 15_000, state: () => nodes.describe() },
        )
        await progress(context, 20, side)
        await hold(context, 500, 3000)
        return `${names(side)} cut off and knew no leader; ${held(context, heldBytes)}`
      } finally {
        nodes.links.heal()
      }
    },
  },
  {
    name: 'one-way-mute',
    sentence: 'what the leader says is lost, what it is told arrives: another must be elected',
    run: (context) => oneWay(context, 'mute'),
  },
  {
    name: 'one-way-deaf',
    sentence: 'what the leader is told is lost, what it says arrives: it must step down',
    run: (context) => oneWay(context, 'deaf'),
  },
  {
    name: 'ring',
    sentence: 'every node reaches only its two neighbours: each sees another majority',
    unavailable: ({ nodes }) => (nodes.places.length < 5 ? 'needs five nodes' : null),
    async run(context) {
      const { nodes, random } = context
      const { heldBytes } = nodes.links.counts
      const ring = random.shuffle(nodes.places)
      try {
        for (const [i, a] of ring.entries()) {
          for (const [j, b] of ring.entries()) {
            const distance = (j - i + ring.length) % ring.length
            if (distance > 1 && distance < ring.length - 1) nodes.links.block(a.name, b.name)
          }
        }
        await delay(4000)
        await nodes.leader()
        await progress(context, 20)
        await hold(context, 0, 4000)
        return `${names(ring)} in a ring, operations went on; ${held(context, heldBytes)}`
      } finally {
        nodes.links.heal()
      }
    },
  },
  {
    name: 'broken-link',
    sentence: 'the leader and one follower reach each other no more, and both all others',
    async run(context) {
      const { nodes } = context
      const { leader, follower } = await roles(context)
      const { heldBytes } = nodes.links.counts
      try {
        nodes.links.cut(leader.place.name, follower.name)
        await delay(3000)
        await progress(context, 20, [leader.place, follower])
        await hold(context, 0, 3000)
        return `${leader.place.agent.name} and ${follower.agent.name} apart, operations went on; ${held(context, heldBytes)}`
      } finally {
        nodes.links.heal()
      }
    },
  },
  {
    name: 'slow-links',
    sentence: 'every message takes 2 to 40 ms longer, one in fifty 250 ms more',
    isBackground: true,
    async run(context) {
      const { links } = context.nodes
      const { delayedChunks } = links.counts
      try {
        links.slow({ minMs: 2, maxMs: 40, loss: 0.02, stallMs: 250 })
        await Promise.all([delay(SLOW_MS), progress(context, 20)])
        const count = links.counts.delayedChunks - delayedChunks
        if (count < 100) throw new Error(`only ${count} chunks were delayed`)
        return `${count} chunks delayed`
      } finally {
        links.slow(null)
      }
    },
  },
  {
    name: 'resets',
    sentence: 'connections between random nodes are broken off, a few each second',
    isBackground: true,
    async run({ nodes, random }) {
      const before = nodes.links.counts.resets
      const count = () => nodes.links.counts.resets - before
      const began = performance.now()
      // While nodes are down there is little to break off.
      for (;;) {
        const ms = performance.now() - began
        if (ms > (count() < RESETS_MIN ? RESETS_MS_MAX : RESETS_MS)) break
        const [a, b] = random.shuffle(nodes.places)
        if (a !== undefined && b !== undefined) nodes.links.reset(a.name, b.name)
        await delay(random.between(100, 600))
      }
      if (count() < RESETS_MIN) throw new Error(`only ${count()} connections were broken`)
      return `${count()} directions of connections broken off`
    },
  },
]

async function oneWay(context: FaultContext, kind: 'mute' | 'deaf'): Promise<string> {
  const { nodes } = context
  const { leader } = await roles(context)
  const { heldBytes } = nodes.links.counts
  const { name, agent } = leader.place
  try {
    for (const other of nodes.others(leader.place)) {
      if (kind === 'mute') nodes.links.block(name, other.name)
      else nodes.links.block(other.name, name)
    }
    const began = performance.now()
    const next = await nodes.leader(leader)
    const after = since(began)
    await stepsDown(context, leader.place)
    await progress(context, 10, [leader.place])
    await hold(context, 0, 2000)
    return `${agent.name} ${kind}: ${next.place.agent.name} led after ${after}; ${held(context, heldBytes)}`
  } finally {
    nodes.links.heal()
  }
}
