import type { Member, Membership } from '../membership/types.ts'
import { MeshError } from '../mesh/errors.ts'
import type { Mesh, PeerId } from '../mesh/types.ts'
import { readAnnouncement } from './announcement.ts'
import type { NodeKeys } from './types.ts'
import { decodeStatus, type KeyringStatus } from './wire.ts'

/** What {@link Survey} works with. */
export interface SurveyCollaborators {
  readonly mesh: Pick<Mesh, 'id' | 'connected' | 'request'>
  readonly membership: Pick<Membership, 'members' | 'get'>
  /**
   * Ids of the nodes that belong to the cluster whether they are members at the moment or not, this one included: one that
   * was down while all others started anew is on no list of members. Null while this node does not know.
   */
  readonly belonging: () => readonly PeerId[] | null
}

/** A node that counts when the keys change, besides the one that asks. */
type Node = Pick<NodeKeys, 'id' | 'name' | 'status'> & Pick<Member, 'meta'>

/** The answer of one node, or why there is none. */
export type Answer =
  | { readonly node: Node; readonly status: KeyringStatus }
  | { readonly node: Node; readonly problem: string }

const CHANNEL = 'keyring'
const ASKED_AT_ONCE_MAX = 16

/** Asks every node that must not be left out when the keys change. */
export class Survey {
  readonly #timeoutMs: number
  readonly #with: SurveyCollaborators

  /** @param options.answerTimeoutMs how long one node may take. */
  constructor(options: { readonly answerTimeoutMs: number }, collaborators: SurveyCollaborators) {
    this.#timeoutMs = options.answerTimeoutMs
    this.#with = collaborators
  }

  /** Every other node that counts; those that cannot be asked are in the answer with the reason. A bounded number at once. */
  async ask(payload: Uint8Array): Promise<readonly Answer[]> {
    const nodes = this.#nodes()
    const answers: Answer[] = []
    const waiting = [...nodes]
    const ask = async () => {
      for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
        answers.push(await this.#ask(node, payload))
      }
    }
    await Promise.all(Array.from({ length: Math.min(ASKED_AT_ONCE_MAX, nodes.length) }, ask))
    return answers
  }

  /** Every listed member, those that failed or left included, and whoever else belongs to the cluster. */
  #nodes(): readonly Node[] {
    const { mesh, membership, belonging } = this.#with
    const members = membership.members()
    const listed = new Set(members.map(({ id }) => id))
    const absent = (belonging() ?? [])
      .filter((id) => !listed.has(id))
      .map((id): Node => ({ id, name: id, status: 'unknown', meta: {} }))
    return [...members, ...absent].filter(({ id }) => id !== mesh.id)
  }

  async #ask(node: Node, payload: Uint8Array): Promise<Answer> {
    const { mesh, membership } = this.#with
    const isGone = node.status === 'left' || node.status === 'unknown'
    if (isGone && !mesh.connected().includes(node.id)) return { node, problem: absence(node.status) }
    try {
      const bytes = await mesh.request(node.id, CHANNEL, payload, { timeoutMs: this.#timeoutMs })
      return { node, status: decodeStatus(bytes) }
    } catch (error) {
      // It may have been given up while it was asked.
      const status = membership.get(node.id)?.status ?? node.status
      return {
        node,
        problem: status === 'alive' || status === 'suspect' ? problemOf(error) : absence(status),
      }
    }
  }
}

/** What an answer says of the keys of its node: else what it announced before it went silent. */
export function nodeKeys(answer: Answer): NodeKeys {
  const { id, name, status, meta } = answer.node
  const who = { id, name, status }
  if ('status' in answer) return { ...who, source: 'answered', keys: answer.status.keys, problem: null }
  const announced = readAnnouncement(meta)
  return {
    ...who,
    source: announced === null ? 'unknown' : 'announced',
    keys: announced?.keys ?? [],
    problem: answer.problem,
  }
}

function problemOf(error: unknown): string {
  const silence: readonly unknown[] = ['MSH_UNREACHABLE', 'MSH_TIMEOUT', 'MSH_CLOSED']
  if (error instanceof MeshError && silence.includes(error.code)) return 'it does not answer'
  return error instanceof Error ? error.message : String(error)
}

function absence(status: NodeKeys['status']): string {
  if (status === 'failed') return 'it has failed'
  if (status === 'left') return 'it has left, as by a stop or a reboot'
  return 'not a member now, but in the Raft configuration'
}
