import type { CatalogInstance } from '../../discovery/catalog/types.ts'
import { LabelError } from './errors.ts'
import { childObject, isObject, type JsonObject, newObject } from './json.ts'
import { isConfigLabel, isTraefikLabel, type Labels, parseLabels } from './labels.ts'
import { labelsOf, type Placement, placementOf } from './placement.ts'
import { problem, type TraefikProblem } from './problem.ts'
import { parseBool } from './scalars.ts'
import { NEWEST_RELEASE } from './schema.ts'
import { isOlder } from './schema-node.ts'
import { fillServers, hasPort, type Protocol } from './servers.ts'

/** An object of the dynamic configuration, as one instance declares it. */
export interface Declared {
  /** "section.kind.name", such as "http.routers.web". */
  readonly key: string
  readonly section: string
  readonly kind: string
  readonly name: string
  readonly value: JsonObject
}

/** What one instance adds to the document. */
export interface Contribution {
  readonly instance: CatalogInstance
  readonly labels: Labels
  /**
   * In the shape of the dynamic configuration, load balancers without servers; empty if the instance is not exposed or its
   * labels were refused.
   */
  readonly config: JsonObject
  /** The objects in `config`. */
  readonly declared: readonly Declared[]
  /** Its servers by load balancer ("http.services.web"): all that may get traffic. */
  readonly servers: ReadonlyMap<string, readonly JsonObject[]>
  readonly placement: Placement
  /** Why it gets no traffic, for people; null if it does. */
  readonly excluded: string | null
  /** It stands for instances that are gone: its routers yield to all others. */
  readonly gone?: true
  readonly problems: readonly TraefikProblem[]
}

/** Settings that shape what an instance adds. */
export interface InstanceOptions {
  /** Entry points of an HTTP router that names none; empty = leave it to Traefik. */
  readonly entryPoints: readonly string[]
  /** Traefik release to write for, such as "3.4"; default the newest known. */
  readonly release?: string
  /** Services get the host `service.domain` where labels give no rule; null or absent = the name alone. */
  readonly domain?: string | null
  /** Certificate resolver of routers with TLS that name none; null or absent = leave it to Traefik. */
  readonly certResolver?: string | null
}

/** Name of the middleware that is always in the document. */
export const SENTINEL = 'constellation-noop'

const NAME_CHARS_MAX = 200
/** Roots that Traefik's other providers read; they say nothing here. */
const IGNORED = /^traefik\.(enable$|docker\.|swarm\.|consulcatalog\.|constraint-label)/i

/**
 * Turns the labels of one instance into configuration the way Traefik's Consul Catalog provider does: a service and a
 * router named like the service where none is declared, the rule Host(`name`) where none is given, the instance as the server.
 * A mistake refuses all labels of this instance and touches no other.
 */
export function contributionOf(instance: CatalogInstance, options: InstanceOptions): Contribution {
  const labels = labelsOf(instance)
  const work: Work = { instance, labels, options, servers: new Map(), problems: [] }
  const nothing = {
    instance,
    labels,
    config: newObject(),
    declared: [],
    servers: new Map(),
    placement: {},
  }
  try {
    if (!isEnabled(labels)) return { ...nothing, excluded: 'it is not exposed', problems: [] }
    const placement = placementOf(labels)
    const config = parseLabels(labels, {
      ...(options.release === undefined ? {} : { release: options.release }),
      onTooNew: ({ label, since }) => {
        const what = `needs Traefik ${since}, configured is ${options.release ?? NEWEST_RELEASE}. It is left out.`
        work.problems.push(problem('version', instance, label, what))
      },
    })
    reportUnused(work)
    checkNames(config)
    complete(config, work)
    const excluded = whyNoTraffic(instance, placement)
    if (excluded !== null) for (const key of work.servers.keys()) work.servers.set(key, [])
    const { servers, problems } = work
    return { instance, labels, config, declared: declaredIn(config), servers, placement, excluded, problems }
  } catch (error) {
    if (!(error instanceof LabelError)) throw error
    const refused = problem('label', instance, error.label, `${error.message}. None of its labels are used.`)
    const excluded = `its labels were refused: ${error.label} ${error.message}`
    return { ...nothing, excluded, problems: [...work.problems, refused] }
  }
}

