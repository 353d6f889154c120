import { isIPv4, isIPv6 } from 'node:net'

/** Four or sixteen bytes in hex for an IP address, as in `7f000001.addr.dc1.consul`; null for a name. */
export function addressToHex(address: string): string | null {
  if (isIPv4(address)) return Buffer.from(address.split('.').map(Number)).toString('hex')
  if (!isIPv6(address)) return null
  const [head = '', tail] = withoutDottedEnd(address.replace(/%.*$/, '')).split('::')
  const groups = (text: string | undefined) => (text ? text.split(':') : [])
  const [before, after] = [groups(head), groups(tail)]
  const zeros = tail === undefined ? 0 : 8 - before.length - after.length
  return [...before, ...Array<string>(zeros).fill('0'), ...after]
    .map((group) => group.padStart(4, '0'))
    .join('')
    .toLowerCase()
}

/** The reverse of `addressToHex`; null if it is neither 8 nor 32 hex digits. */
export function hexToAddress(hex: string): string | null {
  if (/^[0-9a-f]{8}$/i.test(hex)) return [...Buffer.from(hex, 'hex')].join('.')
  if (!/^[0-9a-f]{32}$/i.test(hex)) return null
  const groups = hex.match(/.{4}/g) ?? []
  // URL writes the canonical form of RFC 5952.
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1)
}

/** "::ffff:1.2.3.4" → "::ffff:102:304". */
function withoutDottedEnd(address: string): string {
  const dotted = /[^:]*\.[^:]*$/.exec(address)?.[0]
  if (dotted === undefined) return address
  const hex = addressToHex(dotted) ?? ''
  return `${address.slice(0, -dotted.length)}${hex.slice(0, 4)}:${hex.slice(4)}`
}
