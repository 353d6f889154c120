import { setTimeout as delay } from 'node:timers/promises'
import type { Operation } from '../linearizability/history.ts'
import { byKey } from '../linearizability/history.ts'
import { checkAndReport } from '../linearizability/report.ts'
import { checkWatch } from '../linearizability/watch-check.ts'
import { until } from '../real/until.ts'
import { converge } from './converge.ts'
import type { Fault, FaultContext } from './fault.ts'
import { KeyWatchers } from './key-watchers.ts'
import { perform } from './kv-client.ts'
import type { Leadership } from './leadership.ts'
import { type LockCounts, LockWorkload } from './lock-workload.ts'
import { Workload } from './workload.ts'

/** What one round gave. */
export interface RoundResult {
  readonly faults: readonly string[]
  /** What each fault was seen to do. */
  readonly evidence: readonly string[]
  /** What is wrong, for people; empty: the round passed. */
  readonly problems: readonly string[]
  readonly history: readonly Operation[]
  readonly keys: number
  readonly watchAnswers: number
  readonly counts: Workload['counts']
  readonly locks: LockCounts
  readonly notes: ReadonlyMap<string, number>
}

const CALM_OPERATIONS = 30
const RECOVERY_MS = 30_000
const FINAL_READ_MS = 15_000
const WATCH_MS = 15_000

/** One load, one fault or two, a recovery, and the verdict on everything that clients saw meanwhile. */
export async function runRound(
  context: Omit<FaultContext, 'workload'> & { readonly leadership: Leadership },
  name: string,
  faults: readonly Fault[],
): Promise<RoundResult> {
  const { nodes, random, leadership } = context
  const workload = new Workload(nodes.places, random, name)
  const watchers = new KeyWatchers(nodes.places, workload.watchedKey, (read) => workload.record(read))
  const record = (operation: Operation): void => workload.record(operation)
  const locks = new LockWorkload(nodes.places, random, name, { leadership, record })
  const problems: string[] = []
  const evidence: string[] = []
  workload.start()
  locks.start()
  try {
    await until('the load runs', () => workload.counts.ok >= CALM_OPERATIONS, { timeoutMs: RECOVERY_MS })
    const runs = faults.map(async (fault) => {
      evidence.push(`${fault.name}: ${await fault.run({ ...context, workload })}`)
    })
    for (const [i, run] of (await Promise.allSettled(runs)).entries()) {
      if (run.status === 'rejected') problems.push(`${faults[i]?.name}: ${(run.reason as Error).message}`)
    }
    const healed = performance.now()
    await until(
      'every node answers clients again',
      () => nodes.places.every(({ agent }) => (workload.lastOkAt.get(agent.name) ?? 0) > healed),
      { timeoutMs: RECOVERY_MS, intervalMs: 50, state: () => nodes.describe() },
    )
    await delay(random.between(200, 800))
  } catch (error) {
    problems.push((error as Error).message)
  }
  await Promise.all([workload.stop(), locks.stop()])
  try {
    await readAll(context, workload)
    await nodes.ready()
    await converge(nodes, name)
    await allTold(watchers, workload)
  } catch (error) {
    problems.push((error as Error).message)
  }
  await watchers.stop()
  problems.push(...locks.check())
  const keys = byKey(workload.history)
  for (const [key, operations] of keys) {
    const finding = checkAndReport(key, operations)
    if (finding !== null) problems.push(finding.text)
    // The proxies of the cluster live in this process as well.
    await delay(0)
  }
  const writes = workload.history.filter(({ call, key }) => key === workload.watchedKey && call.f !== 'get')
  for (const watch of watchers.watches) problems.push(...checkWatch(watch, null, writes))
  return {
    faults: faults.map(({ name }) => name),
    evidence,
    problems,
    history: workload.history,
    keys: keys.size,
    watchAnswers: watchers.watches.reduce((sum, { answers }) => sum + answers.length, 0),
    counts: workload.counts,
    locks: locks.counts,
    notes: workload.notes,
  }
}

/** Reads every key of the round on every node, so that a write that was lost at last shows in its history. */
async function readAll({ nodes }: Pick<FaultContext, 'nodes'>, workload: Workload): Promise<void> {
  for (const key of byKey(workload.history).keys()) {
    for (const { agent } of nodes.places) {
      await until(
        `${agent.name} answers a read of ${key}`,
        async () => {
          const target = { port: agent.ports.http, node: agent.name, client: `final.${agent.name}` }
          const read = await perform(target, key, { f: 'get' })
          workload.record(read)
          return read.outcome === 'ok'
        },
        { timeoutMs: FINAL_READ_MS, state: () => nodes.describe() },
      )
    }
  }
}

/** Waits until every watcher knows what the last reads of its key said. */
async function allTold(watchers: KeyWatchers, workload: Workload): Promise<void> {
  const last = workload.history.findLast(
    ({ key, client }) => key === workload.watchedKey && client.startsWith('final.'),
  )?.output
  if (last === undefined || last === null || last.kind === 'done') return
  await until('every watcher is told the last change', () => watchers.missing(last).length === 0, {
    timeoutMs: WATCH_MS,
    state: () => ({ missing: watchers.missing(last), last }),
  })
}
