import { engineName } from './docker-engine.ts'
import type { DockerProblem } from './problem.ts'
import { type DockerSource, STOPPING } from './source.ts'
import type { EngineAddress } from './types.ts'

/** The engine of a node and all its containers, for people and for what explains a missing service. */
export interface DockerReport {
  readonly engine: {
    /** Such as `/var/run/docker.sock`. */
    readonly address: string
    readonly connected: boolean
    /** `docker` or `podman`; null before the first answer. */
    readonly product: string | null
    readonly version: string | null
    /** Of the API both sides speak; "" = the engine's own newest. */
    readonly apiVersion: string | null
    /** Why it is not connected. */
    readonly error: string | null
    /** Since when it is connected or not. */
    readonly forMs: number
  }
  /** By name. */
  readonly containers: readonly ContainerReport[]
}

/** A container and what became of it. */
export interface ContainerReport {
  readonly id: string
  readonly name: string
  readonly state: string
  /** Of its HEALTHCHECK; null without one. */
  readonly health: string | null
  /** Name of the service it is a copy of; null if it is none. */
  readonly service: string | null
  /** Id of its instance in the catalogue; null if it has none. */
  readonly instance: string | null
  readonly status: string | null
  /** What the engine's check of it says; null if it has no instance. */
  readonly output: string | null
  /** Why it is in the catalogue or not. */
  readonly reason: string
  /** Set on a copy of a service of which one runs in the cluster. */
  readonly runOnce: {
    readonly service: string
    readonly holder: string | null
    readonly note: string | null
  } | null
  readonly problems: readonly DockerProblem[]
}

/** How it stands with a service of which one copy runs in the cluster: who holds its lease, and what this host makes of that. */
export type RunOnceStatus = (service: string) => {
  readonly holder: string | null
  readonly note: string | null
}

/** What the source knows at this moment. @param nowMs on the clock of its timers */
export function dockerReport(
  source: DockerSource,
  address: EngineAddress,
  nowMs: number,
  runOnceStatus: RunOnceStatus,
): DockerReport {
  const { connected, info, error, sinceMs } = source.standing
  return {
    engine: {
      address: engineName(address).replace(/^the engine at /, ''),
      connected,
      product: info?.product ?? null,
      version: info?.version ?? null,
      apiVersion: info?.apiVersion ?? null,
      error: error?.message ?? null,
      forMs: Math.max(0, Math.round(nowMs - sinceMs)),
    },
    containers: source.fates().map(({ translation, instance, problems, stopping }) => {
      const { container, service, reason, status, output, runOnce } = translation
      return {
        id: container.id,
        name: container.name,
        state: stopping ? 'stopping' : container.state,
        health: container.health?.status ?? null,
        service: service?.name ?? null,
        instance,
        status: instance === null ? null : stopping ? STOPPING.status : status,
        output: instance === null ? null : stopping ? STOPPING.output : output,
        reason: service !== null && instance === null ? 'the catalogue does not take it' : reason,
        runOnce: runOnce === null ? null : { service: runOnce, ...runOnceStatus(runOnce) },
        problems,
      }
    }),
  }
}
