import type { Logger } from 'pino'
import type { Clock } from './clock.ts'
import { supersedes } from './cluster-id.ts'
import { callRpc } from './rpc.ts'
import type { Transport } from './transport.ts'

/** A node of an older cluster is told at most this often. Milliseconds. */
const NOTICE_MS = 1000
const PEERS_MAX = 64

/** What a member of a recovered cluster tells others with. */
export interface SuccessionCollaborators {
  readonly transport: Transport
  readonly clock: Clock
  readonly log: Logger
}

/**
 * Tells nodes of the cluster this one was recovered from that it is over. They were thought dead, and two that come back
 * together would elect a leader of their own; the first message of such an election that arrives here ends it there.
 */
export class SuccessionNotices {
  readonly #with: SuccessionCollaborators
  readonly #toldAt = new Map<string, number>()

  constructor(collaborators: SuccessionCollaborators) {
    this.#with = collaborators
  }

  /** `peer`, which the transport has authenticated, speaks for cluster `theirs`; this node belongs to `ours`. */
  heard(peer: string, theirs: string, ours: string): void {
    const { transport, clock, log } = this.#with
    const now = clock.now()
    if (!supersedes(ours, theirs) || now - (this.#toldAt.get(peer) ?? Number.NEGATIVE_INFINITY) < NOTICE_MS)
      return
    if (this.#toldAt.size >= PEERS_MAX) this.#toldAt.clear()
    this.#toldAt.set(peer, now)
    const request = { op: 'superseded', clusterId: ours } as const
    callRpc(transport, peer, request, { timeoutMs: NOTICE_MS }).catch((error: Error) =>
      log.debug({ peer, err: error }, 'could not tell a node that its cluster was recovered'),
    )
  }
}
