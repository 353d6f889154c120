import { electionMutants } from './election.ts'
import { membershipMutants } from './membership.ts'
import type { Mutant } from './mutant.ts'
import { replicationMutants } from './replication.ts'
import { stateMutants } from './state.ts'
import { storageMutants } from './storage.ts'

/** Every bug that must be found. */
export const mutants: readonly Mutant[] = [
  ...electionMutants,
  ...replicationMutants,
  ...membershipMutants,
  ...storageMutants,
  ...stateMutants,
]

/** Found quickly enough for every run of the tests. */
export const quickMutants: readonly Mutant[] = mutants.filter(
  ({ foundBy }) => !('test' in foundBy ? foundBy.slow : foundBy.rare),
)
