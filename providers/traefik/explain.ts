import type { CatalogInstance } from '../../discovery/catalog/types.ts'
import type { Contribution } from './instance.ts'
import { isObject, type JsonObject } from './json.ts'
import { isConfigLabel } from './labels.ts'
import { isPlacementLabel } from './placement.ts'
import type { TraefikProblem } from './problem.ts'
import type { Rendered } from './render.ts'

/** What became of one label. */
export interface ExplainedLabel {
  readonly label: string
  /** `used`: it shapes the document. `elsewhere`: what it says comes from another instance. `left out`: see `why`. `ignored`: not for this view. */
  readonly fate: 'used' | 'elsewhere' | 'left out' | 'ignored'
  readonly why: string | null
}

/** What became of one instance. */
export interface ExplainedInstance {
  readonly service: string
  readonly node: string
  readonly instance: string
  /** Name of the container or file it was read from; null if it was registered. */
  readonly source: string | null
  /** Whether a server of it is in the document. */
  readonly inDocument: boolean
  /** Why not; null if it is. */
  readonly why: string | null
  /** Its servers, by load balancer such as "http.services.web". */
  readonly servers: Readonly<Record<string, readonly string[]>>
  /** Routers that lead to it. */
  readonly routers: readonly string[]
  readonly labels: readonly ExplainedLabel[]
  readonly problems: readonly TraefikProblem[]
}

/** For every instance of a service, and each label of it, why it is or is not in the document. */
export function explainService(rendered: Rendered, service: string): readonly ExplainedInstance[] {
  return rendered.trace.contributions
    .filter(({ instance }) => instance.service.name === service)
    .map((contribution) => explainInstance(rendered, contribution))
    .toSorted((a, b) => (a.node === b.node ? (a.instance < b.instance ? -1 : 1) : a.node < b.node ? -1 : 1))
}

function explainInstance(rendered: Rendered, contribution: Contribution): ExplainedInstance {
  const { instance, excluded, servers, labels } = contribution
  const { node, service } = instance
  const problems = rendered.problems.filter((each) => isAbout(each, instance))
  const addresses = Object.fromEntries(
    [...servers].map(([key, list]) => [key, list.map(({ url, address }) => String(url ?? address))]),
  )
  const count = Object.values(addresses).flat().length
  return {
    service: service.name,
    node: node.record.name,
    instance: service.id,
    source: service.source === undefined ? null : service.source.name,
    inDocument: excluded === null && count > 0,
    why: excluded ?? (count > 0 ? null : whyNoServer(problems)),
    servers: addresses,
    routers: routersTo(rendered.trace.document, [...servers.keys()]),
    labels: [...labels.keys()].map((label) => explainLabel(rendered, contribution, label, problems)),
    problems,
  }
}

function whyNoServer(problems: readonly TraefikProblem[]): string {
  const unreachable = problems.find(({ code }) => code === 'unreachable')
  return unreachable === undefined
    ? 'its labels declare no load balancer it could be a server of'
    : sentence(unreachable)
}

function explainLabel(
  rendered: Rendered,
  contribution: Contribution,
  label: string,
  problems: readonly TraefikProblem[],
): ExplainedLabel {
  const refused = problems.find(({ code }) => code === 'label')
  if (refused !== undefined) {
    return {
      label,
      fate: 'left out',
      why: refused.label === label ? sentence(refused) : `${refused.label} has a mistake`,
    }
  }
  if (contribution.excluded === 'it is not exposed') {
    const why = /^traefik\.enable$/i.test(label)
      ? 'it says that the instance is not exposed'
      : contribution.excluded
    return { label, fate: 'left out', why }
  }
  const lower = label.toLowerCase()
  const own = problems.find((each) => each.label.toLowerCase() === lower)
  if (own !== undefined) return { label, fate: 'left out', why: sentence(own) }
  if (!isConfigLabel(label)) {
    const used = lower === 'traefik.enable' || isPlacementLabel(label)
    return { label, fate: used ? 'used' : 'ignored', why: null }
  }
  const [, section = '', kind = '', name = ''] = label.split('.')
  const key = ownKey(contribution.config, section, kind, name)
  const about = problems.find((each) => key !== null && each.label === `traefik.${key}`)
  if (about?.code === 'conflict') return { label, fate: 'elsewhere', why: sentence(about) }
  if (about !== undefined)
    return { label, fate: about.code === 'reference' ? 'used' : 'left out', why: sentence(about) }
  const owner = key === null ? undefined : rendered.trace.merged.get(key)?.owner
  if (owner === undefined || owner === contribution) return { label, fate: 'used', why: null }
  const where = `${JSON.stringify(owner.instance.service.id)} on node ${JSON.stringify(owner.instance.node.record.name)}`
  return { label, fate: 'used', why: `together with ${where}, which says the same` }
}

/** "section.kind.name" as the instance has it: labels are without regard to case. */
function ownKey(config: JsonObject, section: string, kind: string, name: string): string | null {
  const path: string[] = []
  let at: JsonObject = config
  for (const part of [section, kind, name]) {
    const found = Object.keys(at).find((each) => each.toLowerCase() === part.toLowerCase())
    const next = found === undefined ? undefined : at[found]
    if (found === undefined || !isObject(next)) return null
    path.push(found)
    at = next
  }
  return path.join('.')
}

function routersTo(document: JsonObject, balancers: readonly string[]): readonly string[] {
  const wanted = new Set(balancers)
  return Object.entries(document).flatMap(([section, kinds]) => {
    const routers = isObject(kinds) && isObject(kinds.routers) ? kinds.routers : {}
    return Object.entries(routers).flatMap(([name, router]) => {
      const service = isObject(router) ? String(router.service ?? '') : ''
      return wanted.has(`${section}.services.${service}`) ? [`${section}.routers.${name}`] : []
    })
  })
}

/** The message without who it is about. */
function sentence({ message, label }: TraefikProblem): string {
  const at = message.indexOf(`: ${label} `)
  return at === -1 ? message : message.slice(at + label.length + 3)
}

function isAbout(problem: TraefikProblem, { service, node }: CatalogInstance): boolean {
  return (
    problem.instance === service.id && problem.node === node.record.name && problem.service === service.name
  )
}
