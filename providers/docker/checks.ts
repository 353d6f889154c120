import type { CheckStatus, HealthCheck, ServiceInstance } from '../../discovery/catalog/types.ts'
import { formatGoDuration } from '../../discovery/health/duration.ts'
import { OUTPUT_CHARS_MAX } from '../../discovery/health/probe.ts'
import type { CheckDefinition, CheckKind } from '../../discovery/health/types.ts'
import type { ProbeTarget } from './translate.ts'

const ENGINE = 'docker:'
const PROBE = 'docker-check:'
const PORT = 'docker-port:'
/** How the port of a container is watched while nobody else says how it is. */
const PORT_CHECK = { intervalMs: 5_000, timeoutMs: 2_000, failures: 1 }

/** What the engine says of an instance, as a check of the catalogue. */
export function engineCheck(
  service: Pick<ServiceInstance, 'id' | 'source'>,
  result: { readonly status: CheckStatus; readonly output: string },
): HealthCheck {
  return {
    id: ENGINE + service.id,
    name: `Container ${service.source?.name ?? ''}`.slice(0, 255),
    status: result.status,
    notes: '',
    output: result.output.slice(0, OUTPUT_CHARS_MAX),
    serviceId: service.id,
    type: 'docker',
    interval: '',
    timeout: '',
  }
}

/** Id of the check that holds what the engine says of an instance. */
export function engineCheckId(instance: string): string {
  return ENGINE + instance
}

/** Id of the check that the labels of an instance ask for. */
export function probeId(instance: string): string {
  return PROBE + instance
}

/** Id of the check that watches the port of an instance while the engine is away. */
export function portProbeId(instance: string): string {
  return PORT + instance
}

/**
 * What stands for the word of the engine between the start of the agent and the first answer: traffic still flows, as nothing is
 * known to be wrong. Undefined for a check that is none of the source's.
 */
export function resultBeforeFirstLook(
  checkId: string,
): { readonly status: CheckStatus; readonly output: string } | undefined {
  if (!checkId.startsWith(ENGINE)) return undefined
  return { status: 'warning', output: 'the engine has not been asked since the agent started' }
}

/** The check that the labels of a container ask for. */
export function probeDefinition(
  instance: string,
  target: ProbeTarget,
  initial: CheckStatus,
): CheckDefinition {
  return definition(probeId(instance), instance, target, kindOf(target), initial)
}

/** A look at the port of an instance while the engine is away: the container may well run on. */
export function portProbeDefinition({ id, address, port }: ServiceInstance): CheckDefinition {
  const kind = kindOf({ kind: 'tcp', target: '', scheme: 'http', address, hostPort: port })
  return definition(portProbeId(id), id, PORT_CHECK, kind, 'passing')
}

function definition(
  id: string,
  instance: string,
  timing: { readonly intervalMs: number; readonly timeoutMs: number; readonly failures: number },
  kind: CheckKind,
  initialStatus: CheckStatus,
): CheckDefinition {
  const { intervalMs, timeoutMs, failures } = timing
  return {
    id,
    name: `${kind.type.toUpperCase()} check of ${instance}`.slice(0, 255),
    notes: '',
    serviceId: instance,
    initialStatus,
    kind,
    intervalMs,
    timeoutMs,
    intervalText: formatGoDuration(intervalMs),
    timeoutText: formatGoDuration(timeoutMs),
    thresholds: { successBeforePassing: 0, failuresBeforeWarning: 0, failuresBeforeCritical: failures },
    deregisterAfterMs: 0,
    outputMax: OUTPUT_CHARS_MAX,
  }
}

function kindOf({
  kind,
  target,
  scheme,
  address,
  hostPort,
}: Pick<ProbeTarget, 'kind' | 'target' | 'scheme' | 'address' | 'hostPort'>): CheckKind {
  const host = address.includes(':') ? `[${address}]:${hostPort}` : `${address}:${hostPort}`
  const useTls = scheme === 'https'
  // The certificate of a container is for its name, not for the address of its host.
  const tls = { tlsSkipVerify: true, tlsServerName: '' }
  switch (kind) {
    case 'http':
      return {
        type: 'http',
        url: `${scheme}://${host}${target}`,
        method: 'GET',
        headers: {},
        body: '',
        // A redirect could lead the agent anywhere.
        disableRedirects: true,
        ...tls,
      }
    case 'grpc':
      return { type: 'grpc', target: target === '' ? host : `${host}/${target}`, useTls, ...tls }
    case 'tcp':
      return { type: 'tcp', address: host, useTls, ...tls }
  }
}
