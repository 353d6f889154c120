import { isIP, isIPv6 } from 'node:net'
import { parseGoDuration } from '../../discovery/health/duration.ts'
import { isWildcard, parseHostPort } from './host-port.ts'
import type { HostPort } from './types.ts'
import { type MapKind, type ScalarKind, text } from './values.ts'

const DNS_PORT = 53
/** A week: what resolvers keep at most by themselves. */
const TTL_SECONDS_MAX = 7 * 24 * 60 * 60
const SERVICES_MAX = 256

/** How long an answer may be kept, in whole seconds. */
export function timeToLive(): ScalarKind<number> {
  return text('a duration 0s-168h in whole seconds such as "5s"', (value) => {
    let ms: number
    try {
      ms = parseGoDuration(value)
    } catch {
      throw new Error('is not a duration')
    }
    if (ms % 1000 !== 0) throw new Error('is not a number of whole seconds')
    if (ms < 0 || ms > TTL_SECONDS_MAX * 1000) throw new Error('is out of range')
    return ms / 1000
  })
}

/** Times by service: its name, or the beginning of names with a star behind it. */
export function timesToLive(): MapKind<number> {
  return {
    shape: 'map',
    allowed: `at most ${SERVICES_MAX} pairs SERVICE: DURATION, where a "*" at the end of SERVICE stands for any rest`,
    entriesMax: SERVICES_MAX,
    key: text('the name of a service, or the beginning of one and "*"', (value) => {
      if (value === '') throw new Error('is empty')
      if (value.slice(0, -1).includes('*')) throw new Error('has a "*" that is not at its end')
      return value
    }),
    value: timeToLive(),
  }
}

/** The address of a resolver; without a port, that of DNS. A name would have to be resolved first. */
export function resolverAddress(): ScalarKind<HostPort> {
  return text('IP, IP:PORT or [IPV6]:PORT', (value) => {
    const address = isIP(value) === 0 ? parseHostPort(value) : { host: value, port: DNS_PORT }
    if (isIP(address.host) === 0) throw new Error('is not an IP address')
    if (address.port === 0) throw new Error('has port 0')
    if (isWildcard(address.host) || (isIPv6(address.host) && address.host.includes('%')))
      throw new Error('is not the address of one resolver')
    return address
  })
}
