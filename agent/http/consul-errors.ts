import { ConsensusError, type ConsensusErrorCode } from '../../consensus/errors.ts'
import { CatalogError, type CatalogErrorCode } from '../../discovery/catalog/errors.ts'
import { KeyringError, type KeyringErrorCode } from '../../discovery/keyring/errors.ts'
import { HttpError } from './errors.ts'

/** What a client of the Consul dialect gets to see of an error. */
export interface ErrorAnswer {
  readonly status: number
  readonly text: string
  /** Stable code, for the JSON dialect and the log. */
  readonly code: string
}

/**
 * The text of each consensus error. Their status is 500, except for a refused operation, which only /api/v1 has: the retry test of Consul's clients is that status, and some
 * match the text from its first character, so no node puts anything in front of it. Null = the error's own message.
 */
const CONSENSUS_ANSWERS: Readonly<Record<ConsensusErrorCode, string | null>> = {
  CST_NO_LEADER: 'No cluster leader',
  CST_NOT_LEADER: 'No cluster leader',
  CST_NOT_INITIALISED: 'No cluster leader',
  CST_STOPPED: 'No cluster leader',
  CST_OUTCOME_UNKNOWN: null,
  CST_PROPOSAL_DROPPED: null,
  CST_MEMBERSHIP_CHANGE_IN_PROGRESS: null,
  CST_REFUSED: null,
  CST_RESTORE_FAILED: null,
  CST_TOO_LARGE: null,
  CST_STORAGE_FAILED: null,
  CST_DISK_FULL: null,
  CST_LOG_DAMAGED: null,
  CST_SUPERSEDED: 'No cluster leader',
  CST_RECOVERY_REFUSED: null,
}

/** Refusals of the catalogue that the client caused and whose text tells it how; any other is ours. */
const CATALOG_STATUS: Readonly<Partial<Record<CatalogErrorCode, number>>> = {
  CAT_INVALID: 400,
  CAT_TOO_LARGE: 400,
  CAT_UNKNOWN_SERVICE: 404,
  CAT_NOT_STARTED: 500,
}

/** Refusals of the keyring below /api/v1; in Consul's dialect each is a 500, as there. */
const KEYRING_STATUS: Readonly<Record<KeyringErrorCode, number>> = {
  KRG_UNKNOWN_KEY: 404,
  KRG_NO_KEY: 409,
  KRG_NOT_EVERYWHERE: 409,
  KRG_STILL_NEEDED: 409,
  KRG_BELONGING_UNKNOWN: 409,
  KRG_PRIMARY: 409,
  KRG_REMOVED: 409,
  KRG_FULL: 409,
  KRG_FILE: 500,
  KRG_BAD_MESSAGE: 500,
}

/**
 * Translates any error into an answer. An error nobody foresaw becomes a bare 500: its text may name files or peers,
 * so it goes to the log and not to the client.
 */
export function answerFor(error: unknown): ErrorAnswer {
  if (error instanceof HttpError) return { status: error.statusCode, text: error.message, code: error.code }
  if (error instanceof ConsensusError) {
    const conflict = error.code === 'CST_REFUSED' || error.code === 'CST_MEMBERSHIP_CHANGE_IN_PROGRESS'
    const status = conflict ? 409 : 500
    return { status, text: CONSENSUS_ANSWERS[error.code] ?? error.message, code: error.code }
  }
  if (error instanceof CatalogError) {
    const status = CATALOG_STATUS[error.code]
    if (status !== undefined) return { status, text: error.message, code: error.code }
  }
  if (error instanceof KeyringError) {
    return { status: KEYRING_STATUS[error.code], text: error.message, code: error.code }
  }
  const status = clientErrorStatus(error)
  if (status !== null && error instanceof Error) {
    return { status, text: error.message, code: status === 413 ? 'HTTP_TOO_LARGE' : 'HTTP_BAD_REQUEST' }
  }
  return { status: 500, text: 'internal error', code: 'HTTP_INTERNAL' }
}

/** The 4xx the HTTP framework put on an error of its own (malformed URL, failed validation); null for anything else. */
function clientErrorStatus(error: unknown): number | null {
  if (!(error instanceof Error) || !('statusCode' in error)) return null
  const status = error.statusCode
  return typeof status === 'number' && status >= 400 && status < 500 ? status : null
}
