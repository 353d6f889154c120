import type { Logger } from 'pino'
import type { Registry } from 'prom-client'
import { systemTimers } from '../../discovery/health/timers.ts'
import { DockerEngine } from '../../providers/docker/docker-engine.ts'
import { type DockerReport, dockerReport } from '../../providers/docker/report.ts'
import { DockerSource, forgetContainers } from '../../providers/docker/source.ts'
import { suggest } from '../config/suggest.ts'
import type { Config } from '../config/types.ts'
import type { Facts } from './facts.ts'
import type { Part } from './parts.ts'

/** The containers of this host as services of this node. */
export interface DockerParts {
  readonly source: Part
  /** Null when the source is off. */
  readonly report: (() => DockerReport) | null
}

/** Builds the source. Where it is off, its part takes out of the catalogue what it put there when it was on. */
export function composeDocker(
  config: Config,
  { catalog, health }: Pick<Facts, 'catalog' | 'health'>,
  { logger, metrics }: { readonly logger: (part: string) => Logger; readonly metrics: Registry },
): DockerParts {
  const settings = config.providers.docker
  const { local } = catalog
  if (settings === null) {
    const forget: Part = {
      start: async () => forgetContainers({ local, health }),
      stop: async () => {},
    }
    return { source: forget, report: null }
  }
  const source = new DockerSource(
    {
      node: config.node.name,
      exposeByDefault: settings.exposeByDefault,
      mayRestart: settings.restart,
      routableNetworks: settings.routableNetworks,
      address: settings.address,
      suggest,
    },
    {
      engine: new DockerEngine({ address: settings.socket }),
      local,
      health,
      timers: systemTimers,
      random: Math.random,
      log: logger('docker'),
      metrics,
    },
  )
  return { source, report: () => dockerReport(source, settings.socket, systemTimers.now()) }
}
