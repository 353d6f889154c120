/** Stable codes of every error that leaves consensus/. A code is never reused for another meaning. */
export type ConsensusErrorCode =
  | 'CST_NO_LEADER'
  | 'CST_NOT_LEADER'
  | 'CST_PROPOSAL_DROPPED'
  | 'CST_OUTCOME_UNKNOWN'
  | 'CST_NOT_INITIALISED'
  | 'CST_MEMBERSHIP_CHANGE_IN_PROGRESS'
  | 'CST_REFUSED'
  | 'CST_RESTORE_FAILED'
  | 'CST_TOO_LARGE'
  | 'CST_STORAGE_FAILED'
  | 'CST_DISK_FULL'
  | 'CST_LOG_DAMAGED'
  | 'CST_STOPPED'
  | 'CST_SUPERSEDED'
  | 'CST_RECOVERY_REFUSED'

/** An expected failure of consensus/. `retryable` says that the caller may repeat the same request unchanged. */
export class ConsensusError extends Error {
  readonly code: ConsensusErrorCode
  readonly retryable: boolean

  constructor(
    code: ConsensusErrorCode,
    message: string,
    options: { retryable?: boolean; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'ConsensusError'
    this.code = code
    this.retryable = options.retryable ?? false
  }
}

/** No leader is known, or it could not confirm its leadership in time. Nothing was written. */
export function noLeader(): ConsensusError {
  return new ConsensusError('CST_NO_LEADER', 'No cluster leader', { retryable: true })
}

/** A proposal was handed on and its result never came back: it may or may not be in the log. */
export function outcomeUnknown(cause?: unknown): ConsensusError {
  const why = isConsensusError(cause, 'CST_DISK_FULL') ? ` (${cause.message})` : ''
  return new ConsensusError(
    'CST_OUTCOME_UNKNOWN',
    `outcome unknown: the write was sent but not confirmed; read back before repeating it${why}`,
    { cause },
  )
}

/** The cluster of this node was recovered from another node's data and goes on as `clusterId`, without this node. */
export function superseded(clusterId: string): ConsensusError {
  return new ConsensusError(
    'CST_SUPERSEDED',
    `the cluster of this node was recovered without it and goes on as ${clusterId}: stop this agent, move its whole ` +
      'data directory away, identity.key included, and start it again as a new node',
  )
}

/** The leader counts entries as acknowledged by this node that are not in its log, which it ends with. The node must not go on. */
export function lostEntries(cause: { readonly commit: number; readonly lastIndex: number }): ConsensusError {
  return new ConsensusError(
    'CST_LOG_DAMAGED',
    `the log of this node ends at entry ${cause.lastIndex}, but the node has acknowledged entries up to ${cause.commit} at least: ` +
      'its data directory is an older copy, its disk lost what was synced, or another process runs with its identity. ' +
      'Of two processes stop one. If the other nodes are healthy, move the whole data directory of this one away, identity.key included, ' +
      'and start it again as a new node',
    { cause },
  )
}

/** What an operator asked for would harm the cluster or makes no sense; `sentence` says why. Nothing was done. */
export function refused(sentence: string): ConsensusError {
  return new ConsensusError('CST_REFUSED', sentence)
}

/** The keys of a backup were not put in place; `sentence` says why. Nothing was changed. */
export function restoreFailed(sentence: string, cause?: unknown): ConsensusError {
  return new ConsensusError('CST_RESTORE_FAILED', `nothing was restored: ${sentence}`, { cause })
}

/** True if `error` is a ConsensusError with this code. */
export function isConsensusError(error: unknown, code?: ConsensusErrorCode): error is ConsensusError {
  return error instanceof ConsensusError && (code === undefined || error.code === code)
}
