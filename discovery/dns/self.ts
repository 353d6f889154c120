import { networkInterfaces } from 'node:os'

/** True if what listens at `own` would get what is sent to `other`. */
export function isOwnAddress(
  other: { readonly host: string; readonly port: number },
  own: { readonly host: string; readonly port: number },
): boolean {
  if (other.port !== own.port) return false
  if (other.host === own.host) return true
  const everywhere = own.host === '0.0.0.0' || own.host === '::'
  if (!everywhere) return false
  if (other.host.startsWith('127.') || other.host === '0.0.0.0' || other.host === '::') return true
  return Object.values(networkInterfaces()).some((addresses) =>
    addresses?.some(({ address }) => address === other.host),
  )
}
