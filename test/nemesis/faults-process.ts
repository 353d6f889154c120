import { type Fault, type FaultContext, hold, progress, roles, since, stepsDown } from './fault.ts'
import type { Place } from './nodes.ts'

async function replaced(context: FaultContext, leader: { place: Place; term: number }): Promise<string> {
  const began = performance.now()
  const next = await context.nodes.leader(leader)
  return `${next.place.agent.name} took over from ${leader.place.agent.name} after ${since(began)}, term ${leader.term} → ${next.term}`
}

/** Faults of processes: killed, paused, restarted. */
export const PROCESS_FAULTS: readonly Fault[] = [
  {
    name: 'kill-leader',
    sentence: 'kill -9 of the leader; another must lead before it is started again',
    async run(context) {
      const { leader } = await roles(context)
      await leader.place.kill()
      try {
        const seen = await replaced(context, leader)
        await progress(context, 10, [leader.place])
        await hold(context, 0, 2000)
        return seen
      } finally {
        leader.place.start()
      }
    },
  },
  {
    name: 'kill-follower',
    sentence: 'kill -9 of a follower; the others must go on without it',
    async run(context) {
      const { follower } = await roles(context)
      await follower.kill()
      try {
        await progress(context, 30, [follower])
        await hold(context, 0, 2000)
        return `the others went on without ${follower.agent.name}`
      } finally {
        follower.start()
      }
    },
  },
  {
    name: 'kill-all',
    sentence: 'kill -9 of all nodes at once',
    async run({ nodes }) {
      const before = await nodes.leader()
      await Promise.all(nodes.places.map((place) => place.kill()))
      for (const place of nodes.places) place.start()
      const began = performance.now()
      const { place, term } = await nodes.leader(undefined, 30_000)
      if (term <= before.term) throw new Error(`the term went from ${before.term} to ${term}`)
      return `${nodes.places.length} processes started again, ${place.agent.name} led after ${since(began)}`
    },
  },
  {
    name: 'pause-leader',
    sentence: 'SIGSTOP of the leader until another leads, then SIGCONT: it must step down',
    async run(context) {
      const { leader } = await roles(context)
      leader.place.pause()
      let seen: string
      try {
        seen = await replaced(context, leader)
        await progress(context, 10, [leader.place])
        await hold(context, 0, 2000)
      } finally {
        leader.place.resume()
      }
      await stepsDown(context, leader.place)
      return `${seen}, and it stepped down when it went on`
    },
  },
  {
    name: 'pause-follower',
    sentence: 'SIGSTOP of a follower; the others must go on without it',
    async run(context) {
      const { follower } = await roles(context)
      follower.pause()
      try {
        await progress(context, 30, [follower])
        await hold(context, 1000, 4000)
        return `the others went on without ${follower.agent.name}`
      } finally {
        follower.resume()
      }
    },
  },
  {
    name: 'rolling-restart',
    sentence: 'SIGTERM and a new start, one node after the other',
    async run(context) {
      const { nodes } = context
      for (const place of nodes.places) {
        const code = await place.stop()
        place.start()
        if (code !== 0) throw new Error(`${place.agent.name} ended with ${code} when it was told to stop`)
        await nodes.ready([place])
      }
      await progress(context, 10)
      return `${nodes.places.length} nodes left with exit code 0 and came back`
    },
  },
]
