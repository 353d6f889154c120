import type { MemberStatus } from '../membership/types.ts'

/** The keys of one node. */
export interface NodeKeys {
  readonly id: string
  /** Its id where the name is not known. */
  readonly name: string
  /** `unknown`: no member is listed for it, but it belongs to the cluster. */
  readonly status: MemberStatus | 'unknown'
  /**
   * `answered`: it said so just now. `announced`: it does not answer, and this is what it last said of itself. `unknown`: it
   * does not answer and has never said anything.
   */
  readonly source: 'answered' | 'announced' | 'unknown'
  /** Fingerprints, the primary first; the first 8 digits of each where they were only announced. */
  readonly keys: readonly string[]
  /** Why it did not answer; null if it did. */
  readonly problem: string | null
}

/** Who has which key. Keys themselves are in no answer. */
export interface KeyringReport {
  /** Primary key of the node that was asked; null without a cluster key. */
  readonly primary: string | null
  readonly keys: readonly {
    readonly fingerprint: string
    /** How many nodes are known to have it. */
    readonly nodes: number
    /** On how many of them it is the primary key. */
    readonly primaryOn: number
  }[]
  /** Every listed member and whoever else belongs to the cluster, this node included, sorted by name. */
  readonly nodes: readonly NodeKeys[]
}

/** How an operation on the keyring ended. */
export interface KeyringResult {
  readonly fingerprint: string
  /** Names of the nodes that have done it, and have it on disk. */
  readonly done: readonly string[]
  /** The others, and why not. They get it from the others as soon as they are connected. */
  readonly missing: readonly { readonly name: string; readonly reason: string }[]
}

/** The cluster keys, from any node. Every operation may be repeated. */
export interface Keys {
  list(): Promise<KeyringReport>
  /** Adds a key to every node, as one more that is accepted. @throws KeyringError `KRG_NO_KEY`, `KRG_REMOVED`, `KRG_FULL`, `KRG_FILE` */
  install(key: Uint8Array, options?: KeyringOrder): Promise<KeyringResult>
  /**
   * Makes a key the primary one on every node. Refused unless every one has confirmed it, those that are down included.
   * @param fingerprint at least 8 digits of it.
   * @throws KeyringError `KRG_UNKNOWN_KEY`, `KRG_NOT_EVERYWHERE`, `KRG_BELONGING_UNKNOWN`, `KRG_FILE`
   */
  use(fingerprint: string, options?: KeyringOrder): Promise<KeyringResult>
  /**
   * Takes a key out of every node. Refused unless every one has another primary key, those that are down included.
   * @throws KeyringError `KRG_UNKNOWN_KEY`, `KRG_PRIMARY`, `KRG_STILL_NEEDED`, `KRG_BELONGING_UNKNOWN`, `KRG_FILE`
   */
  remove(fingerprint: string, options?: KeyringOrder): Promise<KeyringResult>
}

/** `force`: also if a node is left out by it. */
export interface KeyringOrder {
  readonly force?: boolean
}
