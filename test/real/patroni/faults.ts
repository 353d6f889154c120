import { setTimeout as delay } from 'node:timers/promises'
import { guardPause } from '../../nemesis/pause-guard.ts'
import type { AgentProcess } from '../agent-process.ts'
import { agentsSettled, leadingAgent, makeLead } from './agents.ts'
import type { Member } from './member.ts'
import type { Scene } from './scene.ts'

const PAUSE_MS = 20_000
/** Patroni waits up to 1 s between tries, and a try may have begun before. Milliseconds. */
const RETRY_GAP_MS = 2000

/** Ends what a fault did; resolves when everything runs again, not when it has settled. */
export type Heal = () => Promise<void>

/** A fault under way. */
export interface Struck {
  readonly heal: Heal
  /** What is expected now that it is known how the fault went, instead of the fault's own `moves`. */
  readonly moves?: null
}

/** Something that happens to a scene. */
export interface Fault {
  readonly name: string
  readonly sentence: string
  /** Whether another member has to become the primary, or none may; null: either may be. */
  readonly moves: boolean | null
  /** Brings about what the fault needs. */
  readonly arrange?: (scene: Scene, primary: Member) => Promise<void>
  readonly strike: (scene: Scene, primary: Member) => Promise<Struck>
}

/** How long an outage has to last so that a primary that cannot renew its key would have stepped down. Milliseconds. */
function noticedMs({ timing }: Scene): number {
  return (timing.loopWait + timing.retryTimeout + 1) * 1000
}

async function leadBesides(scene: Scene, primary: Member): Promise<void> {
  const [agent] = scene.agents.filter((other) => other !== scene.agentOf(primary))
  if (agent !== undefined) await makeLead(scene.agents, agent)
}

async function leadUnder(scene: Scene, primary: Member): Promise<void> {
  await makeLead(scene.agents, scene.agentOf(primary))
}

async function killLeader(scene: Scene): Promise<Struck> {
  const agent = await leadingAgent(scene.agents)
  await agent.kill()
  return await restartAfter(scene, agent, noticedMs(scene))
}

async function restartAfter(scene: Scene, agent: AgentProcess, ms: number): Promise<Struck> {
  const over = delay(ms)
  const heal = async () => {
    await over
    agent.start()
    await agentsSettled(scene.agents)
  }
  return { heal }
}

async function pauseLeader(scene: Scene): Promise<Struck> {
  const agent = await leadingAgent(scene.agents)
  const dismiss = guardPause(agent.pid)
  agent.signal('SIGSTOP')
  const over = delay(PAUSE_MS)
  const heal = async () => {
    await over
    agent.signal('SIGCONT')
    dismiss()
    await agentsSettled(scene.agents)
  }
  return { heal }
}

/** Restarts every agent. Patroni asks again for its retry_timeout; a primary whose agent was away for about that long may give up. */
async function restartAll(scene: Scene): Promise<Struck> {
  let longestMs = 0
  for (const agent of scene.agents) {
    const stopped = performance.now()
    const { code } = await agent.stop()
    if (code !== 0) throw new Error(`${agent.name} ended with ${code}`)
    agent.start()
    await agentsSettled(scene.agents)
    longestMs = Math.max(longestMs, performance.now() - stopped)
    await scene.settled()
  }
  const heal = async () => {}
  return longestMs < scene.timing.retryTimeout * 1000 - RETRY_GAP_MS ? { heal } : { heal, moves: null }
}

/** All of them, in the order of a round. */
export const FAULTS: readonly Fault[] = [
  {
    name: 'switchover',
    sentence: 'the primary hands its role to the synchronous standby',
    moves: true,
    strike: async (scene, primary) => {
      await primary.switchover(await scene.standby())
      return { heal: async () => {} }
    },
  },
  {
    name: 'kill-primary',
    sentence: 'kill -9 of Patroni and PostgreSQL of the primary',
    moves: true,
    strike: async (_scene, primary) => {
      await primary.kill()
      return { heal: async () => primary.start() }
    },
  },
  {
    name: 'kill-leader-agent',
    sentence: 'kill -9 of the leading agent, which the primary does not use',
    moves: false,
    arrange: leadBesides,
    strike: killLeader,
  },
  {
    name: 'pause-leader-agent',
    sentence: 'SIGSTOP for 20 s of the leading agent, which the primary does not use',
    moves: false,
    arrange: leadBesides,
    strike: pauseLeader,
  },
  {
    name: 'restart-agents',
    sentence: 'every agent is restarted, one after the other',
    moves: false,
    strike: restartAll,
  },
  {
    name: 'pause-agent-of-primary',
    sentence: 'SIGSTOP for 20 s of the leading agent, which the primary uses',
    moves: true,
    arrange: leadUnder,
    strike: pauseLeader,
  },
  {
    name: 'kill-agent-of-primary',
    sentence: 'kill -9 of the leading agent, which the primary uses',
    moves: true,
    arrange: leadUnder,
    strike: killLeader,
  },
  {
    name: 'kill-host',
    sentence: 'kill -9 of Patroni and PostgreSQL of the primary and of its agent, which leads',
    moves: true,
    arrange: leadUnder,
    strike: async (scene, primary) => {
      const [, agent] = await Promise.all([primary.kill(), killLeader(scene)])
      const heal = async () => {
        await agent.heal()
        primary.start()
      }
      return { heal }
    },
  },
  {
    name: 'kill-two-agents',
    sentence: 'kill -9 of the leading agent and one more, which leaves no quorum',
    moves: null,
    strike: async (scene) => {
      const leader = await leadingAgent(scene.agents)
      const [other] = scene.agents.filter((agent) => agent !== leader)
      await Promise.all([leader.kill(), other?.kill()])
      const over = delay(noticedMs(scene))
      const heal = async () => {
        await over
        for (const agent of [leader, other]) agent?.start()
        await agentsSettled(scene.agents)
      }
      return { heal }
    },
  },
]

/** The fault of this name. @throws Error if there is none. */
export function faultNamed(name: string): Fault {
  const fault = FAULTS.find((one) => one.name === name)
  if (fault === undefined) throw new Error(`no fault is called ${name}`)
  return fault
}
