import type { CatalogInstance, Endpoint, ServiceInstance } from '../../discovery/catalog/types.ts'
import type { DockerProblem } from '../docker/problem.ts'
import { type Translation, translate } from '../docker/translate.ts'
import { isObject, type JsonObject } from '../traefik/json.ts'
import type { TraefikProblem } from '../traefik/problem.ts'
import { type RenderOptions, renderTraefik } from '../traefik/render.ts'
import { type PlannedContainer, plannedContainers } from './containers.ts'
import type { Finding, Severity } from './finding.ts'
import type { ComposeProject } from './project.ts'
import type { ComposeService } from './service.ts'
import { projectFindings, stackFindings } from './stack-findings.ts'

/** What decides what is published, and on which host the stack is thought to run. */
export interface LintOptions {
  readonly node: string
  /** Where others reach that host. */
  readonly address: string
  readonly exposeByDefault: boolean
  readonly routableNetworks: ReadonlySet<string>
  readonly mayRestart: boolean
  readonly mayRunOnce: boolean
  /** Null where no document for Traefik is served. */
  readonly traefik: RenderOptions | null
  /** The candidate that a misspelt label was probably meant to be. */
  readonly suggest?: (word: string, candidates: readonly string[]) => string | null
}

/** A router Traefik would get. */
export interface PlannedRoute {
  readonly protocol: string
  readonly router: string
  readonly rule: string
  readonly entryPoints: readonly string[]
  readonly service: string
}

/** What would become of one service of a Compose file. */
export interface LintedService {
  readonly name: string
  /** As the files say it. */
  readonly planned: ComposeService
  readonly where: string
  /** Where others reach the host it runs on. */
  readonly address: string
  readonly replicas: number
  /** Its name in the catalogue; null if it would not be there. */
  readonly service: string | null
  /** Why it would be there or not. */
  readonly reason: string
  readonly endpoints: readonly Endpoint[]
  readonly routes: readonly PlannedRoute[]
  readonly instance: ServiceInstance | null
}

/** What a stack would publish, and what is wrong with it. */
export interface LintReport {
  readonly project: string
  readonly services: readonly LintedService[]
  /** In the order of the files. */
  readonly findings: readonly Finding[]
}

const DOCKER_SEVERITY: Readonly<Record<DockerProblem['code'], Severity>> = {
  unknown: 'error',
  value: 'error',
  refused: 'error',
  unreachable: 'error',
  unused: 'warning',
  policy: 'warning',
}

/** Problems of the document that may be answered by what another stack or file of Traefik defines. */
const MAYBE: ReadonlySet<string> = new Set(['reference', 'unused', 'version'])

/**
 * Says what the Docker source and the view for Traefik would make of a stack on one host: the same rules, on containers as Compose
 * would make them. What the images say (EXPOSE, HEALTHCHECK) is not known.
 */
export function lintProject(project: ComposeProject, options: LintOptions): LintReport {
  const planned = plannedContainers(project)
  const all = [...planned.values()]
  const findings: Finding[] = [
    ...projectFindings(
      project,
      all.map(({ service }) => service),
    ),
  ]
  const instances = new Map<string, ServiceInstance>()
  const translations = new Map<string, Translation>()
  for (const each of all) {
    const { service } = each
    findings.push(...stackFindings(service))
    const translation = translate(each.container, {
      nodeAddress: options.address,
      routableNetworks: options.routableNetworks,
      lookUp: (id) => planned.get(id)?.container,
      exposeByDefault: options.exposeByDefault,
      mayRestart: options.mayRestart,
      mayRunOnce: options.mayRunOnce,
      ...(options.suggest === undefined ? {} : { suggest: options.suggest }),
    })
    translations.set(service.name, translation)
    findings.push(...dockerFindings(each, translation))
    if (translation.service === null) continue
    instances.set(service.name, { ...translation.service, id: `${translation.service.name}@${options.node}` })
  }
  const { traefik } = options
  if (traefik !== null) {
    for (const found of renderTraefik(catalogOf([...instances.values()], options), traefik).problems) {
      findings.push(traefikFinding(found, instances, planned))
    }
  }
  const services = all.map(({ service }): LintedService => {
    const instance = instances.get(service.name) ?? null
    return {
      name: service.name,
      planned: service,
      where: service.where,
      address: options.address,
      replicas: service.replicas,
      service: instance?.name ?? null,
      reason: translations.get(service.name)?.reason ?? '',
      endpoints: instance?.endpoints ?? [],
      routes: instance === null || traefik === null ? [] : routesOf(instance, options, traefik),
      instance,
    }
  })
  return { project: project.name, services, findings: findings.sort(byPlace) }
}

