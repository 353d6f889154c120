import type { Applier } from './applier.ts'
import { outcomeUnknown, refused } from './errors.ts'
import type { Members } from './members.ts'
import type { Participation } from './participation.ts'
import type { ConfigChange, NodeId } from './raft/types.ts'

/** How long an order to make a node a voter is waited for. */
const ADD_WAIT_MS = 3000

/** What carries an order out. */
export interface MemberOrdersCollaborators {
  readonly members: Members
  readonly participation: Pick<Participation, 'ended'>
  readonly applier: Pick<Applier, 'waitApplied'>
  readonly isLeader: () => boolean
  readonly onStatus: (listener: () => void) => () => void
  /** Lets what was handed to the protocol take effect. */
  readonly pump: () => void
}

/** What others tell the leader to do about the members of the cluster: each order, and how it ends. */
export class MemberOrders {
  readonly #with: MemberOrdersCollaborators

  constructor(collaborators: MemberOrdersCollaborators) {
    this.#with = collaborators
  }

  #refuseIfEnded(): void {
    const { ended } = this.#with.participation
    if (ended !== null) throw ended
  }

  /** Proposes a change of the configuration. @throws ConsensusError if this node does not lead or one is under way. */
  change(change: ConfigChange): void {
    this.#with.members.change(change)
    this.#with.pump()
  }

  /** `Members.remove`; resolves once the change is applied. @throws ConsensusError */
  async remove(id: NodeId): Promise<void> {
    this.#refuseIfEnded()
    const { members, applier, participation, pump } = this.#with
    const index = members.remove(id)
    const { promise } = applier.waitApplied(index, participation.ended)
    pump()
    await promise
    // Another leader's entry may have taken its place.
    if (members.has(id)) throw outcomeUnknown()
  }

  /**
   * `Members.wish`: makes a node a voter. Answers `learner` if it has not caught up within a moment; then it goes on by
   * itself. @throws ConsensusError
   */
  async addVoter(id: NodeId): Promise<'voter' | 'learner'> {
    this.#refuseIfEnded()
    const { members, isLeader, onStatus, pump } = this.#with
    if (!members.mayWish(id)) return 'voter'
    if (!(await members.answers(id))) throw refused(`${id} does not answer`)
    if (!members.wish(id)) return 'voter'
    pump()
    const isDone = () => members.isVoter(id)
    const { promise, resolve, reject } = Promise.withResolvers<'voter' | 'learner'>()
    const timer = setTimeout(() => resolve('learner'), ADD_WAIT_MS)
    const stop = onStatus(() => {
      if (isDone()) resolve('voter')
      else if (!isLeader()) reject(outcomeUnknown())
    })
    if (isDone()) resolve('voter')
    return promise.finally(() => {
      clearTimeout(timer)
      stop()
    })
  }

  /** `Members.transfer`: begins to hand leadership over and answers to whom. @throws ConsensusError */
  transfer(to?: NodeId): NodeId {
    this.#refuseIfEnded()
    const heir = this.#with.members.transfer(to)
    this.#with.pump()
    return heir
  }
}
