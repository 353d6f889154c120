import { isJoint } from '../../consensus/raft/configuration.ts'
import type { Raft } from '../../consensus/raft/raft.ts'
import type { Entry } from '../../consensus/raft/types.ts'
import { decodeLogRecord, type LogRecord } from '../../consensus/state/codec.ts'
import { StateMachine } from '../../consensus/state/state-machine.ts'
import type { CommandResult } from '../../consensus/state/types.ts'
import type { Invariants, Observed } from './invariants.ts'
import type { Oracle } from './oracle.ts'
import type { SimRequests } from './sim-requests.ts'
import { SimFailure, type World } from './world.ts'

/** Whom it concerns that something was applied. */
export interface SimApplierCollaborators {
  readonly node: Observed
  readonly world: World
  readonly invariants: Invariants
  readonly oracle: Oracle
  readonly requests: Pick<SimRequests, 'applied' | 'dropLease' | 'settleWaiters'>
  /** Entries that were decoded once: they are the same on every node. */
  readonly decoded: WeakMap<Uint8Array, LogRecord>
}

/** The state of one node; everything that is applied to it is compared with what the others applied. */
export class SimApplier {
  readonly #with: SimApplierCollaborators
  state = new StateMachine()

  constructor(collaborators: SimApplierCollaborators) {
    this.#with = collaborators
  }

  /** Applies committed entries in order. */
  apply(raft: Raft, entries: readonly Entry[]): void {
    const { requests } = this.#with
    for (const entry of entries) {
      const result = entry.type === 'config' ? this.#applyConfiguration(raft, entry) : this.#applyEntry(entry)
      requests.applied(entry, result)
    }
  }

  #applyConfiguration(raft: Raft, entry: Entry): null {
    const { node, world, invariants, oracle } = this.#with
    const wasJoint = isJoint(raft.configuration)
    const configuration = raft.applyConfiguration(entry)
    this.#with.requests.dropLease()
    this.state.skip(entry.index)
    invariants.configured(node, entry.index, configuration)
    oracle.applied(node.id, this.state, entry.index, null, null)
    world.log(
      node.id,
      'configuration',
      entry.index,
      configuration.voters.join('+'),
      configuration.votersOutgoing.join('+'),
      configuration.learners.join('+'),
    )
    world.count('configuration applied')
    if (wasJoint && !isJoint(configuration)) world.count('joint change completed')
    return null
  }

  #applyEntry(entry: Entry): CommandResult | null {
    const { node, oracle } = this.#with
    if (entry.data.length === 0) {
      this.state.skip(entry.index)
      oracle.applied(node.id, this.state, entry.index, null, null)
      return null
    }
    const expected = this.state.appliedIndex + 1
    if (entry.index !== expected)
      throw new SimFailure('applied in order', `${node.id}: ${entry.index}, not ${expected}`)
    const record = this.#decode(entry.data)
    const { result } = this.state.apply(entry.index, record)
    oracle.applied(node.id, this.state, entry.index, record, result)
    return result
  }

  #decode(data: Uint8Array): LogRecord {
    const { decoded } = this.#with
    const known = decoded.get(data)
    if (known !== undefined) return known
    const record = decodeLogRecord(data)
    decoded.set(data, record)
    return record
  }
}