function dockerFindings({ service }: PlannedContainer, { service: made, problems }: Translation): Finding[] {
  const found = problems.map(({ code, about, message }): Finding => {
    // A port that is not the main one may well be for its neighbours only.
    const isSide = code === 'unreachable' && about !== made?.endpoints?.[0]?.name
    return {
      severity: isSide ? 'note' : DOCKER_SEVERITY[code],
      where: whereOf(service, about),
      service: service.name,
      message,
    }
  })
  if (made !== null && (made.endpoints ?? []).length === 0) {
    const message =
      'no port is known: publish one with ports, or name one with constellation.port if the image exposes it'
    found.push({ severity: 'warning', where: service.where, service: service.name, message })
  }
  return found
}

function traefikFinding(
  { code, instance, label, message }: TraefikProblem,
  instances: ReadonlyMap<string, ServiceInstance>,
  planned: ReadonlyMap<string, PlannedContainer>,
): Finding {
  const name = [...instances].find(([, { id }]) => id === instance)?.[0] ?? ''
  const service = planned.get(name)?.service
  return {
    severity: MAYBE.has(code) ? 'warning' : 'error',
    where: service === undefined ? '' : whereOf(service, label),
    service: name,
    message: message.replace(/^service "[^"]*" on node "[^"]*": /, ''),
  }
}

/** The line of a label, or of the label that comes nearest: problems also name objects, whose labels begin like them. */
function whereOf(service: PlannedContainer['service'], about: string): string {
  const lower = about.toLowerCase()
  const labels = [...service.labels]
  const exact = labels.find(([label]) => label.toLowerCase() === lower)
  const inner = labels.find(([label]) => label.toLowerCase().startsWith(`${lower}.`))
  const port = service.ports.find(({ target, protocol }) => `${target}/${protocol}` === lower)
  return (exact ?? inner)?.[1].where ?? port?.where ?? service.where
}

function routesOf(instance: ServiceInstance, options: LintOptions, traefik: RenderOptions): PlannedRoute[] {
  const document = JSON.parse(renderTraefik(catalogOf([instance], options), traefik).body) as JsonObject
  return Object.entries(document).flatMap(([protocol, kinds]) => {
    const routers = isObject(kinds) && isObject(kinds.routers) ? kinds.routers : {}
    return Object.entries(routers).map(([router, value]) => {
      const fields = isObject(value) ? value : {}
      return {
        protocol,
        router,
        rule: String(fields.rule ?? ''),
        entryPoints: Array.isArray(fields.entryPoints) ? fields.entryPoints.map(String) : [],
        service: String(fields.service ?? ''),
      }
    })
  })
}

/** A catalogue of one healthy host with these instances. */
function catalogOf(instances: readonly ServiceInstance[], { node, address }: LintOptions) {
  const record = {
    id: node,
    name: node,
    address,
    version: { incarnation: 1, sequence: 1 },
    meta: {},
    services: new Map(),
    checks: new Map(),
  }
  const indexed = { createIndex: 1, modifyIndex: 1 }
  const on = { ...indexed, record, alive: true, cordoned: false }
  const byName = Map.groupBy(
    instances.map(
      (service): CatalogInstance => ({ ...indexed, node: on, service, checks: [], status: 'passing' }),
    ),
    ({ service }) => service.name,
  )
  return {
    services: () => new Map([...byName.keys()].sort().map((name) => [name, [] as const])),
    instances: (name: string) => byName.get(name) ?? [],
  }
}

function byPlace(a: Finding, b: Finding): number {
  const [fileA = '', lineA = '0'] = a.where.split(/:(?=\d+$)/)
  const [fileB = '', lineB = '0'] = b.where.split(/:(?=\d+$)/)
  return fileA < fileB ? -1 : fileA > fileB ? 1 : Number(lineA) - Number(lineB)
}
