import type { Container } from '../docker/container.ts'
import type { ComposePort } from './ports.ts'
import type { ComposeProject } from './project.ts'
import { type ComposeService, readService } from './service.ts'

/** A service of a Compose file and the first container Compose would make of it. */
export interface PlannedContainer {
  readonly service: ComposeService
  readonly container: Container
}

/** Stands for the port Docker would choose at the start: the first of those it chooses from. */
export const CHOSEN_PORT = 32_768

/** The containers of a project as the engine would tell of them, running; by the name of their service. */
export function plannedContainers(project: ComposeProject): ReadonlyMap<string, PlannedContainer> {
  const planned = [...project.services].map(([name, tree], index) => {
    const service = readService(name, tree)
    return [name, { service, container: containerOf(service, project, index) }] as const
  })
  return new Map(planned)
}

function containerOf(service: ComposeService, project: ComposeProject, index: number): Container {
  const { name, ports } = service
  const [, shared] = /^service:(.+)$/.exec(service.networkMode) ?? []
  const networks =
    service.networkMode === '' ? (service.networks.length > 0 ? service.networks : ['default']) : []
  const exposed = [
    ...ports.map(({ target, protocol }) => ({ port: target, protocol })),
    ...service.exposed.map((port) => ({ port, protocol: 'tcp' as const })),
  ]
  const distinct = new Map(exposed.map((port) => [`${port.port}/${port.protocol}`, port]))
  return {
    id: name,
    name: service.containerName === '' ? `${project.name}-${name}-1` : service.containerName,
    state: 'running',
    exitCode: 0,
    startedAt: '',
    health:
      service.healthTest === null || service.healthTest.length === 0
        ? null
        : { status: 'healthy', failingStreak: 0, output: '' },
    labels: {
      ...Object.fromEntries([...service.labels].map(([label, { value }]) => [label, value])),
      'com.docker.compose.project': project.name,
      'com.docker.compose.service': name,
      'com.docker.compose.container-number': '1',
    },
    ports: [...distinct.values()].sort((a, b) => a.port - b.port || (a.protocol < b.protocol ? -1 : 1)),
    bindings: ports.map(bindingOf),
    networkMode: shared === undefined ? service.networkMode : `container:${shared}`,
    networks: networks.map((key) => ({
      name: project.networks.get(key) ?? `${project.name}_${key}`,
      // Of the block for documentation (RFC 5737): nobody knows the real one before the start.
      ipv4: `192.0.2.${(index % 250) + 2}`,
      ipv6: '',
    })),
    restartPolicy: service.restart.split(':')[0] || 'no',
    stopTimeoutSeconds: null,
    restartCount: 0,
  }
}

function bindingOf({ target, protocol, hostIp, published }: ComposePort): Container['bindings'][number] {
  return { port: target, protocol, hostIp, hostPort: published ?? CHOSEN_PORT }
}
