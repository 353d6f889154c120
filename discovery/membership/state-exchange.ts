import type { Logger } from 'pino'
import { MeshError } from '../mesh/errors.ts'
import type { Mesh, PeerId } from '../mesh/types.ts'
import type { SwimCore } from './core/swim-core.ts'
import type { SwimAction } from './core/types.ts'
import { MembershipError } from './errors.ts'
import type { MembershipMetrics } from './metrics.ts'
import type { Plausibility } from './plausibility.ts'
import { decodeAnswer, decodeSyncRequest, encodeAnswer, encodeOffer, encodeSync } from './wire.ts'

/** Channel of the exchange of everything known. */
export const SYNC_CHANNEL = 'swim-sync'
const SYNC_TIMEOUT_MS = 5000
const SYNC_TRIES_MAX = 3

/** What a {@link StateExchange} works with. `now` is the clock of the core. */
export interface StateExchangeCollaborators {
  readonly core: SwimCore
  readonly plausibility: Pick<Plausibility, 'entries'>
  readonly mesh: Mesh
  readonly log: Logger
  readonly metrics: MembershipMetrics
  readonly now: () => number
  readonly perform: (actions: readonly SwimAction[]) => void
}

/** Carries the exchange of everything known over the mesh: a request with a digest, and one with what the peer lacks. */
export class StateExchange {
  readonly #with: StateExchangeCollaborators

  constructor(collaborators: StateExchangeCollaborators) {
    this.#with = collaborators
  }

  /** Exchanges with `peer`; gives up after a few tries, or when it cannot be reached. Does not throw. */
  async run(peer: PeerId, signal: AbortSignal): Promise<void> {
    const { log } = this.#with
    for (let tries = 0; !signal.aborted && tries < SYNC_TRIES_MAX; tries++) {
      try {
        await this.#once(peer, signal)
        return
      } catch (error) {
        if (!signal.aborted) log.debug({ peer, err: error }, 'a state exchange failed')
        if (error instanceof MeshError && error.code === 'MSH_UNREACHABLE') return
      }
    }
  }

  /** A request of `from`: takes in what it tells, answers what it offers to compare. @throws MembershipError */
  answer(from: PeerId, payload: Uint8Array): Uint8Array {
    const { core, now, perform, plausibility } = this.#with
    const request = this.#read(() => decodeSyncRequest(payload))
    if ('digest' in request) return encodeAnswer(core.answerOffer(request, now()))
    perform(core.merge(from, plausibility.entries(from, request), now()))
    return encodeSync([])
  }

  async #once(peer: PeerId, signal: AbortSignal): Promise<void> {
    const { core, mesh, now, perform, plausibility } = this.#with
    const limits = { timeoutMs: SYNC_TIMEOUT_MS, signal }
    const offer = core.offer(now())
    const bytes = await mesh.request(peer, SYNC_CHANNEL, encodeOffer(offer), limits)
    if (signal.aborted) return
    const told = this.#read(() => decodeAnswer(bytes))
    const answer = { ...told, entries: plausibility.entries(peer, told.entries) }
    const { rest, actions } = core.takeAnswer(peer, offer, answer, now())
    perform(actions)
    if (rest.length > 0) await mesh.request(peer, SYNC_CHANNEL, encodeSync(rest), limits)
  }

  #read<T>(decode: () => T): T {
    try {
      return decode()
    } catch (error) {
      if (error instanceof MembershipError) this.#with.metrics.rejected.inc({ channel: SYNC_CHANNEL })
      throw error
    }
  }
}
