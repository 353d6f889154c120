import { hostname } from 'node:os'
import type { Logger } from 'pino'
import type { Registry } from 'prom-client'
import type { ConsensusClient } from '../../consensus/client.ts'
import { systemClock } from '../../consensus/clock.ts'
import { systemTimers } from '../../discovery/health/timers.ts'
import { DockerEngine } from '../../providers/docker/docker-engine.ts'
import { type DockerReport, dockerReport } from '../../providers/docker/report.ts'
import { DockerRestarter } from '../../providers/docker/restarter.ts'
import { DockerRunOnce } from '../../providers/docker/run-once.ts'
import { DockerSource, forgetContainers } from '../../providers/docker/source.ts'
import type { ClusterEventLog } from '../cluster-events/event-log.ts'
import { suggest } from '../config/suggest.ts'
import type { Config } from '../config/types.ts'
import { ClusterRestartBrake } from '../restart-brake.ts'
import { ClusterRunOnceLeases } from '../run-once-leases.ts'
import type { Facts } from './facts.ts'
import type { Part } from './parts.ts'

/** The containers of this host as services of this node. */
export interface DockerParts {
  readonly source: Part
  /** Null when containers are not to be restarted. */
  readonly restarter: Part | null
  /** Null when containers are not to be started and stopped. */
  readonly runOnce: RunOnceParts | null
  /** Null when the source is off. */
  readonly report: (() => DockerReport) | null
}

/** Keeps one copy of a service running in the cluster. Its leases outlive it, so that they end when nothing runs any more. */
export interface RunOnceParts extends Part {
  readonly leases: ClusterRunOnceLeases
}

/** Builds the source. Where it is off, its part takes out of the catalogue what it put there when it was on. */
export function composeDocker(
  config: Config,
  { catalog, health, mesh, membership }: Pick<Facts, 'catalog' | 'health' | 'mesh' | 'membership'>,
  collaborators: {
    readonly logger: (part: string) => Logger
    readonly metrics: Registry
    readonly client: ConsensusClient
    readonly events: Pick<ClusterEventLog, 'add'>
  },
): DockerParts {
  const { logger, metrics, client, events } = collaborators
  const settings = config.providers.docker
  const { local } = catalog
  if (settings === null) {
    const forget: Part = {
      start: async () => forgetContainers({ local, health }),
      stop: async () => {},
    }
    return { source: forget, restarter: null, runOnce: null, report: null }
  }
  const engine = new DockerEngine({ address: settings.socket })
  const timers = systemTimers
  const log = logger('docker')
  const { name: node } = config.node
  const source = new DockerSource(
    {
      node,
      exposeByDefault: settings.exposeByDefault,
      mayRestart: settings.restart,
      mayRunOnce: settings.runOnce,
      routableNetworks: settings.routableNetworks,
      address: settings.address,
      suggest,
    },
    {
      engine,
      local,
      health,
      timers,
      random: Math.random,
      log,
      metrics,
    },
  )
  const restarter = new DockerRestarter(
    { hostname: hostname() },
    {
      source,
      engine,
      brake: new ClusterRestartBrake({ node }, { client }),
      timers,
      log,
      metrics: source.metrics,
      onEvent: (event, data) => events.add(event, { node, ...data }),
    },
  )
  const leases = new ClusterRunOnceLeases(
    { node, nodeId: mesh.id },
    { membership, status: () => client.status(), client, clock: systemClock, log },
  )
  const runner = new DockerRunOnce(
    { hostname: hostname() },
    {
      source,
      engine,
      leases,
      timers,
      log,
      metrics: source.metrics,
      onEvent: (event, data) => events.add(event, { node, ...data }),
    },
  )
  const runOnce: RunOnceParts = {
    leases,
    start: async () => {
      await leases.claims.start()
      await runner.start()
    },
    stop: async () => {
      await runner.stop()
      await leases.claims.stop()
    },
  }
  return {
    source,
    restarter: settings.restart ? restarter : null,
    runOnce: settings.runOnce ? runOnce : null,
    report: () =>
      dockerReport(source, settings.socket, timers.now(), (service) => ({
        holder: leases.holder(service),
        note: runner.note(service),
      })),
  }
}
