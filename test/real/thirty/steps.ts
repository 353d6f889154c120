import { setTimeout as delay } from 'node:timers/promises'
import type { AgentProcess } from '../agent-process.ts'
import { until } from '../until.ts'
import { deregister, picture, register, registerChecked, seenBy, setCheck } from './catalogue.ts'
import type { Fleet } from './fleet.ts'

/** What a step has to do with. */
export interface StepContext {
  readonly fleet: Fleet
  /** How often what a step does is repeated. */
  readonly repetitions: number
  /** Longest wait for anything, in ms. */
  readonly patienceMs: number
  /** Takes durations in ms under a name: one for each node and repetition. */
  measure(what: string, durations: readonly number[]): void
}

/** One thing that happens to the fleet. It throws when what must follow does not. Whatever it did is undone. */
export interface Step {
  readonly name: string
  readonly sentence: string
  run(context: StepContext): Promise<void>
}

const HANG_MS = 10_000
const PAUSES_MS = [800, 1100, 1500]
/** A suspicion that a short pause could have left behind has ended by then. */
const AFTER_PAUSE_MS = 5000
const KEPT_SERVICE = 'kept'
const CUT_MS = 3000

/** The agents at places that move with the repetition, so that each time others are hit. Never the same one twice. */
function pick({ fleet }: StepContext, repetition: number, count: number): readonly AgentProcess[] {
  const { agents } = fleet
  const first = (3 + repetition * count) % agents.length
  return Array.from({ length: count }, (_, i) => agents[(first + i) % agents.length] as AgentProcess)
}

function times(count: number): readonly number[] {
  return Array.from({ length: count }, (_, i) => i)
}

/** Every node has heard of every other one since `from`; answers ms after it. */
async function allKnowAll({ fleet, patienceMs }: StepContext, from: number): Promise<readonly number[]> {
  const heard: number[] = []
  for (const { name } of fleet.running) {
    heard.push(...(await fleet.heard('alive', name, fleet.running, from, patienceMs)))
  }
  return heard
}

async function returned(
  context: StepContext,
  agents: readonly AgentProcess[],
  from: number,
): Promise<number[]> {
  const { fleet, patienceMs } = context
  const heard: number[] = []
  for (const { name } of agents) heard.push(...(await fleet.heard('alive', name, fleet.up, from, patienceMs)))
  return heard
}

async function failedEverywhere(
  { fleet, patienceMs }: StepContext,
  agents: readonly AgentProcess[],
  from: number,
  observers = fleet.up.filter((agent) => !agents.includes(agent)),
): Promise<number[]> {
  const heard: number[] = []
  for (const { name } of agents)
    heard.push(...(await fleet.heard('failed', name, observers, from, patienceMs)))
  return heard
}

const join: Step = {
  name: 'join',
  sentence: 'all start at once',
  async run(context) {
    const { fleet, patienceMs, measure } = context
    const from = Date.now()
    for (const agent of fleet.agents) fleet.start(agent)
    measure('all start: a node knows another', await allKnowAll(context, from))
    await fleet.settled(patienceMs)
    measure('all start: all settled', [Date.now() - from])
    // Instances that stay, so that every later fault has some to lose.
    await Promise.all(fleet.agents.map((agent) => register(agent, KEPT_SERVICE)))
    const { length } = fleet.agents
    await seenBy(fleet, KEPT_SERVICE, (seen) => passing(seen).length === length, {
      timeoutMs: patienceMs,
      change: async () => Date.now(),
    })
  },
}

function passing(
  instances: readonly { readonly status: string; readonly node: string }[],
): readonly string[] {
  return instances.filter(({ status }) => status === 'passing').map(({ node }) => node)
}

