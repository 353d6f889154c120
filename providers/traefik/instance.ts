import type { CatalogInstance } from '../../discovery/catalog/types.ts'
import { LabelError } from './errors.ts'
import { childObject, isObject, type JsonObject, newObject } from './json.ts'
import { isConfigLabel, isTraefikLabel, type Labels, parseLabels } from './labels.ts'
import { problem, type TraefikProblem } from './problem.ts'
import { parseBool } from './scalars.ts'
import { fillServers, hasPort, type Protocol } from './servers.ts'

/** What one instance adds to the document. */
export interface Contribution {
  readonly instance: CatalogInstance
  /** In the shape of the dynamic configuration; empty if the instance is not exposed or its labels were refused. */
  readonly config: JsonObject
  readonly problems: readonly TraefikProblem[]
}

/** Settings that shape what an instance adds. */
export interface InstanceOptions {
  /** Entry points of an HTTP router that names none; empty = leave it to Traefik. */
  readonly entryPoints: readonly string[]
  /** Traefik release to write for, such as "3.4"; default the newest known. */
  readonly release?: string
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
  const problems: TraefikProblem[] = []
  const labels = labelsOf(instance)
  try {
    if (!isEnabled(labels)) return { instance, config: newObject(), problems }
    for (const label of labels.keys()) {
      if (isConfigLabel(label) || IGNORED.test(label)) continue
      problems.push(
        problem(
          'unused',
          instance,
          label,
          'has no effect; read are traefik.enable, traefik.http, traefik.tcp, traefik.udp',
        ),
      )
    }
    const config = parseLabels(labels, options.release === undefined ? {} : { release: options.release })
    checkNames(config)
    complete(config, instance, options, problems)
    return { instance, config, problems }
  } catch (error) {
    if (!(error instanceof LabelError)) throw error
    const refused = problem('label', instance, error.label, `${error.message}. None of its labels are used.`)
    return { instance, config: newObject(), problems: [...problems, refused] }
  }
}

/** Tags of the form `traefik.x=y`, and meta. A tag wins over meta, a later tag over an earlier one. */
function labelsOf({ service }: CatalogInstance): Labels {
  const labels = new Map<string, string>()
  for (const [key, value] of Object.entries(service.meta)) if (isTraefikLabel(key)) labels.set(key, value)
  for (const tag of service.tags) {
    const at = tag.indexOf('=')
    if (at > 0 && isTraefikLabel(tag)) labels.set(tag.slice(0, at), tag.slice(at + 1))
  }
  return new Map([...labels].sort(([a], [b]) => (a < b ? -1 : 1)))
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

/** Adds to `config` what labels leave out. */
function complete(
  config: JsonObject,
  instance: CatalogInstance,
  options: InstanceOptions,
  problems: TraefikProblem[],
): void {
  const name = normalize(instance.service.name)
  if (name === '')
    throw new LabelError('traefik.enable', 'needs a service name with a letter or a digit in it')
  const onlyOther = config.http === undefined && (config.tcp !== undefined || config.udp !== undefined)
  const protocols: readonly Protocol[] = ['tcp', 'udp', ...(onlyOther ? [] : (['http'] as const))]
  for (const protocol of protocols) {
    if (protocol !== 'http' && config[protocol] === undefined) continue
    const section = childObject(config, protocol)
    completeServices(protocol, section, name, instance)
    completeRouters(protocol, section, name, { instance, options, problems })
  }
}

function completeServices(
  protocol: Protocol,
  section: JsonObject,
  name: string,
  instance: CatalogInstance,
): void {
  if (protocol !== 'http' && section.routers === undefined && section.services === undefined) return
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
    fillServers(protocol, service.loadBalancer, instance, label)
  }
}

interface Context {
  readonly instance: CatalogInstance
  readonly options: InstanceOptions
  readonly problems: TraefikProblem[]
}

function completeRouters(protocol: Protocol, section: JsonObject, name: string, context: Context): void {
  const { instance, options, problems } = context
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
    if (protocol === 'http') {
      if ((router.rule ?? '') === '') router.rule = `Host(\`${name}\`)`
      if (router.entryPoints === undefined && options.entryPoints.length > 0) {
        router.entryPoints = [...options.entryPoints]
      }
    } else if (protocol === 'tcp' && (router.rule ?? '') === '') {
      drop('needs a rule, such as HostSNI(`*`)')
      continue
    }
    if ((router.service ?? '') !== '') continue
    const [only, ...others] = services
    if (only === undefined || others.length > 0) drop(`needs .service to name one of ${services.join(', ')}`)
    else router.service = only
  }
}

/** Runs of anything but letters and digits become one "-", as Traefik's `normalize` does. */
function normalize(name: string): string {
  return name
    .split(/[^\p{L}\p{N}]+/u)
    .filter((part) => part !== '')
    .join('-')
}
