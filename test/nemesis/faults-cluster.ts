import { until } from '../real/until.ts'
import { type Fault, type FaultContext, hold, progress, since } from './fault.ts'
import type { Place } from './nodes.ts'

const MEMBERSHIP_MS = 40_000

/** Faults that an operator causes, and a disk that is full. */
export const CLUSTER_FAULTS: readonly Fault[] = [
  {
    name: 'leave-join',
    sentence: 'a node leaves and is removed, and one that has never been there takes its place',
    async run(context) {
      const { nodes, random, disk } = context
      // The small disk stays where it is, for the fault that needs it.
      const places = disk === null ? nodes.places : nodes.places.slice(0, -1)
      const place = random.pick(places)
      const { name: old } = place.agent
      const { id } = await place.raft()
      const began = performance.now()
      const code = await place.stop()
      try {
        if (code !== 0) throw new Error(`${old} ended with ${code} when it was told to stop`)
        await removePeer(context, place, id)
      } finally {
        place.replace(nodes.replacement(place))
        place.start()
      }
      await isVoter(context, place, id)
      return `${old} left, ${place.agent.name} was a voter in its place after ${since(began)}`
    },
  },
  {
    name: 'transfer',
    sentence: 'leadership is handed to another node, asked of a random one, three times',
    async run(context) {
      const { nodes, random } = context
      const path: string[] = []
      for (let i = 0; i < 3; i++) {
        const leader = await nodes.leader()
        const heir = random.pick(nodes.others(leader.place))
        // Refused while the heir is not caught up or another change is under way: that is no failure.
        await until(
          `${heir.agent.name} leads`,
          async () => {
            const now = await nodes.leading()
            if (now?.place === heir) return true
            await random.pick(nodes.up).agent.ask(`/api/v1/raft/transfer?to=${heir.agent.name}`, {
              method: 'PUT',
              timeoutMs: 6000,
            })
            return (await nodes.leading())?.place === heir
          },
          { timeoutMs: 20_000, intervalMs: 250, state: () => nodes.describe() },
        )
        path.push(heir.agent.name)
        await progress(context, 10)
      }
      return `leadership went to ${path.join(', ')}`
    },
  },
  {
    name: 'disk-full',
    sentence: 'the disk of one node is full, and later has room again',
    unavailable: ({ disk }) => (disk === null ? 'a small disk cannot be mounted here' : null),
    async run(context) {
      const { nodes, disk } = context
      const place = nodes.places.at(-1)
      if (disk === null || place === undefined) throw new Error('there is no small disk')
      disk.fill()
      try {
        await until(
          `${place.agent.name} says that its disk is full`,
          async () => (await place.raft()).diskFull,
          {
            timeoutMs: 20_000,
            state: () => nodes.describe(),
          },
        )
        await progress(context, 30, [place])
        await hold(context, 1000, 3000)
      } finally {
        disk.free()
      }
      const freed = performance.now()
      await until(`${place.agent.name} writes again`, async () => (await place.raft()).diskFull === null, {
        timeoutMs: 20_000,
        state: () => nodes.describe(),
      })
      return `${place.agent.name} said that its disk was full, and wrote again ${since(freed)} after it was not`
    },
  },
]

async function removePeer({ nodes, random }: FaultContext, gone: Place, id: string): Promise<void> {
  await until(
    `${gone.agent.name} is removed`,
    async () => {
      const asked = random.pick(nodes.others(gone)).agent
      const { status, text } = await asked.ask(`/api/v1/raft/peers/${id}`, {
        method: 'DELETE',
        timeoutMs: 6000,
      })
      if (status !== 200 && status !== 404) throw new Error(`${asked.name} answered ${status} ${text}`)
      return true
    },
    { timeoutMs: MEMBERSHIP_MS, intervalMs: 250, state: () => nodes.describe() },
  )
}

async function isVoter({ nodes }: FaultContext, place: Place, gone: string): Promise<void> {
  await until(
    `${place.agent.name} is a voter`,
    async () => {
      const leader = await nodes.leading()
      if (leader === null) return false
      const { peers } = await leader.place.raft()
      const voters = peers.filter(({ voter }) => voter)
      return voters.some(({ name }) => name === place.agent.name) && !peers.some(({ id }) => id === gone)
    },
    { timeoutMs: MEMBERSHIP_MS, intervalMs: 100, state: () => nodes.describe() },
  )
}
