import type { Logger } from 'pino'
import type { ConsensusClient } from '../../consensus/client.ts'
import { ClusterKeyring } from '../../discovery/keyring/cluster-keyring.ts'
import type { Facts } from './facts.ts'

/** Builds the keyring: a node of the Raft configuration counts when the keys change, whether it is listed as a member or not. */
export function composeKeyring(
  { ring, mesh, membership }: Pick<Facts, 'ring' | 'mesh' | 'membership'>,
  { client, log }: { readonly client: Pick<ConsensusClient, 'status'>; readonly log: Logger },
): ClusterKeyring {
  const belonging = () => {
    const ids = client.status().peers.map(({ id }) => id)
    return ids.length === 0 ? null : ids
  }
  return new ClusterKeyring({}, { store: ring, mesh, membership, belonging, log })
}
