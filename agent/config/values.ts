import { parseGoDuration } from '../../discovery/health/duration.ts'
import { isWildcard, parseHostPort } from './host-port.ts'
import type { HostPort } from './types.ts'

/** One value out of text (environment, flag) or out of a YAML scalar. Both throw Error that completes `VALUE …`. */
export interface ScalarKind<T> {
  readonly shape: 'scalar'
  /** Completes "allowed: …". */
  readonly allowed: string
  fromText(text: string): T
  fromYaml(value: unknown): T
}

/** Several values: a YAML sequence, or text separated by commas. */
export interface ListKind<T> {
  readonly shape: 'list'
  readonly allowed: string
  readonly item: ScalarKind<T>
}

/** Named values: a YAML mapping, or text of the form `a=x,b=y`. */
export interface MapKind<T> {
  readonly shape: 'map'
  readonly allowed: string
  readonly entriesMax: number
  readonly key: ScalarKind<string>
  readonly value: ScalarKind<T>
}

/** How the value of a setting is written. */
export type ValueKind<T> =
  | ScalarKind<T>
  | (T extends readonly (infer Item)[] ? ListKind<Item> : never)
  | (T extends Readonly<Record<string, infer Value>> ? MapKind<Value> : never)

/** Text that `parse` accepts. YAML numbers and booleans are refused: 010 or `no` would silently turn into something else. */
export function text<T>(allowed: string, parse: (text: string) => T): ScalarKind<T> {
  return {
    shape: 'scalar',
    allowed,
    fromText: parse,
    fromYaml(value) {
      if (typeof value === 'string') return parse(value)
      if (typeof value === 'number' || typeof value === 'boolean') {
        throw new Error(`is a ${typeof value}; put it in quotes`)
      }
      throw new Error('is not text')
    },
  }
}

/** A whole number within bounds, both included. */
export function integer(min: number, max: number): ScalarKind<number> {
  const allowed = `a whole number ${min}–${max}`
  const check = (value: number): number => {
    if (!Number.isInteger(value)) throw new Error('is not a whole number')
    if (value < min || value > max) throw new Error('is out of range')
    return value
  }
  return {
    shape: 'scalar',
    allowed,
    fromText(value) {
      if (!/^-?\d+$/.test(value)) throw new Error('is not a whole number')
      return check(Number(value))
    },
    fromYaml(value) {
      if (typeof value !== 'number') throw new Error('is not a number')
      return check(value)
    },
  }
}

/** A span of time as Go writes it, within bounds of the same form, in milliseconds. */
export function duration(min: string, max: string): ScalarKind<number> {
  return text(`a duration ${min}-${max} such as "30m" or "1h30m"`, (value) => {
    let ms: number
    try {
      ms = parseGoDuration(value)
    } catch {
      throw new Error('is not a duration')
    }
    if (ms < parseGoDuration(min) || ms > parseGoDuration(max)) throw new Error('is out of range')
    return ms
  })
}

/** `true` or `false`. */
export function flag(): ScalarKind<boolean> {
  return {
    shape: 'scalar',
    allowed: 'true, false',
    fromText(value) {
      if (value !== 'true' && value !== 'false') throw new Error('is not true or false')
      return value === 'true'
    },
    fromYaml(value) {
      if (typeof value !== 'boolean') throw new Error('is not true or false')
      return value
    },
  }
}

/** One word out of a fixed set. */
export function oneOf<const T extends string>(words: readonly T[]): ScalarKind<T> {
  return text(words.join(', '), (value) => {
    const found = words.find((word) => word === value)
    if (found === undefined) throw new Error('is not one of the allowed words')
    return found
  })
}

/** One of a few whole numbers. */
export function oneOfNumbers<const T extends number>(numbers: readonly T[]): ScalarKind<T> {
  const check = (value: number): T => {
    const found = numbers.find((number) => number === value)
    if (found === undefined) throw new Error('is not one of the allowed numbers')
    return found
  }
  return {
    shape: 'scalar',
    allowed: numbers.join(', '),
    fromText(value) {
      if (!/^\d+$/.test(value)) throw new Error('is not a whole number')
      return check(Number(value))
    },
    fromYaml(value) {
      if (typeof value !== 'number') throw new Error('is not a number')
      return check(value)
    },
  }
}

/** The name of a node, a cluster or an entry point. It appears in URLs, DNS answers, logs and file names. */
export function name(): ScalarKind<string> {
  return text('1-63 of [A-Za-z0-9._-], starting with a letter or digit', (value) => {
    if (value === '') throw new Error('is empty')
    if (value.length > 63) throw new Error(`is ${value.length} characters long`)
    if (!/^[A-Za-z0-9]/.test(value)) throw new Error('does not start with a letter or digit')
    const bad = /[^A-Za-z0-9._-]/u.exec(value)
    if (bad !== null) throw new Error(`contains ${JSON.stringify(bad[0])}`)
    return value
  })
}

/** An address to bind: any host of this machine, port 0 = one that is free. */
export function listenAddress(): ScalarKind<HostPort> {
  return text('HOST:PORT or [IPV6]:PORT, port 0-65535 (0 = any free port)', parseHostPort)
}

/** An address others dial: a port is needed, and "every interface" names nobody. */
export function dialAddress(): ScalarKind<HostPort> {
  return text('HOST:PORT or [IPV6]:PORT, port 1-65535', (value) => {
    const address = parseHostPort(value)
    if (address.port === 0) throw new Error('has port 0')
    if (isWildcard(address.host)) throw new Error('means every interface and cannot be dialled')
    return address
  })
}

/** A path of the file system, not resolved yet. */
export function path(): ScalarKind<string> {
  return text('a path', (value) => {
    if (value.trim() === '') throw new Error('is empty')
    if (value.includes('\0')) throw new Error('contains a NUL character')
    return value
  })
}

/** A DNS domain, in lower case and without the dot at its end (RFC 1035 §2.3.1, with digits first as RFC 1123 allows). */
export function domain(): ScalarKind<string> {
  return text('a DNS domain such as "constellation" or "cluster.example.com"', (value) => {
    const labels = value.replace(/\.$/, '').toLowerCase()
    if (labels === '') throw new Error('is empty')
    if (labels.length > 200) throw new Error(`is ${labels.length} characters long`)
    for (const label of labels.split('.')) {
      if (!/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(label)) {
        throw new Error(`has the bad label ${JSON.stringify(label)}`)
      }
    }
    return labels
  })
}

/** A sequence of `item`. */
export function list<T>(item: ScalarKind<T>): ListKind<T> {
  return { shape: 'list', allowed: `a list of ${item.allowed}`, item }
}

/** Free-form labels with the limits Consul has for node meta: 64 pairs, keys of 128 and values of 512 characters. */
export function labels(): MapKind<string> {
  return {
    shape: 'map',
    allowed: 'at most 64 pairs KEY: VALUE, KEY 1-128 of [A-Za-z0-9_-], VALUE at most 512 characters',
    entriesMax: 64,
    key: text('1-128 of [A-Za-z0-9_-]', (value) => {
      if (!/^[A-Za-z0-9_-]{1,128}$/.test(value)) throw new Error('is not a valid label name')
      return value
    }),
    value: text('text of at most 512 characters', (value) => {
      if (value.length > 512) throw new Error(`is ${value.length} characters long`)
      return value
    }),
  }
}
