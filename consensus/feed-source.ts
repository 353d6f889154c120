import type { FeedSource } from './feed.ts'
import { EMPTY_CONFIGURATION } from './raft/configuration.ts'
import { invariant } from './raft/types.ts'
import type { Replica } from './replica.ts'

/** What clients are fed from on a member: the log and the state of its replica, as they are when asked. */
export function replicaSource(replica: Replica): FeedSource {
  return {
    get clusterId() {
      return replica.identity?.clusterId ?? null
    },
    get isMember() {
      return replica.ended === null && replica.isMember
    },
    get isFull() {
      return replica.diskFull !== null
    },
    get leader() {
      return replica.leader
    },
    get term() {
      return replica.protocol?.term ?? 0
    },
    get commitIndex() {
      return replica.protocol?.log.committedIndex ?? 0
    },
    get lastContactMs() {
      return replica.lastContactMs
    },
    get appliedIndex() {
      return replica.state.appliedIndex
    },
    get configuration() {
      return replica.protocol?.configuration ?? EMPTY_CONFIGURATION
    },
    termAt: (index) => replica.protocol?.log.termAt(index),
    entries: (from, to, bytesMax) => {
      const log = replica.protocol?.log
      invariant(
        log !== undefined && to <= replica.state.appliedIndex,
        `entry ${to} is applied before it is fed`,
      )
      return log.slice(from, to, bytesMax)
    },
    snapshot: () => replica.state.snapshot(),
    waitApplied: (index) => replica.waitApplied(index),
    onStatus: (listener) => replica.onStatus(listener),
  }
}
