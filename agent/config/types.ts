import type { EngineAddress } from '../../providers/docker/types.ts'

/** An address to listen on or to dial. `host` may be a name, an IPv4 or an unbracketed IPv6 address. */
export interface HostPort {
  readonly host: string
  readonly port: number
}

/** The settings of the document for Traefik. */
export interface TraefikConfig {
  /** The release to write for, such as "3.4". Default "3.0". */
  readonly version: string
  /** Null = services get no hosts below a domain. */
  readonly domain: string | null
  readonly nodeHosts: boolean
  readonly entryPoints: readonly string[]
  readonly certResolver: string | null
  /** Default 10 minutes. */
  readonly graceMs: number
  /** 1 to 100, default 50. */
  readonly guardPercent: number
  /** Default 1 minute. */
  readonly holdMs: number
  /** Default 1 s. */
  readonly settleMs: number
}

/** Where the containers of this host are read from, and what becomes of them. */
export interface DockerConfig {
  readonly socket: EngineAddress
  readonly exposeByDefault: boolean
  /** Where published ports are reached; null = the host of the mesh address. */
  readonly address: string | null
  readonly routableNetworks: readonly string[]
  /** Whether containers may be restarted. Default false. */
  readonly restart: boolean
  /** Whether containers may be started and stopped, so that one copy runs in the cluster. Default false. */
  readonly runOnce: boolean
}

/** The settings of one agent after flags, environment, file and defaults were merged and checked. Frozen. */
export interface Config {
  readonly node: {
    /** Unique in the cluster. Defaults to the host name. */
    readonly name: string
    /** 0–1000; lower = preferred as holder of leases. Default 100. */
    readonly priority: number
    readonly meta: Readonly<Record<string, string>>
  }
  readonly cluster: {
    /** Default "constellation". Nodes of another name are refused. */
    readonly name: string
    /** Path of the cluster key; null = none, which allows a single node only (the mesh does not listen). */
    readonly keyFile: string | null
    /** Members to find the cluster by. A node with `join` never makes a cluster of its own. */
    readonly join: readonly HostPort[]
    /** How many nodes make the first cluster together. Default 1 without `join`, 0 (never) with it. */
    readonly bootstrapExpect: number
    /** How many nodes vote, as far as there are as many. Default 5. */
    readonly voters: 3 | 5
    readonly leaseReads: boolean
    /** How many of the others are learners; the rest are clients. Default 16. */
    readonly learners: number
    /** A voter silent for this long is replaced. At least 3 s, default 1 minute. */
    readonly deadVoterGraceMs: number
    /** A learner silent for this long is removed. At least 10 s, default 24 hours. */
    readonly deadLearnerGraceMs: number
  }
  readonly dataDir: string
  readonly mesh: {
    readonly listen: HostPort
    readonly advertise: HostPort | null
    /** With more members than this the mesh is a partial one. Default 128. */
    readonly connectionsMax: number
    /** Connections beside those that are kept. Default 512. */
    readonly onDemandMax: number
  }
  readonly http: { readonly listen: HostPort }
  readonly dns: {
    readonly listen: HostPort
    readonly domain: string
    readonly onlyPassing: boolean
    /** How long answers may be kept, in seconds. Default 0. */
    readonly ttls: {
      readonly node: number
      /** By name of the service, or the beginning of one and "*". */
      readonly service: Readonly<Record<string, number>>
      readonly negative: number
    }
    /** Most addresses of a service in one answer; 0 = all, the default. */
    readonly addressesMax: number
    /** Most answers over UDP without EDNS; 0 = as many as fit, the default. */
    readonly udpAnswersMax: number
    /** Asked for names outside of the domain. Default none. */
    readonly recursors: readonly HostPort[]
    /** Default 2 s for each. */
    readonly recursorTimeoutMs: number
  }
  readonly kv: {
    /** Largest value of a key in bytes. 1 KiB to 4 MiB, default 512 KiB. */
    readonly valueBytesMax: number
  }
  /** Sessions made through /v1. */
  readonly sessions: {
    /** Shortest TTL that is taken. At least 1 s, default 10 s. */
    readonly ttlMinMs: number
    /** A session ends when it was not renewed for its TTL times this. 1 or 2, default 2. */
    readonly ttlFactor: 1 | 2
  }
  /** Checks of this node and its services. */
  readonly checks: {
    /** Whether registrations over HTTP may bring programs to run: as scripts, or in containers. Default off. */
    readonly scripts: 'off' | 'on'
    /** Socket of the Docker engine that runs checks in containers. */
    readonly dockerSocket: string
    /** Least time a service stays critical before it is deregistered for it. At least 1 s, default 1 minute. */
    readonly deregisterMinMs: number
  }
  readonly log: {
    readonly level: 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace'
    readonly format: 'auto' | 'json' | 'pretty'
  }
  /** Snapshots this node saves by itself; null = none. */
  readonly snapshots: {
    readonly everyMs: number
    /** How many files are kept. Default 24. */
    readonly keep: number
    /** Default "snapshots" in the data directory. */
    readonly directory: string
  } | null
  readonly providers: {
    /** Null = the containers of this host are no services; the default. */
    readonly docker: DockerConfig | null
    /** Services are read from the files of this folder; null = from none. */
    readonly files: { readonly directory: string } | null
    readonly traefik: TraefikConfig | null
  }
  /** The file the settings came from, for a reload; null = none. */
  readonly file: string | null
}
