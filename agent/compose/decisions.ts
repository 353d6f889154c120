import { join } from 'node:path'
import type { Logger } from 'pino'
import type { Registry } from 'prom-client'
import { systemClock } from '../../consensus/clock.ts'
import { FeedMetrics } from '../../consensus/feed-metrics.ts'
import { LeaseKeeper } from '../../consensus/leases.ts'
import { ReplicaMetrics } from '../../consensus/metrics.ts'
import { ConsensusNode } from '../../consensus/node.ts'
import { LevelStore } from '../../consensus/storage/level-store.ts'
import type { Config } from '../config/types.ts'
import { meshTransport } from '../consensus-transport.ts'
import { leaseRank, mayHoldLeases } from '../lease-standing.ts'
import { peerDirectory } from '../member-meta.ts'
import type { Facts } from './facts.ts'

/** Leases the cluster always has a holder for. */
const LEASES = ['dns_writer', 'lb_leader']

/** The parts that agree with the other nodes. None is started. */
export interface Decisions {
  readonly consensus: ConsensusNode
  readonly leases: LeaseKeeper
}

/** Builds them, and wires what membership and mesh know of lost peers into the elections. */
export function composeDecisions(
  config: Config,
  { mesh, membership }: Pick<Facts, 'mesh' | 'membership'>,
  collaborators: {
    readonly logger: (part: string) => Logger
    readonly metrics: Registry
    /** Storage failed or an invariant broke: the process must end. */
    readonly onFatal: (error: Error) => void
  },
): Decisions {
  const { cluster } = config
  const { logger, metrics, onFatal } = collaborators
  const consensus = new ConsensusNode(
    {
      nodeId: mesh.id,
      bootstrapExpect: cluster.bootstrapExpect,
      votersTarget: cluster.voters,
      leaseReads: cluster.leaseReads,
      learnersMax: cluster.learners,
      deadVoterGraceMs: cluster.deadVoterGraceMs,
      deadLearnerGraceMs: cluster.deadLearnerGraceMs,
    },
    {
      store: new LevelStore(join(config.dataDir, 'raft')),
      transport: meshTransport(mesh),
      directory: peerDirectory(membership),
      log: logger('consensus'),
      clock: systemClock,
      random: Math.random,
      metrics: new ReplicaMetrics(metrics),
      feedMetrics: new FeedMetrics(metrics),
      onFatal,
    },
  )
  const { client } = consensus
  // A failed or disconnected leader is reason to look for a new one at once; discovery and consensus do not know each other.
  mesh.onPeer((event) => {
    if (event.type === 'disconnected' && event.parted !== true) consensus.peerLost(event.peer)
  })
  membership.onChange((member) => {
    if (member.status === 'failed' || member.status === 'left') consensus.peerLost(member.id)
  })
  const standing = { membership, status: () => client.status() }
  const leases = new LeaseKeeper(
    {
      node: config.node.name,
      names: LEASES,
      rank: () => leaseRank(standing),
      mayHold: () => mayHoldLeases(standing),
    },
    { client, clock: systemClock, log: logger('leases') },
  )
  return { consensus, leases }
}
