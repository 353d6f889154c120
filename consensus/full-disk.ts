import type { Logger } from 'pino'
import { outcomeUnknown } from './errors.ts'
import type { ReplicaMetrics } from './metrics.ts'
import type { Proposals } from './proposals.ts'
import type { Raft } from './raft/raft.ts'
import type { PatientStoreListeners } from './storage/patient-store.ts'

/** Whom a full disk concerns. `raft`: null until this node belongs to a cluster. */
export interface FullDiskCollaborators {
  readonly raft: () => Raft | null
  readonly proposals: Pick<Proposals, 'rejectQueued' | 'rejectPending'>
  readonly noticeStatus: () => void
  readonly metrics: ReplicaMetrics | null
  readonly log: Logger
}

/**
 * What a node does about its full disk: another takes over, if there is one. What waits for this disk may be written when
 * there is room again.
 */
export function yieldToFullDisk(collaborators: FullDiskCollaborators): PatientStoreListeners {
  const { proposals, noticeStatus, metrics, log } = collaborators
  return {
    full: (error) => {
      log.error(`${error.message}; this node takes no writes until then`)
      const raft = collaborators.raft()
      if (raft !== null) {
        raft.canCampaign = false
        raft.stepDown()
      }
      proposals.rejectQueued(error)
      proposals.rejectPending(outcomeUnknown(error))
      metrics?.diskFull(true)
      noticeStatus()
    },
    recovered: () => {
      log.info('there is room on the disk again; this node takes writes')
      // The leader may hand over at once, and asks only once: the next tick, which looks at this anew, would be too late.
      const raft = collaborators.raft()
      if (raft !== null) raft.canCampaign = true
      metrics?.diskFull(false)
      noticeStatus()
    },
  }
}
