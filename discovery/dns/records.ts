/** Numbers of the types this server knows (RFC 1035 §3.2.2, 2782, 3596, 6891). */
export const TYPES = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  PTR: 12,
  TXT: 16,
  AAAA: 28,
  SRV: 33,
  OPT: 41,
  ANY: 255,
} as const

/** Class IN, the only one with data here; ANY asks for it too. */
export const CLASS_IN = 1
export const CLASS_ANY = 255

/** Numbers of the response codes this server gives. BADVERS does not fit the header; its upper bits are in the OPT record. */
export const RCODES = {
  NOERROR: 0,
  FORMERR: 1,
  SERVFAIL: 2,
  NXDOMAIN: 3,
  NOTIMP: 4,
  REFUSED: 5,
  BADVERS: 16,
} as const

/** A response code by its name. */
export type Rcode = keyof typeof RCODES

/** Start of authority; times in seconds. */
export interface SoaData {
  readonly mname: string
  readonly rname: string
  readonly serial: number
  readonly refresh: number
  readonly retry: number
  readonly expire: number
  readonly minimum: number
}

/** Where a service is (RFC 2782). */
export interface SrvData {
  readonly priority: number
  readonly weight: number
  readonly port: number
  readonly target: string
}

/** One record. Names are without the dot at their end; `ttl` is in seconds. A record named as the question is about that name. */
export type ResourceRecord = { readonly name: string; readonly ttl: number } & (
  | { readonly type: 'A' | 'AAAA' | 'NS' | 'CNAME' | 'PTR'; readonly data: string }
  | { readonly type: 'TXT'; readonly data: readonly Buffer[] }
  | { readonly type: 'SRV'; readonly data: SrvData }
  | { readonly type: 'SOA'; readonly data: SoaData }
)

/** Why an answer is as it is, for whoever debugs it: code and text of an extended error (RFC 8914). */
export interface ExtendedError {
  readonly code: number
  readonly text: string
}

/** Codes of extended errors (RFC 8914 §4). */
export const EXTENDED = { other: 0, notReady: 14, notAuthoritative: 20, noReachableAuthority: 22 } as const

/** The sections of an answer. */
export interface DnsAnswer {
  readonly rcode: Rcode
  readonly authoritative: boolean
  readonly answers: readonly ResourceRecord[]
  readonly authorities: readonly ResourceRecord[]
  readonly additionals: readonly ResourceRecord[]
  readonly reason?: ExtendedError
  /** The question is about a name this server knows nothing of: a recursor may. */
  readonly elsewhere?: boolean
  /** The last answer is an alias of this name, which is not one of ours. */
  readonly aliasOf?: string
}

/** An answer of nothing but a code. */
export function empty(rcode: Rcode, reason?: ExtendedError): DnsAnswer {
  const sections = { answers: [], authorities: [], additionals: [] }
  return { rcode, authoritative: false, ...sections, ...(reason === undefined ? {} : { reason }) }
}

/** Name of a type: `A`, or `TYPE65` for one without a name here (RFC 3597). */
export function typeName(type: number): string {
  return NAMES.get(type) ?? `TYPE${type}`
}

const NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(TYPES).map(([name, number]) => [number, name]),
)
