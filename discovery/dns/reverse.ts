const IPV4 = '.in-addr.arpa'
const IPV6 = '.ip6.arpa'

/** True for names below in-addr.arpa and ip6.arpa. */
export function isReverseName(name: string): boolean {
  const lower = name.toLowerCase()
  return lower.endsWith(IPV4) || lower.endsWith(IPV6)
}

/** The address that a reverse name spells, in hex as `addressToHex` writes it; null if it is not a whole one. */
export function reverseAddress(name: string): string | null {
  const lower = name.toLowerCase()
  if (lower.endsWith(IPV4)) {
    const parts = lower.slice(0, -IPV4.length).split('.')
    const isByte = (part: string) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255
    return parts.length === 4 && parts.every(isByte)
      ? Buffer.from(parts.reverse().map(Number)).toString('hex')
      : null
  }
  const digits = lower.slice(0, -IPV6.length).split('.')
  return digits.length === 32 && digits.every((digit) => /^[0-9a-f]$/.test(digit))
    ? digits.reverse().join('')
    : null
}

/** The name under which an address, in hex, is looked up. */
export function reverseName(hex: string): string {
  if (hex.length === 8) return `${[...Buffer.from(hex, 'hex')].reverse().join('.')}${IPV4}`
  return `${[...hex].reverse().join('.')}${IPV6}`
}