interface Work {
  readonly instance: CatalogInstance
  readonly labels: Labels
  readonly options: InstanceOptions
  readonly servers: Map<string, readonly JsonObject[]>
  readonly problems: TraefikProblem[]
}

function declaredIn(config: JsonObject): readonly Declared[] {
  const declared: Declared[] = []
  for (const [section, kinds] of Object.entries(config)) {
    for (const [kind, objects] of Object.entries(isObject(kinds) ? kinds : {})) {
      for (const [name, value] of Object.entries(isObject(objects) ? objects : {})) {
        if (isObject(value)) declared.push({ key: `${section}.${kind}.${name}`, section, kind, name, value })
      }
    }
  }
  return declared
}

function whyNoTraffic({ node, status, checks }: CatalogInstance, placement: Placement): string | null {
  if (placement.drain === true) return 'constellation.drain says so'
  if (node.cordoned) return 'its node is cordoned'
  if (!node.alive) return 'its node has failed'
  if (status !== 'critical') return null
  const failed = checks.find((check) => check.status === 'critical')
  return failed === undefined
    ? 'it is critical'
    : `it is critical: check ${JSON.stringify(failed.name)} fails`
}

function reportUnused({ instance, labels, problems }: Work): void {
  for (const label of labels.keys()) {
    if (!isTraefikLabel(label) || isConfigLabel(label) || IGNORED.test(label)) continue
    const what = 'has no effect; read are traefik.enable, traefik.http, traefik.tcp, traefik.udp'
    problems.push(problem('unused', instance, label, what))
  }
}

function isEnabled(labels: Labels): boolean {
  let enabled = false
  for (const [label, text] of labels) {
    if (isConfigLabel(label)) enabled = true
    if (label.toLowerCase() !== 'traefik.enable') continue
    const value = parseBool(text)
    if (value === undefined) throw new LabelError(label, 'must be true or false')
    if (!value) return false
    enabled = true
  }
  return enabled
}

function checkNames(config: JsonObject): void {
  for (const [section, kinds] of Object.entries(config)) {
    if (!isObject(kinds)) continue
    for (const [kind, objects] of Object.entries(kinds)) {
      if (!isObject(objects)) continue
      for (const name of Object.keys(objects)) {
        const label = `traefik.${section}.${kind}.${name}`
        if (name.includes('@')) {
          throw new LabelError(label, 'must not hold "@" in its name: what follows it names another provider')
        }
        if (name.length > NAME_CHARS_MAX || /[\s\p{Cc}]/u.test(name)) {
          throw new LabelError(
            label,
            `must have a name without spaces of at most ${NAME_CHARS_MAX} characters`,
          )
        }
        if (section === 'http' && kind === 'middlewares' && name === SENTINEL) {
          throw new LabelError(label, 'is the name of a middleware that is always there: choose another')
        }
      }
    }
  }
}

/** Adds to `config` what labels leave out, and takes the servers out of it. */
function complete(config: JsonObject, work: Work): void {
  const name = normalize(work.instance.service.name)
  if (name === '')
    throw new LabelError('traefik.enable', 'needs a service name with a letter or a digit in it')
  const onlyOther = config.http === undefined && (config.tcp !== undefined || config.udp !== undefined)
  const protocols: readonly Protocol[] = ['tcp', 'udp', ...(onlyOther ? [] : (['http'] as const))]
  for (const protocol of protocols) {
    if (protocol !== 'http' && config[protocol] === undefined) continue
    const section = childObject(config, protocol)
    completeServices(protocol, section, name, work)
    completeRouters(protocol, section, name, work)
  }
}

function completeServices(protocol: Protocol, section: JsonObject, name: string, work: Work): void {
  if (protocol !== 'http' && section.routers === undefined && section.services === undefined) return
  const { instance } = work
  if (section.services === undefined) {
    // An instance whose routers all lead elsewhere needs no port.
    const routers = Object.values(isObject(section.routers) ? section.routers : {})
    const elsewhere = routers.every((router) => isObject(router) && (router.service ?? '') !== '')
    if (routers.length > 0 && elsewhere && !hasPort(instance)) return
    childObject(childObject(childObject(section, 'services'), name), 'loadBalancer')
  }
  for (const [key, service] of Object.entries(childObject(section, 'services'))) {
    if (!isObject(service) || !isObject(service.loadBalancer)) continue
    const label = `traefik.${protocol}.services.${key}.loadbalancer`
    const { servers: written, ...rest } = service.loadBalancer
    const balancer = Object.assign(newObject(), rest)
    const { servers, unreachable } = fillServers(protocol, written, instance, label)
    checkStrategy(balancer, label, work)
    service.loadBalancer = balancer
    work.servers.set(`${protocol}.services.${key}`, servers)
    if (unreachable === undefined) continue
    work.problems.push(problem('unreachable', instance, label, `has no server here: ${unreachable}`))
  }
}

