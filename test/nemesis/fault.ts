import { setTimeout as delay } from 'node:timers/promises'
import { until } from '../real/until.ts'
import type { Random } from '../sim/random.ts'
import type { SmallDisk } from '../small-disk.ts'
import type { Nodes, Place } from './nodes.ts'
import type { Workload } from './workload.ts'

/** What a fault works with. */
export interface FaultContext {
  readonly nodes: Nodes
  readonly workload: Workload
  readonly random: Random
  readonly disk: SmallDisk | null
}

/**
 * Something that goes wrong. `run` causes it, waits until it is seen to have the effect it is named for, and ends it;
 * what it answers says what was seen. It throws when that effect did not show in time: a fault that nobody felt proves
 * nothing. Whatever it did is undone in either case.
 */
export interface Fault {
  readonly name: string
  readonly sentence: string
  /** It changes only the links, so that another fault can happen at the same time. */
  readonly isBackground?: boolean
  /** Why it cannot happen in this cluster; null if it can. */
  unavailable?(context: Omit<FaultContext, 'workload'>): string | null
  run(context: FaultContext): Promise<string>
}

/** How long a fault lasts at least, once it is felt. */
export async function hold(context: FaultContext, minMs: number, maxMs: number): Promise<void> {
  await delay(context.random.between(minMs, maxMs))
}

/** Waits until clients of some node other than `not` got another `count` operations through. */
export async function progress(
  context: FaultContext,
  count: number,
  not: readonly Place[] = [],
): Promise<void> {
  const { nodes, workload } = context
  const others = nodes.others(...not).map(({ agent }) => agent.name)
  const isOther = (node: string) => others.includes(node)
  let from = workload.history.length
  let done = 0
  await until(
    `${count} operations succeed on ${others.join(', ')}`,
    () => {
      for (; from < workload.history.length; from++) {
        const operation = workload.history[from]
        if (operation?.outcome === 'ok' && isOther(operation.node)) done++
      }
      return done >= count
    },
    { timeoutMs: 20_000, state: () => nodes.describe() },
  )
}

/** A follower, and the leader with its term. */
export async function roles(context: FaultContext) {
  const leader = await context.nodes.leader()
  const follower = context.random.pick(context.nodes.others(leader.place))
  return { leader, follower }
}

/** Waits until this node says it does not lead. */
export async function stepsDown(context: FaultContext, place: Place): Promise<void> {
  await until(`${place.name} leads no more`, async () => (await place.raft()).role !== 'leader', {
    timeoutMs: 15_000,
    state: () => context.nodes.describe(),
  })
}

/** Seconds since `from`, for people. */
export function since(from: number): string {
  return `${((performance.now() - from) / 1000).toFixed(1)} s`
}
