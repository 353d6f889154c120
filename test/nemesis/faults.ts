import type { Fault } from './fault.ts'
import { CLUSTER_FAULTS } from './faults-cluster.ts'
import { LEASE_FAULTS } from './faults-lease.ts'
import { NETWORK_FAULTS } from './faults-network.ts'
import { PROCESS_FAULTS } from './faults-process.ts'

/** Every fault there is. */
export const FAULTS: readonly Fault[] = [
  ...PROCESS_FAULTS,
  ...NETWORK_FAULTS,
  ...LEASE_FAULTS,
  ...CLUSTER_FAULTS,
]
