import { lookup } from 'node:dns/promises'
import { isIP, isIPv4 } from 'node:net'
import { networkInterfaces } from 'node:os'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { MeshError } from './errors.ts'

/** A host name or IP address (IPv6 without brackets) and a TCP port. */
export interface MeshAddress {
  readonly host: string
  readonly port: number
}

const ADDRESSES_PER_NAME_MAX = 8

/**
 * Reads `host:port`, `1.2.3.4:port` or `[ipv6]:port`.
 * @throws MeshError `MSH_UNREACHABLE` naming the text when it is none of these.
 */
export function parseAddress(text: string): MeshAddress {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]/]+)):(\d{1,5})$/.exec(text)
  const host = match?.[1] ?? match?.[2]
  const port = Number(match?.[3])
  const bracketed = match?.[1] !== undefined
  if (host === undefined || !(port >= 1 && port <= 65_535) || (bracketed && isIP(host) !== 6)) {
    throw new MeshError(
      'MSH_UNREACHABLE',
      `"${text}" is not an address of the form host:port or [ipv6]:port with a port from 1 to 65535`,
    )
  }
  return { host, port }
}

/** Writes an address so that {@link parseAddress} reads it back: IPv6 in brackets. */
export function formatAddress(address: MeshAddress): string {
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`
}

/** The multiaddr of an IP address and port, optionally pinned to the peer expected there. */
export function toMultiaddr(ip: string, port: number, peer?: string): Multiaddr {
  const base = `/${isIPv4(ip) ? 'ip4' : 'ip6'}/${ip}/tcp/${port}`
  return multiaddr(peer === undefined ? base : `${base}/p2p/${peer}`)
}

/** `host:port` of a TCP multiaddr; its own text when it is something else. */
export function multiaddrToAddress(address: Multiaddr): string {
  let host = ''
  let port = ''
  for (const component of address.getComponents()) {
    if (component.name === 'ip4' || component.name === 'ip6') host = component.value ?? ''
    if (component.name === 'tcp') port = component.value ?? ''
  }
  return host === '' || port === '' ? address.toString() : formatAddress({ host, port: Number(port) })
}

/**
 * The IP addresses of a host, at most 8, in the order of the system's resolver.
 * @throws MeshError `MSH_UNREACHABLE` when the name has none.
 */
export async function resolveHost(host: string): Promise<readonly string[]> {
  if (isIP(host) !== 0) return [host]
  try {
    const found = await lookup(host, { all: true })
    return found.slice(0, ADDRESSES_PER_NAME_MAX).map((entry) => entry.address)
  } catch (cause) {
    throw new MeshError('MSH_UNREACHABLE', `the host name "${host}" cannot be resolved`, { cause })
  }
}

/**
 * What to tell others when only the listen address is known: a wildcard becomes the first address of a network
 * interface that is not internal, IPv4 before IPv6, or loopback on a machine without a network.
 */
export function advertisedHost(
  listenHost: string,
  interfaces: ReturnType<typeof networkInterfaces> = networkInterfaces(),
): string {
  if (listenHost !== '0.0.0.0' && listenHost !== '::') return listenHost
  const outside = Object.values(interfaces)
    .flatMap((entries) => entries ?? [])
    .filter((entry) => !entry.internal && !entry.address.toLowerCase().startsWith('fe80:'))
  const chosen =
    outside.find((entry) => entry.family === 'IPv4') ?? (listenHost === '::' ? outside[0] : undefined)
  return chosen?.address ?? '127.0.0.1'
}
