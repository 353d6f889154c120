import { OUTPUT_CHARS_MAX } from './probe.ts'
import type { CheckDefinition, CheckKind, CheckThresholds, TlsTarget } from './types.ts'

/** What is wrong with the file of definitions, in words that hold none of its values. */
export class ShapeError extends Error {}

type Json = Readonly<Record<string, unknown>>

/**
 * The definitions in the content of the file. Fields that came later than the others have the defaults of a registration without
 * them, so that a file of an older agent is read too.
 * @throws ShapeError
 */
export function decodeDefinitions(file: unknown, wanted: number): CheckDefinition[] {
  const { format, checks } = object(file, 'the file')
  if (format !== wanted) throw new ShapeError(`"format" is not ${wanted}`)
  if (!Array.isArray(checks)) throw new ShapeError('"checks" is not a list')
  return checks.map((check: unknown, at) => decodeDefinition(object(check, `checks[${at}]`), `checks[${at}]`))
}

function decodeDefinition(from: Json, at: string): CheckDefinition {
  const status = text(from, 'initialStatus', at)
  if (status !== 'passing' && status !== 'warning' && status !== 'critical') {
    throw new ShapeError(`${at}.initialStatus is not passing, warning or critical`)
  }
  const outputMax = number(from, 'outputMax', at, OUTPUT_CHARS_MAX)
  return {
    id: text(from, 'id', at),
    name: text(from, 'name', at),
    notes: text(from, 'notes', at),
    serviceId: text(from, 'serviceId', at),
    initialStatus: status,
    kind: decodeKind(object(from.kind, `${at}.kind`), `${at}.kind`),
    intervalMs: number(from, 'intervalMs', at),
    timeoutMs: number(from, 'timeoutMs', at),
    intervalText: text(from, 'intervalText', at),
    timeoutText: text(from, 'timeoutText', at),
    thresholds: decodeThresholds(object(from.thresholds ?? {}, `${at}.thresholds`), `${at}.thresholds`),
    deregisterAfterMs: number(from, 'deregisterAfterMs', at, 0),
    outputMax: Math.min(outputMax, OUTPUT_CHARS_MAX),
  }
}

function decodeThresholds(from: Json, at: string): CheckThresholds {
  return {
    successBeforePassing: number(from, 'successBeforePassing', at, 0),
    failuresBeforeWarning: number(from, 'failuresBeforeWarning', at, 0),
    failuresBeforeCritical: number(from, 'failuresBeforeCritical', at, 0),
  }
}

function decodeKind(from: Json, at: string): CheckKind {
  switch (from.type) {
    case 'ttl':
      return { type: 'ttl', ttlMs: number(from, 'ttlMs', at) }
    case 'tcp':
      return {
        type: 'tcp',
        address: text(from, 'address', at),
        useTls: flag(from, 'useTls', at),
        ...tls(from, at),
      }
    case 'udp':
      return { type: 'udp', address: text(from, 'address', at) }
    case 'grpc':
      return {
        type: 'grpc',
        target: text(from, 'target', at),
        useTls: flag(from, 'useTls', at),
        ...tls(from, at),
      }
    case 'h2ping':
      return {
        type: 'h2ping',
        address: text(from, 'address', at),
        useTls: flag(from, 'useTls', at),
        ...tls(from, at),
      }
    case 'script':
      return { type: 'script', args: texts(from.args, `${at}.args`) }
    case 'docker':
      return {
        type: 'docker',
        container: text(from, 'container', at),
        shell: text(from, 'shell', at),
        args: texts(from.args, `${at}.args`),
      }
    case 'alias':
      return { type: 'alias', node: text(from, 'node', at), service: text(from, 'service', at) }
    case 'http':
      return {
        type: 'http',
        url: text(from, 'url', at),
        method: text(from, 'method', at),
        headers: headers(object(from.headers, `${at}.headers`), `${at}.headers`),
        body: text(from, 'body', at),
        disableRedirects: flag(from, 'disableRedirects', at),
        ...tls(from, at),
      }
    default:
      throw new ShapeError(`${at}.type is not a kind of check`)
  }
}

function tls(from: Json, at: string): TlsTarget {
  const tlsServerName = from.tlsServerName === undefined ? '' : text(from, 'tlsServerName', at)
  return { tlsSkipVerify: flag(from, 'tlsSkipVerify', at), tlsServerName }
}

function headers(from: Json, at: string): Readonly<Record<string, readonly string[]>> {
  return Object.fromEntries(Object.entries(from).map(([name, values]) => [name, texts(values, at)]))
}

function object(value: unknown, at: string): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new ShapeError(`${at} is not an object`)
  }
  return value as Json
}

function text(from: Json, field: string, at: string): string {
  const value = from[field]
  if (typeof value !== 'string') throw new ShapeError(`${at}.${field} is not text`)
  return value
}

function texts(value: unknown, at: string): readonly string[] {
  if (!Array.isArray(value) || !value.every((item) => typeof item === 'string')) {
    throw new ShapeError(`${at} is not a list of texts`)
  }
  return value
}

function flag(from: Json, field: string, at: string): boolean {
  const value = from[field] ?? false
  if (typeof value !== 'boolean') throw new ShapeError(`${at}.${field} is not true or false`)
  return value
}

function number(from: Json, field: string, at: string, otherwise?: number): number {
  const value = from[field] ?? otherwise
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) {
    throw new ShapeError(`${at}.${field} is not a number from 0`)
  }
  return value
}
