import { isIP } from 'node:net'
import type { TlsTarget } from './types.ts'

/** "host:port", "[v6]:port" split in two; null if it is neither. */
export function splitHostPort(address: string): { readonly host: string; readonly port: number } | null {
  const match = /^(?:\[([^\]]+)\]|([^:]*)):([0-9]{1,5})$/.exec(address)
  if (match === null) return null
  const port = Number(match[3])
  return port > 0 && port < 65536 ? { host: match[1] ?? (match[2] || 'localhost'), port } : null
}

/** Node's TLS settings for a target. A name is sent for hosts that are names: there is none for an IP address. */
export function tlsSettings(target: TlsTarget, host: string) {
  const servername = target.tlsServerName || (isIP(host) === 0 ? host : '')
  return { rejectUnauthorized: !target.tlsSkipVerify, ...(servername === '' ? {} : { servername }) }
}
