import { isIP } from 'node:net'
import type { EngineAddress } from '../../providers/docker/types.ts'
import { parseHostPort } from './host-port.ts'
import { type ScalarKind, text } from './values.ts'

/** Where a container engine listens. */
export function engineAddress(): ScalarKind<EngineAddress> {
  return text('/PATH/TO/SOCKET or tcp://HOST:PORT', (value) => {
    if (value.startsWith('tcp://')) {
      const { host, port } = parseHostPort(value.slice('tcp://'.length))
      if (port === 0) throw new Error('has port 0')
      return { kind: 'tcp', host, port }
    }
    const path = value.startsWith('unix://') ? value.slice('unix://'.length) : value
    if (/^[a-z+]+:\/\//.test(path)) throw new Error('is not a socket or a tcp:// address')
    if (!path.startsWith('/')) throw new Error('does not start with "/"')
    if (path.includes('\0')) throw new Error('contains a NUL character')
    return { kind: 'unix', path }
  })
}

/** The name of a network of an engine. */
export function networkName(): ScalarKind<string> {
  return text('the name of a network', (value) => {
    if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,254}$/.test(value)) throw new Error('is not the name of a network')
    return value
  })
}

/** An address others reach this host by. */
export function hostAddress(): ScalarKind<string> {
  return text('an IP address or a host name', (value) => {
    if (isIP(value) === 0 && !/^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/.test(value)) {
      throw new Error('is not an IP address or a host name')
    }
    return value
  })
}
