import { isIP } from 'node:net'
import { LIMITS } from '../../discovery/catalog/limits.ts'
import type { Endpoint } from '../../discovery/catalog/types.ts'
import { byPort, type Container, type ContainerPort, type PortBinding } from './container.ts'
import type { Wishes } from './labels.ts'

/** Where the containers of this node are reached from others. */
export interface Reachability {
  /** The address of this node for other nodes. */
  readonly nodeAddress: string
  /** Networks whose addresses other hosts reach as they are, such as an overlay. */
  readonly routableNetworks: ReadonlySet<string>
  /** Another container of the engine, by id. */
  readonly lookUp: (id: string) => Container | undefined
}

/** Chains of containers that share a network are this long at most. */
const SHARED_MAX = 8

/**
 * Every port of a container, the main one first, with the address and port other hosts reach it by:
 * 1. the address of `constellation.address`, with the published port, or the container's own where none is published;
 * 2. its address in the network of `constellation.network`;
 * 3. the published port, on the address it is published on, or on that of this node;
 * 4. its address in a network that is declared routable, that of `traefik.docker.network` first;
 * 5. the address of this node, if it shares the network of its host.
 * A port published on the loopback interface is for its own host only. Anything else is a problem.
 */
export function endpointsOf(
  container: Container,
  wishes: Wishes,
  reach: Reachability,
): readonly [Endpoint | null, readonly Endpoint[]] {
  const owner = networkOwner(container, reach.lookUp)
  const ports = new Map(container.ports.map((port) => [nameOf(port), port]))
  if (owner !== null && owner !== container) {
    // Who shares the network of another is published by it.
    for (const binding of owner.bindings) if (!ports.has(nameOf(binding))) ports.set(nameOf(binding), binding)
  }
  const wanted = wantedPort(wishes.port, ports, owner ?? container)
  if (wanted !== null) ports.set(nameOf(wanted), wanted)
  const sorted = [...ports.values()].sort(byPort)
  const main = wanted ?? sorted[0] ?? null
  const ordered = main === null ? [] : [main, ...sorted.filter((port) => nameOf(port) !== nameOf(main))]
  const endpoints = ordered
    .slice(0, LIMITS.endpoints)
    .map((port) => endpointOf(port, owner, container, wishes, reach))
  return [endpoints[0] ?? null, endpoints]
}

/** Whose network a container uses: its own, or that of another; null if that one is not there. */
export function networkOwner(
  container: Container,
  lookUp: (id: string) => Container | undefined,
): Container | null {
  let owner = container
  for (let step = 0; step < SHARED_MAX; step++) {
    const [, id] = /^container:(.+)$/.exec(owner.networkMode) ?? []
    if (id === undefined) return owner
    const next = lookUp(id)
    if (next === undefined) return null
    owner = next
  }
  return null
}

/** The port a label names. kop reads it as the port of the host: so is one that is published, but no port of the container. */
function wantedPort(
  wish: Wishes['port'],
  ports: ReadonlyMap<string, ContainerPort>,
  owner: Container,
): ContainerPort | null {
  if (wish === null) return null
  const own = ports.get(nameOf(wish))
  if (own !== undefined) return own
  const published = owner.bindings.find(
    ({ hostPort, protocol }) => hostPort === wish.port && protocol === wish.protocol,
  )
  return published === undefined ? wish : { port: published.port, protocol: published.protocol }
}

function endpointOf(
  port: ContainerPort,
  owner: Container | null,
  container: Container,
  wishes: Wishes,
  reach: Reachability,
): Endpoint {
  const base = { name: nameOf(port), protocol: port.protocol, containerPort: port.port }
  const at = (address: string, number: number): Endpoint => ({ ...base, address, port: number })
  const problem = (text: string): Endpoint => ({ ...base, address: '', port: 0, problem: text })
  if (owner === null) {
    return problem(
      `it shares the network of ${container.networkMode.slice('container:'.length)}, which is not there`,
    )
  }
  const bindings = owner.bindings.filter(
    (binding) => binding.port === port.port && binding.protocol === port.protocol,
  )
  if (wishes.address !== null) {
    const binding = bindings.find(({ hostIp }) => hostIp === wishes.address) ?? choose(bindings, reach)
    return at(wishes.address, binding?.hostPort ?? port.port)
  }
  if (wishes.network !== null) {
    const address = addressIn(owner, wishes.network)
    if (address !== null) return at(address, port.port)
    const names = owner.networks.map(({ name }) => name)
    const has =
      names.length === 0 ? 'it has no address in a network' : `it has an address in ${names.join(', ')}`
    return problem(`constellation.network is ${JSON.stringify(wishes.network)}, but ${has}`)
  }
  const binding = choose(bindings, reach)
  if (binding !== null)
    return at(isEverywhere(binding.hostIp) ? reach.nodeAddress : binding.hostIp, binding.hostPort)
  const routable = routableAddress(owner, wishes.traefikNetwork, reach.routableNetworks)
  if (routable !== null) return at(routable, port.port)
  if (owner.networkMode === 'host') return at(reach.nodeAddress, port.port)
  return problem(why(port, bindings, owner))
}

function why(port: ContainerPort, bindings: readonly PortBinding[], owner: Container): string {
  const [loopback] = bindings
  if (loopback !== undefined) {
    return `port ${nameOf(port)} is published on ${loopback.hostIp}:${loopback.hostPort}, which is for its own host only: publish it on all addresses or on one others reach`
  }
  if (owner.networkMode === 'none') return `port ${nameOf(port)} cannot be reached: it has no network`
  return `port ${nameOf(port)} is not published: publish it, or list its network in providers.docker.routable_networks`
}

/** The binding others can use: of the family of this node's address before the other, on all addresses before on one. */
function choose(bindings: readonly PortBinding[], { nodeAddress }: Reachability): PortBinding | null {
  const rank = ({ hostIp }: PortBinding) => {
    if (hostIp === nodeAddress) return 0
    // What Podman calls "" is "0.0.0.0" and "::" for Docker, and both may have a port of their own.
    const isSix = hostIp.includes(':')
    const sameFamily = hostIp === '' || isSix === nodeAddress.includes(':')
    return (isEverywhere(hostIp) ? 1 : 3) + (sameFamily ? 0 : 1)
  }
  const usable = bindings.filter(({ hostIp }) => !isLoopback(hostIp) || isLoopback(nodeAddress))
  return usable.toSorted((a, b) => rank(a) - rank(b) || a.hostPort - b.hostPort)[0] ?? null
}

function routableAddress(
  owner: Container,
  preferred: string | null,
  routable: ReadonlySet<string>,
): string | null {
  const names = owner.networks.map(({ name }) => name).filter((name) => routable.has(name))
  if (preferred !== null && names.includes(preferred)) names.unshift(preferred)
  for (const name of names) {
    const address = addressIn(owner, name)
    if (address !== null) return address
  }
  return null
}

function addressIn(owner: Container, network: string): string | null {
  const found = owner.networks.find(({ name }) => name === network)
  return found?.ipv4 || found?.ipv6 || null
}

function isEverywhere(address: string): boolean {
  return address === '' || address === '0.0.0.0' || address === '::'
}

/** True for an address that means the host it is used on. */
export function isLoopback(address: string): boolean {
  if (address === 'localhost' || address === '::1') return true
  const four = /^::ffff:/i.test(address) ? address.slice('::ffff:'.length) : address
  return isIP(four) === 4 && four.startsWith('127.')
}

function nameOf({ port, protocol }: ContainerPort): string {
  return `${port}/${protocol}`
}
