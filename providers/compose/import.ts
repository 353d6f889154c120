import { Document, type YAMLMap } from 'yaml'
import type { Endpoint, ServiceInstance } from '../../discovery/catalog/types.ts'
import { outsideCheck } from './health-test.ts'
import type { LintedService, LintReport } from './lint.ts'
import type { ComposeService } from './service.ts'

/** Definitions for a watched folder, and what of the stack could not be taken over. */
export interface ImportedServices {
  /** A file in YAML. */
  readonly yaml: string
  /** Names of the definitions. */
  readonly names: readonly string[]
  /** A sentence for each service that is left out, and for each part of one that is not as it was. */
  readonly notes: readonly string[]
}

interface CheckDefinition {
  readonly name: string
  readonly http?: string
  readonly tcp?: string
  readonly interval: string
  readonly timeout: string
}

interface Definition {
  readonly name: string
  readonly id: string
  readonly port: number
  readonly address?: string
  readonly tags?: readonly string[]
  readonly meta?: Readonly<Record<string, string>>
  readonly labels?: Readonly<Record<string, string>>
  readonly checks?: readonly CheckDefinition[]
}

const SERVER_PORT =
  /^traefik\.(?:http|tcp|udp)\.services\.[^.]+\.loadbalancer\.(?:server|servers\[0\])\.port$/i
/** What the Docker source acts on; in a file it would say nothing. */
const SOURCE_ONLY =
  /^constellation\.(enable|service|port|address|network|tags|meta\..+|check\..+|restart(\..+)?|run-once)$/i

/**
 * Service definitions of a stack for a host whose agent does not watch the engine. Ports of containers become those of the host
 * in labels of Traefik too; a health check that looks at a port from inside becomes one that looks from outside.
 */
export function importProject(report: LintReport): ImportedServices {
  const notes: string[] = []
  const definitions: { readonly definition: Definition; readonly where: string }[] = []
  for (const linted of report.services) {
    const definition = definitionOf(linted, notes)
    if (definition !== null) definitions.push({ definition, where: linted.where })
  }
  const document = new Document({ services: definitions.map(({ definition }) => definition) })
  document.commentBefore = ` Services of the Compose project ${report.project}.`
  const list = document.get('services') as { items: YAMLMap[] } | undefined
  definitions.forEach(({ where }, index) => {
    const item = list?.items[index]
    if (item !== undefined) item.commentBefore = ` ${where}`
  })
  return {
    yaml: document.toString({ lineWidth: 0 }),
    names: definitions.map(({ definition }) => definition.name),
    notes,
  }
}

function definitionOf(linted: LintedService, notes: string[]): Definition | null {
  const { instance, name, planned: service } = linted
  const leaveOut = (why: string) => {
    notes.push(`${name} is left out: ${why}`)
    return null
  }
  if (instance === null) return leaveOut(linted.reason)
  const [main] = instance.endpoints ?? []
  if (main === undefined) return leaveOut('no port of it is published')
  if (main.problem !== undefined) return leaveOut(main.problem)
  const chosen = service.ports.find(({ target, published, publishedLast }) => {
    return target === main.containerPort && (published === null || published !== publishedLast)
  })
  if (chosen !== undefined) {
    return leaveOut(
      `Docker chooses its port ${main.containerPort} at each start: publish it on one of your choice`,
    )
  }
  if (service.replicas > 1) notes.push(`${name} has ${service.replicas} copies, of which one is taken over`)
  const labels = labelsOf(instance, name, notes)
  const checks = checksOf(service, instance.endpoints ?? [], main, notes)
  return {
    name: instance.name,
    id: instance.name,
    port: main.port,
    ...(main.address === '' || main.address === linted.address ? {} : { address: main.address }),
    ...(instance.tags.length === 0 ? {} : { tags: instance.tags }),
    ...(Object.keys(instance.meta).length === 0 ? {} : { meta: instance.meta }),
    ...(Object.keys(labels).length === 0 ? {} : { labels }),
    ...(checks.length === 0 ? {} : { checks }),
  }
}

function labelsOf(instance: ServiceInstance, name: string, notes: string[]): Record<string, string> {
  const labels: Record<string, string> = {}
  for (const [label, value] of Object.entries(instance.labels ?? {})) {
    if (SOURCE_ONLY.test(label)) continue
    if (!SERVER_PORT.test(label)) {
      labels[label] = value
      continue
    }
    const endpoint = instance.endpoints?.find(({ containerPort }) => String(containerPort) === value.trim())
    if (endpoint !== undefined && endpoint.problem === undefined) labels[label] = String(endpoint.port)
    else notes.push(`${name}: ${label}=${value} is left out: ${endpoint?.problem ?? 'there is no such port'}`)
  }
  return labels
}

function checksOf(
  service: ComposeService,
  endpoints: readonly Endpoint[],
  main: Endpoint,
  notes: string[],
): readonly CheckDefinition[] {
  const { healthTest } = service
  const times = { interval: service.healthInterval || '30s', timeout: service.healthTimeout || '10s' }
  const tcp = (port: number): CheckDefinition => ({
    name: `port ${port} answers`,
    tcp: `127.0.0.1:${port}`,
    ...times,
  })
  if (healthTest?.length === 0 || main.protocol !== 'tcp') return []
  if (healthTest === null) return [tcp(main.port)]
  const wish = outsideCheck(healthTest)
  const endpoint = endpoints.find(
    ({ containerPort, protocol }) => containerPort === wish?.port && protocol === 'tcp',
  )
  if (wish === null || endpoint === undefined || endpoint.problem !== undefined) {
    notes.push(
      `${service.name}: its health check (${healthTest.slice(1).join(' ')}) cannot be run from outside; port ${main.port} is checked instead`,
    )
    return [tcp(main.port)]
  }
  if (wish.kind === 'tcp') return [tcp(endpoint.port)]
  const url = `${wish.scheme}://127.0.0.1:${endpoint.port}${wish.path}`
  return [{ name: `${wish.path} answers`, http: url, ...times }]
}
