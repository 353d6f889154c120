import { type ComposePort, readPort } from './ports.ts'
import { entriesOf, scalarText } from './project.ts'
import type { Tree } from './tree.ts'

/** What a service of a Compose file says that decides where it is reached and what is published. */
export interface ComposeService {
  readonly name: string
  readonly where: string
  readonly image: string
  /** "" = Compose chooses `project-service-n`. */
  readonly containerName: string
  readonly labels: ReadonlyMap<string, { readonly value: string; readonly where: string }>
  /** `deploy.labels`: on the service of a Swarm, on no container. */
  readonly swarmLabels: ReadonlyMap<string, { readonly value: string; readonly where: string }>
  readonly ports: readonly ComposePort[]
  /** Container ports that are documented but not published. */
  readonly exposed: readonly number[]
  /** `host`, `none`, `service:NAME`, `container:NAME`; "" = its networks. */
  readonly networkMode: string
  readonly networks: readonly string[]
  readonly replicas: number
  /** The command of its health check; null = none here (the image may have one), [] = switched off. */
  readonly healthTest: readonly string[] | null
  readonly healthInterval: string
  readonly healthTimeout: string
  readonly restart: string
  readonly profiles: readonly string[]
  readonly problems: readonly { readonly where: string; readonly message: string }[]
}

/** Reads one service. What is wrong in it becomes a problem; the rest is read. @throws ComposeError for the wrong kind of value */
export function readService(name: string, tree: Tree): ComposeService {
  const entries = tree.kind === 'map' ? tree.entries : new Map<string, Tree>()
  const problems: { where: string; message: string }[] = []
  const ports: ComposePort[] = []
  for (const item of itemsOf(entries.get('ports'))) {
    const read = readPort(item)
    if ('ports' in read) ports.push(...read.ports)
    else problems.push({ where: read.where, message: `the port ${read.problem}` })
  }
  const deploy = entries.get('deploy')
  const health = entries.get('healthcheck')
  const healthOf = (key: string) => (health?.kind === 'map' ? health.entries.get(key) : undefined)
  const replicas = Number(scalarText(entries.get('scale')) || scalarOf(deploy, 'replicas') || '1')
  return {
    name,
    where: tree.where,
    image: scalarText(entries.get('image')),
    containerName: scalarText(entries.get('container_name')),
    labels: readLabels(tree),
    swarmLabels: readLabels(deploy),
    ports,
    exposed: itemsOf(entries.get('expose'))
      .map((item) => Number.parseInt(scalarText(item), 10))
      .filter((port) => port > 0 && port < 65_536),
    networkMode: scalarText(entries.get('network_mode')),
    networks: namesOf(entries.get('networks')),
    replicas: Number.isInteger(replicas) && replicas >= 0 ? replicas : 1,
    healthTest: readHealthTest(healthOf('test'), scalarText(healthOf('disable')) === 'true'),
    healthInterval: scalarText(healthOf('interval')),
    healthTimeout: scalarText(healthOf('timeout')),
    restart: scalarText(entries.get('restart')),
    profiles: namesOf(entries.get('profiles')),
    problems,
  }
}

function readLabels(tree: Tree | undefined): ComposeService['labels'] {
  return new Map(
    [...entriesOf(tree, 'labels')].map(([label, inner]) => [
      label,
      { value: scalarText(inner), where: inner.where },
    ]),
  )
}

function readHealthTest(test: Tree | undefined, disabled: boolean): readonly string[] | null {
  if (disabled) return []
  if (test === undefined) return null
  if (test.kind === 'scalar') return ['CMD-SHELL', scalarText(test)]
  const [kind = '', ...words] = itemsOf(test).map(scalarText)
  return kind === 'NONE' ? [] : [kind, ...words]
}

function itemsOf(tree: Tree | undefined): readonly Tree[] {
  return tree?.kind === 'list' ? tree.items : []
}

/** The names in a list of names, or the keys of a mapping. */
function namesOf(tree: Tree | undefined): readonly string[] {
  return tree?.kind === 'map' ? [...tree.entries.keys()] : itemsOf(tree).map(scalarText)
}

function scalarOf(tree: Tree | undefined, key: string): string {
  return scalarText(tree?.kind === 'map' ? tree.entries.get(key) : undefined)
}
