import { isIPv4, isIPv6 } from 'node:net'
import type { HostPort } from './types.ts'

const HOST_NAME =
  /^(?=.{1,253}$)[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*$/

/**
 * Reads `HOST:PORT` or `[IPV6]:PORT`; port 0–65535.
 * @throws Error whose message completes the sentence `VALUE …`.
 */
export function parseHostPort(text: string): HostPort {
  const { host, port } = split(text)
  if (!/^\d+$/.test(port)) throw new Error(`has no valid port (${JSON.stringify(port)})`)
  const number = Number(port)
  if (number > 65535) throw new Error(`has a port above 65535`)
  return { host, port: number }
}

/** `HOST:PORT`, with brackets around an IPv6 address. */
export function formatHostPort(address: HostPort): string {
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`
}

/** True for the addresses that mean "every interface"; nobody can dial them from another host. */
export function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || (isIPv6(host) && /^[0:]+$/.test(host))
}

/** True for the addresses that never leave the host. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'))
}

function split(text: string): { host: string; port: string } {
  const bracketed = /^\[([^\]]*)\](.*)$/s.exec(text)
  if (bracketed !== null) {
    const host = bracketed[1] ?? ''
    const rest = bracketed[2] ?? ''
    if (!isIPv6(host)) throw new Error('has no IPv6 address between the brackets')
    if (!rest.startsWith(':')) throw new Error('has no port')
    return { host, port: rest.slice(1) }
  }
  if (isIPv6(text)) throw new Error('is an IPv6 address without brackets or port')
  const colon = text.lastIndexOf(':')
  if (colon === -1) throw new Error('has no port')
  const host = text.slice(0, colon)
  if (host === '') throw new Error('has no host')
  if (isIPv6(host)) throw new Error('needs brackets around its IPv6 address')
  // Digits and dots only can be nothing but an IPv4 address; as a name 10.0.0.256 would only fail later, in DNS.
  const valid = /^[0-9.]+$/.test(host) ? isIPv4(host) : HOST_NAME.test(host)
  if (!valid) throw new Error(`has no valid host (${JSON.stringify(host)})`)
  return { host, port: text.slice(colon + 1) }
}