const change: Step = {
  name: 'change',
  sentence: 'services are registered on several nodes, their checks fail, they are deregistered',
  async run(context) {
    const { fleet, repetitions, patienceMs, measure } = context
    for (const repetition of times(repetitions)) {
      const agents = pick(context, repetition, 3)
      const service = `changing-${Date.now()}`
      const change = async (what: (agent: AgentProcess) => Promise<void>): Promise<number> => {
        const from = Date.now()
        await Promise.all(agents.map(what))
        return from
      }
      const options = { timeoutMs: patienceMs }
      measure(
        'registered: on a node',
        await seenBy(fleet, service, (seen) => passing(seen).length === agents.length, {
          ...options,
          change: () => change((agent) => registerChecked(agent, service)),
        }),
      )
      measure(
        'check failed: on a node',
        await seenBy(fleet, service, (seen) => seen.length === agents.length && passing(seen).length === 0, {
          ...options,
          change: () => change((agent) => setCheck(agent, service, 'fail')),
        }),
      )
      measure(
        'deregistered: on a node',
        await seenBy(fleet, service, (seen) => seen.length === 0, {
          ...options,
          change: () => change((agent) => deregister(agent, service)),
        }),
      )
    }
  },
}

const kill: Step = {
  name: 'kill',
  sentence: 'kill -9, of one and of three at once; later they start again',
  async run(context) {
    const { fleet, repetitions, patienceMs, measure } = context
    for (const repetition of times(repetitions)) {
      for (const count of [1, 3]) {
        const victims = pick(context, repetition, count)
        const names = victims.map(({ name }) => name)
        let from = 0
        const survivors = fleet.up.filter((agent) => !victims.includes(agent))
        const critical = await seenBy(
          fleet,
          KEPT_SERVICE,
          (seen) => !passing(seen).some((node) => names.includes(node)),
          {
            agents: survivors,
            timeoutMs: patienceMs,
            change: async () => {
              from = Math.min(...victims.map((victim) => fleet.kill(victim)))
              return from
            },
          },
        )
        const label = count === 1 ? 'killed' : `${count} killed at once`
        measure(`${label}: failed at a node`, await failedEverywhere(context, victims, from))
        measure(`${label}: its instances critical at a node`, critical)
        await Promise.all(victims.map((victim) => victim.exited))
        const again = Date.now()
        for (const victim of victims) fleet.start(victim)
        measure('started again: alive at a node', await returned(context, victims, again))
        await fleet.settled(patienceMs)
      }
    }
  },
}

const hang: Step = {
  name: 'hang',
  sentence: 'SIGSTOP for 10 s, then SIGCONT',
  async run(context) {
    const { fleet, repetitions, patienceMs, measure } = context
    for (const repetition of times(repetitions)) {
      const [victim] = pick(context, repetition, 1) as [AgentProcess]
      const stoppedAt = fleet.pause(victim, true)
      try {
        measure('stopped: failed at a node', await failedEverywhere(context, [victim], stoppedAt))
        await delay(Math.max(0, HANG_MS - (Date.now() - stoppedAt)))
      } finally {
        const resumedAt = fleet.resume(victim)
        measure('goes on: alive at a node', await returned(context, [victim], resumedAt))
      }
      await fleet.settled(patienceMs)
    }
  },
}

const pause: Step = {
  name: 'pause',
  sentence: 'SIGSTOP for 0.8 to 1.5 s: nobody calls it failed',
  async run(context) {
    const { fleet, repetitions, patienceMs } = context
    for (const repetition of times(repetitions)) {
      for (const [i, pauseMs] of PAUSES_MS.entries()) {
        const [victim] = pick(context, repetition + i, 1) as [AgentProcess]
        fleet.pause(victim, false)
        await delay(pauseMs)
        fleet.resume(victim)
      }
      await delay(AFTER_PAUSE_MS)
      await fleet.settled(patienceMs)
    }
  },
}

function partition(name: string, sentence: string, alone: (count: number) => number): Step {
  return {
    name,
    sentence,
    async run(context) {
      const { fleet, patienceMs, measure } = context
      const { up } = fleet
      const some = up.slice(-alone(up.length))
      const rest = up.filter((agent) => !some.includes(agent))
      const { at, heal } = await fleet.cut([rest, some])
      try {
        const seen = await failedEverywhere(context, some, at, rest)
        // A node that reaches nobody distrusts itself first of all, and may take minutes to give all the others up.
        if (some.length > 1) seen.push(...(await failedEverywhere(context, rest, at, some)))
        measure(`${sentence}: failed on the other side`, seen)
        await delay(CUT_MS)
      } finally {
        const healedAt = await heal()
        await fleet.settled(patienceMs)
        measure(`${sentence}: whole again`, [Date.now() - healedAt])
      }
    },
  }
}

