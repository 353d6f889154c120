import type { LookupAddress } from 'node:dns'
import { isIP } from 'node:net'
import { checkServerIdentity as checkIdentity, createSecureContext, type PeerCertificate } from 'node:tls'
import type { experimental } from '@grpc/grpc-js'
import { splitHostPort, withoutZone } from './address.ts'
import { CHECK_METHOD, decodeHealthResponse, encodeHealthRequest, type ServingStatus } from './grpc-health.ts'
import { type NetworkLimits, type ProbeResult, reason } from './probe.ts'
import type { CheckKind } from './types.ts'

/** A gRPC health check. */
export type GrpcKind = Extract<CheckKind, { type: 'grpc' }>

/** `host:port` and the service behind it; the service is "" for the server as a whole. */
export function splitGrpcTarget(target: string): { readonly address: string; readonly service: string } {
  const slash = target.indexOf('/')
  if (slash < 0) return { address: target, service: '' }
  return { address: target.slice(0, slash), service: target.slice(slash + 1) }
}

/**
 * Asks the server for the health of a service (grpc.health.v1, Consul's gRPC check): SERVING is passing, everything else
 * critical. Each run opens a connection of its own, so it also finds out whether that is still possible.
 * Never rejects. An aborted signal ends it as critical with the reason of the abort.
 */
export async function probeGrpc(
  kind: GrpcKind,
  { signal, names }: Pick<NetworkLimits, 'signal' | 'names'>,
): Promise<ProbeResult> {
  const label = `gRPC check ${kind.target}`
  const { address, service } = splitGrpcTarget(kind.target)
  const target = splitHostPort(address)
  if (target === null)
    return { status: 'critical', output: `${label}: want "host:port" or "host:port/service"` }
  try {
    const addresses = await names.addresses(target.host, signal)
    const status = await ask(kind, { ...target, addresses }, service, signal)
    if (status === 'SERVING') return { status: 'passing', output: `${label}: success` }
    return { status: 'critical', output: `${label}: the service is ${status}` }
  } catch (error) {
    return {
      status: 'critical',
      output: `${label}: ${signal.aborted ? reason(signal.reason) : undated(reason(error))}`,
    }
  }
}

/** The library writes the time into its errors: then every run had an output of its own, and each change is gossip. */
function undated(text: string): string {
  return text.replace(/ \(\d{4}-\d\d-\d\dT[\d:.]+Z\)/g, '')
}

function hostPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

const SCHEME = 'known'

/** Gives the library the addresses that stand in the target. It would look the name up by itself, without a bound. */
class KnownAddresses implements experimental.Resolver {
  readonly #path: string
  readonly #listener: experimental.ResolverListener
  #told = false

  constructor({ path }: experimental.GrpcUri, listener: experimental.ResolverListener) {
    this.#path = path
    this.#listener = listener
  }

  updateResolution(): void {
    // Asked again after a failed connection, the same answer would begin the next attempt at once.
    if (this.#told) return
    this.#told = true
    const value = this.#path
      .split(',')
      .map((text) => ({ addresses: [splitHostPort(text) ?? { path: text }] }))
    process.nextTick(this.#listener, { ok: true, value }, {}, null, '')
  }

  destroy(): void {}

  /** The name that is sent for an IP address: the library wants one, and Node refuses to send the address itself. */
  static getDefaultAuthority(): string {
    return 'localhost'
  }
}

async function ask(
  kind: GrpcKind,
  target: { readonly host: string; readonly port: number; readonly addresses: readonly LookupAddress[] },
  service: string,
  signal: AbortSignal,
): Promise<ServingStatus> {
  // Loaded by the first check that needs it: it would double the start-up time of agents that have none.
  const { Client, credentials, experimental } = await import('@grpc/grpc-js')
  signal.throwIfAborted()
  experimental.registerResolver(SCHEME, KnownAddresses)
  const name = kind.tlsServerName || target.host
  const checkServerIdentity = (_name: string, certificate: PeerCertificate) =>
    checkIdentity(withoutZone(name), certificate)
  const client = new Client(
    `${SCHEME}:${target.addresses.map(({ address }) => hostPort(address, target.port)).join(',')}`,
    kind.useTls
      ? // Its own default would be another set of certificates wherever the environment names one for gRPC.
        credentials.createFromSecureContext(createSecureContext(), {
          rejectUnauthorized: !kind.tlsSkipVerify,
          checkServerIdentity,
        })
      : credentials.createInsecure(),
    {
      // A connection of its own, no proxy of the environment, and no second attempt behind our back.
      'grpc.use_local_subchannel_pool': 1,
      'grpc.enable_http_proxy': 0,
      'grpc.enable_retries': 0,
      'grpc.service_config_disable_resolution': 1,
      'grpc.primary_user_agent': 'Consul Health Check',
      'grpc.default_authority': kind.tlsServerName || hostPort(target.host, target.port),
      ...(isIP(name) === 0 ? { 'grpc.ssl_target_name_override': name } : {}),
    },
  )
  const { promise, resolve, reject } = Promise.withResolvers<ServingStatus>()
  const call = client.makeUnaryRequest(
    CHECK_METHOD,
    encodeHealthRequest,
    decodeHealthResponse,
    service,
    (error, status) => {
      if (error) reject(error)
      else resolve(status ?? 'UNKNOWN')
    },
  )
  const onAbort = () => call.cancel()
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await promise
  } finally {
    signal.removeEventListener('abort', onAbort)
    client.close()
  }
}
