import { seededRandom } from '../../../discovery/membership/core/random.ts'
import { SwimCore } from '../../../discovery/membership/core/swim-core.ts'
import type {
  SwimAction,
  SwimMessage,
  SwimTimings,
  Update,
} from '../../../discovery/membership/core/types.ts'
import { member } from './sim.ts'

/** One core, named `me`, in a cluster of the given members, all connected. */
export class Bench {
  readonly core: SwimCore
  now = 0
  actions: SwimAction[] = []

  constructor(members: readonly string[], timings: Partial<SwimTimings> = {}) {
    const self = { id: 'me', name: 'me', address: 'me:1', incarnation: 1, meta: {} }
    this.core = new SwimCore({ self, random: seededRandom(7), timings }, 0)
    for (const id of members) {
      this.do((core) => core.join(member(id), 0))
      this.do((core) => core.peerConnected(id, 0))
    }
    this.tick(0)
    this.actions = []
  }

  do(use: (core: SwimCore) => SwimAction[]): SwimAction[] {
    const actions = use(this.core)
    this.actions.push(...actions)
    return actions
  }

  /** The connection to this member is closed, by agreement: what others say of it is believed. */
  part(id: string): void {
    this.do((core) => core.peerParted(id, this.now))
  }

  hear(from: string, ...updates: Update[]): SwimAction[] {
    return this.do((core) => core.message(from, { type: 'gossip', updates }, this.now))
  }

  /** Runs the core's own timers up to `at`. `answer` sees every message and may answer it at once. */
  tick(
    at: number,
    answer: (to: string, message: SwimMessage) => SwimMessage | undefined = () => undefined,
  ): void {
    while (this.core.deadline <= at) {
      this.now = Math.max(this.now, this.core.deadline)
      for (const action of this.do((core) => core.tick(this.now))) {
        if (action.type !== 'send') continue
        const reply = answer(action.to, action.message)
        if (reply) this.do((core) => core.message(action.to, reply, this.now))
      }
    }
    this.now = at
  }

  status(id: string) {
    return this.core.get(id)?.status
  }

  sent(type: SwimMessage['type']): { to: string; message: SwimMessage }[] {
    return this.actions.flatMap((a) =>
      a.type === 'send' && a.message.type === type ? [{ to: a.to, message: a.message }] : [],
    )
  }
}

export const alive = (id: string, incarnation: number, more: object = {}): Update => {
  const { name, address, meta } = member(id, more)
  return { status: 'alive', id, incarnation, name, address, meta }
}
export const suspect = (id: string, incarnation: number, from = 'z'): Update => ({
  status: 'suspect',
  id,
  incarnation,
  from,
})
export const failed = (id: string, incarnation: number): Update => ({
  status: 'failed',
  id,
  incarnation,
  from: 'z',
})
export const left = (id: string, incarnation: number): Update => ({ status: 'left', id, incarnation })
export const ack = (message: SwimMessage): SwimMessage | undefined =>
  message.type === 'ping' ? { type: 'ack', seq: message.seq, updates: [] } : undefined