/** Values of `strategy` and the release that brought them; the decoder takes any text, and Traefik then disables the service. */
const STRATEGIES: Readonly<Record<string, string>> = { wrr: '3.4', p2c: '3.4', hrw: '3.6', leasttime: '3.6' }

function checkStrategy(balancer: JsonObject, label: string, work: Work): void {
  const { strategy } = balancer
  if (strategy === undefined) return
  const known = Object.hasOwn(STRATEGIES, String(strategy)) ? STRATEGIES[String(strategy)] : undefined
  if (known === undefined) {
    throw new LabelError(`${label}.strategy`, `must be one of ${Object.keys(STRATEGIES).join(', ')}`)
  }
  const release = work.options.release ?? NEWEST_RELEASE
  if (!isOlder(release, known)) return
  delete balancer.strategy
  const what = `${strategy} needs Traefik ${known}, configured is ${release}. It is left out.`
  work.problems.push(problem('version', work.instance, `${label}.strategy`, what))
}

function completeRouters(protocol: Protocol, section: JsonObject, name: string, work: Work): void {
  const { instance, problems } = work
  const services = Object.keys(isObject(section.services) ? section.services : {})
  const label = `traefik.${protocol}.routers`
  if (section.routers === undefined) {
    if (protocol !== 'http') return
    if (services.length > 1) {
      problems.push(
        problem('link', instance, label, `is missing: which of ${services.join(', ')} to use is not clear`),
      )
      return
    }
    childObject(childObject(section, 'routers'), name)
  }
  const routers = childObject(section, 'routers')
  for (const [key, router] of Object.entries(routers)) {
    if (!isObject(router)) continue
    const drop = (what: string) => {
      problems.push(problem('link', instance, `${label}.${key}`, `${what}. The router is left out.`))
      delete routers[key]
    }
    if (protocol === 'http') completeHttpRouter(router, key, name, work)
    else if (protocol === 'tcp' && (router.rule ?? '') === '') {
      drop('needs a rule, such as HostSNI(`*`)')
      continue
    }
    if ((router.service ?? '') !== '') continue
    const [only, ...others] = services
    if (only === undefined || others.length > 0) drop(`needs .service to name one of ${services.join(', ')}`)
    else router.service = only
  }
}

/** Entry points and TLS that labels leave out come from the settings, together: they belong to each other. */
function completeHttpRouter(router: JsonObject, key: string, name: string, work: Work): void {
  const { domain, entryPoints, certResolver } = work.options
  if ((router.rule ?? '') === '') {
    const host = domain === undefined || domain === null ? name : `${name.toLowerCase()}.${domain}`
    router.rule = `Host(\`${host}\`)`
  }
  const leftOut = router.entryPoints === undefined
  if (leftOut && entryPoints.length > 0) router.entryPoints = [...entryPoints]
  if (certResolver === undefined || certResolver === null) return
  if (router.tls === undefined && leftOut && !saysTls(work.labels, key)) router.tls = newObject()
  if (isObject(router.tls) && router.tls.certResolver === undefined) router.tls.certResolver = certResolver
}

/** True for a label such as `traefik.http.routers.web.tls=false`, of which nothing is left in the configuration. */
function saysTls(labels: Labels, router: string): boolean {
  const wanted = `traefik.http.routers.${router}.tls`.toLowerCase()
  return [...labels.keys()].some((label) => label.toLowerCase() === wanted)
}

/** Runs of anything but letters and digits become one "-", as Traefik's `normalize` does. */
export function normalize(name: string): string {
  return name
    .split(/[^\p{L}\p{N}]+/u)
    .filter((part) => part !== '')
    .join('-')
}