const leave: Step = {
  name: 'leave',
  sentence: 'SIGTERM; later it starts again',
  async run(context) {
    const { fleet, repetitions, patienceMs, measure } = context
    for (const repetition of times(repetitions)) {
      const [leaver] = pick(context, repetition, 1) as [AgentProcess]
      const observers = fleet.up.filter((agent) => agent !== leaver)
      const stopping = fleet.stop(leaver)
      const from = Date.now()
      measure(
        'leaves: left at a node',
        await fleet.heard('left', leaver.name, observers, from - 1, patienceMs),
      )
      const { code } = await stopping
      if (code !== 0) throw new Error(`${leaver.name} was told to stop and ended with ${code}`)
      const again = Date.now()
      fleet.start(leaver)
      measure('started again: alive at a node', await returned(context, [leaver], again))
    }
    await fleet.settled(patienceMs)
  },
}

const rolling: Step = {
  name: 'rolling',
  sentence: 'every node is restarted, one after the other',
  async run(context) {
    const { fleet, patienceMs, measure } = context
    const began = Date.now()
    for (const agent of fleet.agents) {
      const { at, code } = await fleet.stop(agent)
      if (code !== 0) throw new Error(`${agent.name} was told to stop and ended with ${code}`)
      fleet.start(agent)
      await until(`${agent.name} is ready`, async () => (await agent.ask('/readyz')).status === 200, {
        timeoutMs: patienceMs,
      })
      measure('restart of one: ready again', [Date.now() - at])
    }
    await fleet.settled(patienceMs)
    measure('rolling restart of all', [Date.now() - began])
  },
}

const full: Step = {
  name: 'full',
  sentence: 'all are killed and started again, told of nobody: they remember each other',
  async run(context) {
    const { fleet, patienceMs, measure } = context
    await Promise.all(
      fleet.running.map((agent) => {
        fleet.kill(agent)
        return agent.exited
      }),
    )
    const from = Date.now()
    for (const agent of fleet.agents) fleet.start(agent, true)
    measure('full restart: a node knows another', await allKnowAll(context, from))
    await fleet.settled(patienceMs)
    measure('full restart: all settled', [Date.now() - from])
  },
}

const agree: Step = {
  name: 'agree',
  sentence: 'all nodes have the same members, services and digest of the catalogue',
  async run({ fleet, patienceMs, measure }) {
    const from = Date.now()
    const { length } = fleet.agents
    await fleet.settled(patienceMs)
    await seenBy(fleet, KEPT_SERVICE, (seen) => passing(seen).length === length, {
      timeoutMs: patienceMs,
      change: async () => Date.now(),
    })
    await until(
      'every node has the same digest of the catalogue',
      async () => new Set((await digests(fleet)).map(({ digest }) => digest)).size === 1,
      { timeoutMs: patienceMs, intervalMs: 200, state: () => digests(fleet) },
    )
    // Under loss a suspicion comes and is refuted now and then: they agree when it is over.
    let pictures: readonly string[] = []
    await until(
      'every node has the same members and services',
      async () => {
        pictures = await Promise.all(fleet.agents.map((agent) => picture(fleet, agent)))
        return new Set(pictures).size === 1
      },
      { timeoutMs: patienceMs, intervalMs: 500, state: () => [...new Set(pictures)] },
    )
    measure('all agree', [Date.now() - from])
  },
}

async function digests(fleet: Fleet): Promise<readonly { node: string; digest: string; records: number }[]> {
  return Promise.all(
    fleet.agents.map(async (agent) => {
      const { catalog } = await agent.json<{ catalog: { digest: string; records: number } }>(
        '/api/v1/status',
        {
          timeoutMs: 60_000,
        },
      )
      return { node: agent.name, ...catalog }
    }),
  )
}

/** All steps, in their order. `join` comes first and `agree` last in every run. */
export const STEPS: readonly Step[] = [
  join,
  change,
  kill,
  hang,
  pause,
  partition('partition-halves', 'cut in halves', (count) => Math.floor(count / 2)),
  partition('partition-one', 'one cut off', () => 1),
  leave,
  rolling,
  full,
  agree,
]
