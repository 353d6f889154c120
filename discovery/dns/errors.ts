/** Stable codes of the errors of discovery/dns. A code is never reused for another meaning. */
export type DnsErrorCode = 'DNS_PORT_IN_USE' | 'DNS_LISTEN_FAILED' | 'DNS_RECURSOR_IS_SELF'

/** An expected failure of the DNS server; the message is a sentence for the operator. */
export class DnsError extends Error {
  readonly code: DnsErrorCode

  constructor(code: DnsErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'DnsError'
    this.code = code
  }
}

/** Says why an address could not be listened on. `error` is Node's. */
export function listenError(host: string, port: number, error: unknown): DnsError {
  const { code } = error as NodeJS.ErrnoException
  const at = `port ${port} on ${host}`
  if (code === 'EADDRINUSE') {
    return new DnsError(
      'DNS_PORT_IN_USE',
      `${at} is taken by another program: stop it, or set dns.listen to another address`,
      { cause: error },
    )
  }
  const why = code === 'EACCES' ? 'not permitted for this user' : String(code ?? error)
  return new DnsError('DNS_LISTEN_FAILED', `cannot listen for DNS on ${at}: ${why}; see dns.listen`, {
    cause: error,
  })
}

/** Says that this server would ask itself. */
export function recursorIsSelf(host: string, port: number): DnsError {
  return new DnsError(
    'DNS_RECURSOR_IS_SELF',
    `dns.recursors names ${host} port ${port}, which is this server itself: name the resolver to ask instead`,
  )
}
