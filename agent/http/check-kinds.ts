import { validateHeaderName, validateHeaderValue } from 'node:http'
import { isHost, splitHostPort } from '../../discovery/health/address.ts'
import { splitGrpcTarget } from '../../discovery/health/grpc-probe.ts'
import type { CheckKind, TlsTarget } from '../../discovery/health/types.ts'
import { badRequest } from './errors.ts'
import type { Fields } from './fields.ts'

/** The fields that make a kind, by what they are called in a text. More than one of them is a contradiction. */
const KINDS: readonly (readonly [kind: string, fields: readonly string[]])[] = [
  ['TTL', ['TTL']],
  ['HTTP', ['HTTP']],
  ['TCP', ['TCP']],
  ['UDP', ['UDP']],
  ['GRPC', ['GRPC']],
  ['H2PING', ['H2PING']],
  ['Docker', ['DockerContainerID']],
  ['Script', ['ScriptArgs', 'Args']],
  ['Alias', ['AliasService', 'AliasNode']],
]

const ALLOWED = 'HTTP, TCP, UDP, GRPC, H2PING, ScriptArgs, DockerContainerID, AliasService, AliasNode or TTL'

/**
 * What a check does, from the fields of its registration. Timing is not looked at, but for a TTL.
 * @param scripts whether checks may run programs
 * @throws HttpError 400 `Invalid check: …`, with Consul's text where it has one
 */
export function parseKind(fields: Fields, scripts: boolean): CheckKind {
  if (fields.has('OSService')) {
    throw invalidCheck('OSService checks are not supported; ask the service manager by ScriptArgs instead')
  }
  if (fields.has('Script')) throw invalidCheck('Script is no longer supported; use ScriptArgs')
  const given = KINDS.filter(([, names]) => fields.has(...names)).map(([kind]) => kind)
  // The program of a Docker check is in the same fields as that of a script.
  const kinds = given.includes('Docker') ? given.filter((kind) => kind !== 'Script') : given
  // Before "only one": Consul's text for both is about their timing.
  if (kinds.length > 1) {
    throw invalidCheck(`only one of ${ALLOWED} may be given, not ${kinds.join(' and ')}`)
  }
  switch (kinds[0]) {
    case 'HTTP':
      return httpKind(fields)
    case 'TCP':
      return {
        type: 'tcp',
        address: hostPort(fields, 'TCP'),
        useTls: fields.boolean('TCPUseTLS'),
        ...tls(fields),
      }
    case 'UDP':
      return { type: 'udp', address: hostPort(fields, 'UDP') }
    case 'GRPC':
      return grpcKind(fields)
    case 'H2PING': {
      // Consul's default: without the field it speaks TLS.
      const useTls = fields.isPresent('H2PingUseTLS') ? fields.boolean('H2PingUseTLS') : true
      return { type: 'h2ping', address: hostPort(fields, 'H2PING'), useTls, ...tls(fields) }
    }
    case 'Docker':
    case 'Script':
      return programKind(fields, scripts)
    case 'Alias':
      return { type: 'alias', node: fields.string('AliasNode'), service: fields.string('AliasService') }
  }
  const ttlMs = fields.durationMs('TTL')
  if (ttlMs !== undefined && ttlMs > 0) return { type: 'ttl', ttlMs }
  if (fields.has('Interval')) throw invalidCheck(`one of ${ALLOWED} must be given`)
  throw invalidCheck('TTL must be > 0 for TTL checks')
}

/** 400 in the form all refusals of checks have. */
export function invalidCheck(reason: string): Error {
  return badRequest(`Invalid check: ${reason}`)
}

function httpKind(fields: Fields): CheckKind {
  const url = fields.string('HTTP')
  const parsed = URL.canParse(url) ? new URL(url) : null
  if (parsed?.protocol !== 'http:' && parsed?.protocol !== 'https:') {
    throw invalidCheck('HTTP must be an http or https URL')
  }
  const method = fields.string('Method') || 'GET'
  if (!/^[A-Za-z]+$/.test(method)) throw invalidCheck('Method must be the name of an HTTP method')
  return {
    type: 'http',
    url,
    method,
    headers: headers(fields),
    body: fields.string('Body'),
    disableRedirects: fields.boolean('DisableRedirects'),
    ...tls(fields),
  }
}

function grpcKind(fields: Fields): CheckKind {
  const target = fields.string('GRPC')
  if (splitHostPort(splitGrpcTarget(target).address) === null) {
    throw invalidCheck('GRPC must be host:port or host:port/service')
  }
  return { type: 'grpc', target, useTls: fields.boolean('GRPCUseTLS'), ...tls(fields) }
}

function programKind(fields: Fields, scripts: boolean): CheckKind {
  if (!scripts) {
    throw invalidCheck(
      'checks that run programs are disabled on this agent; to allow them set checks.scripts to "on"',
    )
  }
  const scriptArgs = fields.strings('ScriptArgs')
  const args = scriptArgs.length > 0 ? scriptArgs : fields.strings('Args')
  const container = fields.string('DockerContainerID')
  if (args.length === 0 || args[0] === '') throw invalidCheck('ScriptArgs must name a program')
  if (args.some((arg) => arg.includes('\0'))) throw invalidCheck('ScriptArgs must not hold a NUL character')
  if (container === '') return { type: 'script', args }
  return { type: 'docker', container, shell: fields.string('Shell'), args }
}

function hostPort(fields: Fields, name: string): string {
  const address = fields.string(name)
  if (splitHostPort(address) === null) throw invalidCheck(`${name} must be host:port`)
  return address
}

function headers(fields: Fields): Readonly<Record<string, readonly string[]>> {
  const lists = fields.stringLists('Header')
  for (const [name, values] of Object.entries(lists)) {
    try {
      validateHeaderName(name)
      for (const value of values) validateHeaderValue(name, value)
    } catch {
      // Not the value: it may be a secret.
      throw invalidCheck(`Header ${JSON.stringify(name)} is no name or has no value that HTTP allows`)
    }
  }
  return lists
}

function tls(fields: Fields): TlsTarget {
  const tlsServerName = fields.string('TLSServerName')
  if (tlsServerName !== '' && !isHost(tlsServerName)) {
    throw invalidCheck('TLSServerName must be the name of a host or an IP address')
  }
  return { tlsSkipVerify: fields.boolean('TLSSkipVerify'), tlsServerName }
}
