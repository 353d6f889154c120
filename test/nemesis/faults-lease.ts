import type { LeaseRow } from '../real/cluster.ts'
import { until } from '../real/until.ts'
import { type Fault, type FaultContext, hold, since } from './fault.ts'
import type { Place } from './nodes.ts'

const MOVES_MS = 20_000

/** A lease, who holds it and with which token. */
interface Held {
  readonly name: string
  readonly token: number
  readonly holder: Place
}

async function heldLease({ nodes, random }: FaultContext): Promise<Held> {
  return until(
    'a lease is held',
    async () => {
      const rows = await random.pick(nodes.up).agent.leases()
      const { name, holder, fencingToken } = random.pick(rows)
      const place = nodes.places.find(({ agent }) => agent.name === holder)
      return place !== undefined && fencingToken !== null && { name, token: fencingToken, holder: place }
    },
    { timeoutMs: MOVES_MS, state: () => nodes.describe() },
  )
}

/** Waits until another node acts on the lease, with a later token. */
async function moves({ nodes }: FaultContext, { name, token, holder }: Held): Promise<string> {
  const began = performance.now()
  const isNext = (row: LeaseRow) => row.name === name && row.heldBySelf && (row.fencingToken ?? 0) > token
  const next = await until(
    `${name} is held by another than ${holder.agent.name}`,
    async () => {
      for (const { agent } of nodes.others(holder)) {
        const rows = await agent.leases().catch(() => [])
        if (rows.some(isNext)) return agent
      }
      return null
    },
    { timeoutMs: MOVES_MS, state: () => nodes.describe() },
  )
  return `${name} went from ${holder.agent.name} to ${next.name} after ${since(began)}`
}

/** Faults of the node that holds a lease: its session must expire, and it must have stopped before. */
export const LEASE_FAULTS: readonly Fault[] = [
  {
    name: 'pause-holder',
    sentence: 'SIGSTOP of a node that holds a lease until another holds it',
    async run(context) {
      const held = await heldLease(context)
      held.holder.pause()
      try {
        const seen = await moves(context, held)
        await hold(context, 0, 2000)
        return seen
      } finally {
        held.holder.resume()
      }
    },
  },
  {
    name: 'partition-holder',
    sentence: 'a node that holds a lease is cut off until another holds it',
    async run(context) {
      const { links } = context.nodes
      const held = await heldLease(context)
      try {
        for (const other of context.nodes.others(held.holder)) links.cut(held.holder.name, other.name)
        const seen = await moves(context, held)
        await hold(context, 500, 2500)
        return seen
      } finally {
        links.heal()
      }
    },
  },
]
