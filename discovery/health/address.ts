import { isIP, isIPv6 } from 'node:net'
import { checkServerIdentity, type PeerCertificate } from 'node:tls'
import type { TlsTarget } from './types.ts'

/** What no name of a host holds; the same that a URL refuses. */
const NOT_IN_HOSTS = /[\0-\x20\x7f#%/:<>?@[\\\]^|]/

/** Whether this can be the name of a host or its IP address; an IPv6 address may have a zone (`fe80::1%eth0`). */
export function isHost(text: string): boolean {
  return isIP(text) !== 0 || (!NOT_IN_HOSTS.test(text) && URL.canParse(`http://${text}`))
}

/** "host:port", "[v6]:port" split in two, the host localhost if there is none; null for what can be no address. */
export function splitHostPort(address: string): { readonly host: string; readonly port: number } | null {
  const match = /^(?:\[([^\]]+)\]|([^:]*)):([0-9]{1,5})$/.exec(address)
  if (match === null) return null
  const port = Number(match[3])
  if (port < 1 || port > 65535) return null
  const [, literal, name = ''] = match
  if (literal !== undefined) return isIPv6(literal) ? { host: literal, port } : null
  return name === '' || isHost(name) ? { host: name || 'localhost', port } : null
}

/**
 * Node's TLS settings for a target. A name is sent for hosts that are names: there is none for an IP address, for which the
 * certificate is looked through all the same.
 */
export function tlsSettings({ tlsServerName, tlsSkipVerify }: TlsTarget, host: string) {
  const rejectUnauthorized = !tlsSkipVerify
  if (tlsServerName === '' && isIP(host) !== 0) return { rejectUnauthorized }
  if (isIP(tlsServerName) === 0) return { rejectUnauthorized, servername: tlsServerName || host }
  return {
    rejectUnauthorized,
    servername: '',
    checkServerIdentity: (_host: string, certificate: PeerCertificate) =>
      checkServerIdentity(withoutZone(tlsServerName), certificate),
  }
}

/** An IPv6 address as certificates have it. */
export function withoutZone(host: string): string {
  return isIPv6(host) ? host.replace(/%.*/, '') : host
}
