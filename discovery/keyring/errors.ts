/** Stable codes of the errors of the keyring. A code is never reused for another meaning. */
export type KeyringErrorCode =
  /** The file cannot be read, is open to others, or is damaged. */
  | 'KRG_FILE'
  /** This node has no cluster key at all. */
  | 'KRG_NO_KEY'
  /** The key is not in the ring of this node. */
  | 'KRG_UNKNOWN_KEY'
  /** `use`: nodes have not confirmed the key. */
  | 'KRG_NOT_EVERYWHERE'
  /** `remove`: nodes have no other primary key. */
  | 'KRG_STILL_NEEDED'
  /** `use`, `remove`: this node does not know who belongs to the cluster. */
  | 'KRG_BELONGING_UNKNOWN'
  /** `remove`: it is the primary key of this node. */
  | 'KRG_PRIMARY'
  /** `install`: the key was removed before. */
  | 'KRG_REMOVED'
  /** `install`: there are as many keys as there may be. */
  | 'KRG_FULL'
  /** A message of another node makes no sense. */
  | 'KRG_BAD_MESSAGE'

/** An expected failure of the keyring; the message is a sentence for the operator and never holds a key. */
export class KeyringError extends Error {
  readonly code: KeyringErrorCode

  constructor(code: KeyringErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'KeyringError'
    this.code = code
  }
}
