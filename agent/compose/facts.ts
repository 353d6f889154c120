import type { Logger } from 'pino'
import type { Registry } from 'prom-client'
import { GossipCatalog } from '../../discovery/catalog/gossip-catalog.ts'
import { GossipEvents } from '../../discovery/events/gossip-events.ts'
import { ResultStore } from '../../discovery/health/result-store.ts'
import { CheckRunner } from '../../discovery/health/runner.ts'
import { RingStore } from '../../discovery/keyring/ring-store.ts'
import { SwimMembership } from '../../discovery/membership/swim-membership.ts'
import { readClusterKey } from '../../discovery/mesh/cluster-key.ts'
import { Libp2pMesh } from '../../discovery/mesh/libp2p-mesh.ts'
import { resultBeforeFirstLook } from '../../providers/docker/checks.ts'
import { formatHostPort } from '../config/host-port.ts'
import type { Config } from '../config/types.ts'
import { SelfDescription } from './self-description.ts'

/** The parts that know who is there and what runs where. None is started. */
export interface Facts {
  readonly self: SelfDescription
  readonly ring: RingStore
  readonly mesh: Libp2pMesh
  readonly membership: SwimMembership
  readonly catalog: GossipCatalog
  readonly health: CheckRunner
  readonly events: GossipEvents
}

/** Builds them. @throws MeshError, KeyringError, CatalogError and others, all with a sentence for the operator. */
export async function composeFacts(
  config: Config,
  { logger, metrics }: { readonly logger: (part: string) => Logger; readonly metrics: Registry },
): Promise<Facts> {
  const { dataDir, cluster, node } = config
  const fileKey = cluster.keyFile === null ? null : await readClusterKey(cluster.keyFile)
  const ring = await RingStore.open({ dataDir, fileKey }, { log: logger('keyring') })
  const { connectionsMax, onDemandMax } = config.mesh
  const mesh = await Libp2pMesh.create(
    {
      dataDir,
      clusterName: cluster.name,
      keys: ring.keys(),
      listen: config.mesh.listen,
      advertise: config.mesh.advertise,
      limits: { connectionsMax, onDemandMax },
    },
    { log: logger('mesh'), metrics },
  )
  const self = new SelfDescription(config, { ring })
  const membership = new SwimMembership(
    {
      name: node.name,
      meta: self.meta({ clusterId: null }),
      dataDir,
      join: cluster.join.map(formatHostPort),
      timings: { connectionsMax },
    },
    { mesh, log: logger('membership'), metrics },
  )
  const results = new ResultStore({ dataDir }, { log: logger('health') })
  await results.load()
  const catalog = new GossipCatalog(
    { name: node.name, address: mesh.advertise, meta: node.meta, dataDir },
    {
      mesh,
      membership,
      log: logger('catalog'),
      metrics,
      lastResult: (id) => results.get(id) ?? resultBeforeFirstLook(id),
    },
  )
  const { local, store } = catalog
  const { dockerSocket, scripts } = config.checks
  const health = new CheckRunner(
    { dataDir, dockerSocket, scripts: scripts === 'on' },
    { local, catalog: store, results, log: logger('health'), metrics },
  )
  const events = new GossipEvents({ mesh, local, log: logger('events'), metrics })
  return { self, ring, mesh, membership, catalog, health, events }
}
