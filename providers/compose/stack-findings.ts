import type { Finding } from './finding.ts'
import type { ComposeProject } from './project.ts'
import type { ComposeService } from './service.ts'

const OURS = /^(traefik|constellation|kop)\./i

/** What a service of a Compose file gets wrong whatever becomes of its container. */
export function stackFindings(service: ComposeService): readonly Finding[] {
  const found: Finding[] = []
  const say = (severity: Finding['severity'], where: string, message: string) =>
    found.push({ severity, where, service: service.name, message })
  for (const { where, message } of service.problems) say('error', where, message)
  for (const [label, { where }] of service.swarmLabels) {
    if (OURS.test(label)) {
      say(
        'error',
        where,
        `deploy.labels are on the service of a swarm, not on its containers: move ${label} to labels`,
      )
    }
  }
  for (const [label, { where, value }] of service.labels) {
    if (label !== label.trim()) {
      say(
        'error',
        where,
        `the name of the label ${JSON.stringify(label)} has spaces around it: write ${label.trim()}=${value.trim()}`,
      )
    } else if (/^[\w.-]+:/.test(label) && value === '') {
      say('error', where, `${JSON.stringify(label)} is one text: in a list write name=value`)
    }
  }
  if (service.replicas > 1) {
    const fixed = service.ports.find(
      ({ published, publishedLast }) => published !== null && published === publishedLast,
    )
    if (fixed !== undefined) {
      say(
        'error',
        fixed.where,
        `only one of ${service.replicas} copies gets port ${fixed.published} of the host: leave it out, and Docker chooses one for each`,
      )
    }
    if (service.containerName !== '') {
      say(
        'error',
        service.where,
        `container_name can belong to one container, but there are to be ${service.replicas}`,
      )
    }
  }
  if (service.replicas === 0)
    say('note', service.where, 'it is scaled to 0: nothing is published until it runs')
  if (service.profiles.length > 0) {
    say('note', service.where, `it is started only with --profile ${service.profiles.join(' or --profile ')}`)
  }
  for (const { published, publishedLast, target, where } of service.ports) {
    if (published === null) {
      say('note', where, `Docker chooses the port for ${target} at each start; the catalogue follows it`)
    } else if (published !== publishedLast) {
      say(
        'note',
        where,
        `Docker chooses the port for ${target} from ${published}-${publishedLast} at the start`,
      )
    }
  }
  return found
}

/** What is wrong between the services of a project: ports of the host two want, variables nobody has set. */
export function projectFindings(
  project: ComposeProject,
  services: readonly ComposeService[],
): readonly Finding[] {
  const found: Finding[] = []
  const names = new Set<string>()
  for (const { name, where } of project.unset) {
    if (names.has(`${name} ${where}`)) continue
    names.add(`${name} ${where}`)
    const message = `the variable ${name} is not set, and nothing stands in its place: set it, or write $$ for a dollar sign`
    found.push({ severity: 'warning', where, service: '', message })
  }
  const taken = new Map<string, { readonly service: string; readonly hostIp: string }[]>()
  for (const service of services) {
    if (service.profiles.length > 0 || service.replicas === 0) continue
    for (const { published, publishedLast, protocol, hostIp, where } of service.ports) {
      if (published === null || published !== publishedLast) continue
      const key = `${published}/${protocol}`
      const others = taken.get(key) ?? []
      const other = others.find(
        (each) => isEverywhere(each.hostIp) || isEverywhere(hostIp) || each.hostIp === hostIp,
      )
      if (other !== undefined && other.service !== service.name) {
        const message = `port ${key} of the host is published by ${other.service} already: only one of the two starts`
        found.push({ severity: 'error', where, service: service.name, message })
      }
      taken.set(key, [...others, { service: service.name, hostIp }])
    }
  }
  return found
}

function isEverywhere(address: string): boolean {
  return address === '' || address === '0.0.0.0' || address === '::'
}
