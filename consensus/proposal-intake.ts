import type { Clock } from './clock.ts'
import type { Driver } from './driver.ts'
import { ConsensusError } from './errors.ts'
import { LogClock } from './log-clock.ts'
import type { LogWriter } from './log-writer.ts'
import type { ReplicaMetrics } from './metrics.ts'
import type { Participation } from './participation.ts'
import type { Proposals } from './proposals.ts'
import { encodeLogRecord, type LogRecord } from './state/codec.ts'
import { isProposal } from './state/command-check.ts'
import type { StateMachine } from './state/state-machine.ts'
import type { CommandResult } from './state/types.ts'
import type { PatientStore } from './storage/patient-store.ts'

/** What decides whether a proposal is taken, and where it goes. */
export interface ProposalIntakeCollaborators {
  readonly participation: Pick<Participation, 'ended' | 'fail'>
  readonly driver: Pick<Driver, 'raft' | 'isLeader' | 'pump'>
  readonly store: Pick<PatientStore, 'full'>
  readonly writer: Pick<LogWriter, 'isOverloaded'>
  readonly proposals: Pick<Proposals, 'add' | 'flush'>
  readonly clock: Clock
  readonly state: () => StateMachine
  readonly metrics: ReplicaMetrics | null
}

/** Takes proposals on the leader, stamps their time, and hands to the protocol at once what came in one turn. */
export class ProposalIntake {
  readonly #with: ProposalIntakeCollaborators
  readonly #clock: LogClock

  constructor(collaborators: ProposalIntakeCollaborators) {
    this.#with = collaborators
    this.#clock = new LogClock(collaborators.clock)
  }

  /**
   * Proposes on this node. @throws ConsensusError `CST_NOT_LEADER` or `CST_PROPOSAL_DROPPED` (not in the log),
   *   `CST_OUTCOME_UNKNOWN` (leadership was lost meanwhile).
   */
  propose(record: Omit<LogRecord, 'at'>): Promise<CommandResult> {
    const refusal = this.#refusal(record)
    if (refusal !== null) return Promise.reject(refusal)
    const { proposals, driver, state } = this.#with
    const at = this.#clock.stamp(driver.raft?.term ?? 0, state())
    const payload = encodeLogRecord({ ...record, at })
    const { result, isFirst } = proposals.add(payload)
    // One turn of the event loop collects what many clients sent.
    if (isFirst) setImmediate(() => this.#flush())
    return result
  }

  #refusal(record: unknown): ConsensusError | null {
    const { participation, driver, store, writer, metrics } = this.#with
    const { ended } = participation
    if (ended !== null) return ended
    if (!driver.isLeader) return new ConsensusError('CST_NOT_LEADER', 'this node does not lead')
    if (store.full !== null) return store.full
    if (writer.isOverloaded) {
      metrics?.dropped('overloaded', 1)
      return new ConsensusError('CST_PROPOSAL_DROPPED', 'too many writes are waiting for the disk', {
        retryable: true,
      })
    }
    if (!isProposal(record)) {
      metrics?.dropped('malformed', 1)
      return new ConsensusError('CST_PROPOSAL_DROPPED', 'the proposal is malformed')
    }
    return null
  }

  #flush(): void {
    const { driver, proposals, participation, metrics } = this.#with
    const { raft } = driver
    if (raft === null) return
    try {
      const dropped = proposals.flush((payloads) => raft.propose(payloads))
      if (dropped !== null && dropped.reason !== 'change-pending')
        metrics?.dropped(dropped.reason, dropped.count)
    } catch (error) {
      participation.fail(error as Error)
      return
    }
    driver.pump()
  }
}
